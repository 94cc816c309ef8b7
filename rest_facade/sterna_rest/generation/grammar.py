"""Output held to a form: `response_format` and `grammar` of a request ↔ protocol."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator
from pydantic_core import PydanticCustomError, to_json

from sterna.v1.generation_pb2 import OutputGrammar
from sterna_rest.errors import ApiError
from sterna_rest.generation.fields import Items, RequestModel, discriminator_of_type

Schema = Annotated[
    dict[str, Any],
    Field(description="A JSON schema. Properties come in the order that it gives."),
]

_FORMS = ("json_schema", "regex", "choice", "lark")


class Grammar(RequestModel):
    """What the text of every choice must be; exactly one of the forms. An extension."""

    json_schema: Schema | None = None
    regex: str | None = Field(None, description="Matched by the whole text; RE2 syntax.")
    choice: Items[str] | None = Field(None, description="One of these texts.")
    lark: str | None = Field(None, description="A Lark grammar whose start rule is `start`.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Grammar:
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "one_form", "Give exactly one of json_schema, regex, choice and lark"
            )
        return self


class NamedSchema(RequestModel):
    """A schema as OpenAI clients send it. Answers match it, strict or not."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: Schema = Field(alias="schema")
    strict: bool | None = None


class TextFormat(RequestModel):
    """Any text."""

    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(RequestModel):
    """A JSON value that matches a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("(text)")]
    | Annotated[JsonObjectFormat, Tag("(json_object)")]
    | Annotated[JsonSchemaFormat, Tag("(json_schema)")],
    discriminator_of_type("text", "json_object", "json_schema"),
]


def format_grammar(form: TextFormat | JsonObjectFormat | JsonSchemaFormat) -> OutputGrammar | None:
    """The grammar of a `response_format`; None for any text."""
    if isinstance(form, JsonSchemaFormat):
        return schema_grammar(form.json_schema.schema_)
    if isinstance(form, JsonObjectFormat):
        grammar = OutputGrammar()
        grammar.json_object.SetInParent()
        return grammar
    return None


def schema_grammar(schema: dict[str, Any]) -> OutputGrammar:
    """The grammar of the JSON values that match a schema."""
    return OutputGrammar(json_schema=to_json(schema).decode())


def extension_grammar(grammar: Grammar) -> OutputGrammar:
    """The grammar of the field `grammar`."""
    result = OutputGrammar()
    if grammar.json_schema is not None:
        return schema_grammar(grammar.json_schema)
    if grammar.regex is not None:
        result.regex = grammar.regex
    elif grammar.lark is not None:
        result.lark = grammar.lark
    else:
        result.choice.texts.extend(grammar.choice or ())
        result.choice.SetInParent()
    return result


def only_one_form(grammar: Grammar | None, other: object, name: str) -> None:
    """Raises `ApiError` 400 when a request has both `grammar` and the standard field `name`."""
    if grammar is not None and other is not None:
        raise ApiError(
            400,
            f"`grammar` does not go with `{name}`; send one of them.",
            code="invalid_value",
            param="grammar",
        )
