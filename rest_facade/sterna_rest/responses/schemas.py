"""What `/v1/responses` takes and returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from sterna_rest.generation.fields import (
    INT32_MAX,
    MAX_TOP_LOGPROBS,
    STRING_OR_LIST,
    Items,
    Labels,
    RequestModel,
    discriminator_of_type,
)
from sterna_rest.generation.grammar import JsonObjectFormat, Schema, TextFormat

LOGPROBS = "message.output_text.logprobs"


class InputPart(RequestModel):
    """A piece of a message; only pieces of text can be read."""

    type: str = Field(description="`input_text`, or `output_text` and `refusal` of an assistant.")
    text: str | None = None
    refusal: str | None = None


InputContent = Annotated[
    Annotated[str, Tag("(string)")] | Annotated[Items[InputPart], Tag("(list)")],
    STRING_OR_LIST,
]


class InputItem(RequestModel):
    """One turn, a call or its result; an item of an earlier answer's `output` is one, too."""

    type: str | None = Field(
        None,
        description="`message`, which may be left out, `function_call` or its `_output`, or "
        "`item_reference`.",
    )
    id: str | None = Field(None, description="Of a reference: the item of a stored response.")
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: InputContent | None = None
    call_id: str | None = Field(None, description="Of a call, and of its result.")
    name: str | None = Field(None, description="Of a call.")
    arguments: str | None = Field(None, description="Of a call: a JSON object as text.")
    output: InputContent | None = Field(None, description="Of a result.")


class FlatTool(RequestModel):
    """A tool on offer; only functions are known."""

    type: str = Field(description="`function`.")
    name: str | None = Field(
        None, description="1 to 64 characters of a-z, A-Z, 0-9, `_` and `-`; unique."
    )
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class FlatChoice(RequestModel):
    """The one tool that is called."""

    type: str = Field(description="`function`.")
    name: str | None = None


def _mode_or_tool(value: Any) -> str | None:
    if isinstance(value, str):
        return "(mode)"
    return "(named)" if isinstance(value, dict | FlatChoice) else None


FlatToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(mode)")]
    | Annotated[FlatChoice, Tag("(named)")],
    Discriminator(
        _mode_or_tool,
        custom_error_type="mode_or_tool",
        custom_error_message="Input should be 'none', 'auto', 'required' or an object that names "
        "a function",
    ),
]


class FlatSchemaFormat(RequestModel):
    """A JSON value that matches a schema, strict or not."""

    type: Literal["json_schema"]
    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: Schema = Field(alias="schema")
    strict: bool | None = None


class TextOptions(RequestModel):
    """The form of the answer."""

    format: (
        Annotated[
            Annotated[TextFormat, Tag("(text)")]
            | Annotated[JsonObjectFormat, Tag("(json_object)")]
            | Annotated[FlatSchemaFormat, Tag("(json_schema)")],
            discriminator_of_type("text", "json_object", "json_schema"),
        ]
        | None
    ) = None
    verbosity: str | None = None


class ResponseOptions(RequestModel):
    """How to answer: everything that a stored response repeats."""

    model: str | None = Field(
        None,
        description="Model id, its last path component, or an alias. Empty: that of the previous "
        "response, or the default model.",
    )
    instructions: str | None = Field(
        None, description="A system message before everything; later responses do not inherit it."
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=INT32_MAX, description="Left out: as many as fit the context."
    )
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy.")
    top_p: float | None = Field(None, gt=0, le=1)
    top_logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP_LOGPROBS, description=f"Needs `{LOGPROBS}` in `include`."
    )
    text: TextOptions | None = None
    tools: Items[FlatTool] | None = Field(None, description="What the model may call.")
    tool_choice: FlatToolChoice | None = Field(None, description="Default: `auto`.")
    parallel_tool_calls: bool | None = Field(
        None, description="Whether one answer may hold several calls. Default: true."
    )
    store: bool | None = Field(
        None,
        description="Keep the response, for a while, so that others can follow it. Default: true.",
    )
    previous_response_id: str | None = Field(
        None, description="A stored response: `input` follows it, and all that it followed."
    )
    metadata: Labels | None = Field(None, description="Given back in the answer.")
    user: str | None = Field(None, description="The end user, for the caller's own records.")

    def stores(self) -> bool:
        return self.store is not False


class ResponseRequest(ResponseOptions):
    """A conversation to answer, or what follows a stored response."""

    input: Annotated[
        Annotated[str, Tag("(string)")]
        | Annotated[Items[InputItem], Field(min_length=1), Tag("(list)")],
        STRING_OR_LIST,
    ] = Field(description="A question, or several items of a conversation.")
    include: Items[str] | None = Field(None, description=f"`{LOGPROBS}` is what can be added.")
    stream: bool | None = Field(None, description="Answer with server-sent events.")


class OutputText(BaseModel):
    """The text of an answer."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[dict[str, Any]]


class OutputMessage(BaseModel):
    """An answer; can be sent back as an item of the next `input`."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class FunctionCallItem(BaseModel):
    """A call that the model made; answer it with a `function_call_output`."""

    id: str
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str = Field(description="A JSON object as text. Complete unless it was cut off.")
    status: Literal["in_progress", "completed", "incomplete"]


class InputDetails(BaseModel):
    """Of the tokens of the input."""

    cached_tokens: int


class OutputDetails(BaseModel):
    """Of the tokens of the output."""

    reasoning_tokens: int


class ResponseUsage(BaseModel):
    """Tokens of the request."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseBody(BaseModel):
    """The whole answer, and in a stream what is known of it so far."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    error: None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str = Field(description="The id of the model that answered.")
    output: list[OutputMessage | FunctionCallItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[Any]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    user: str | None


class InputItems(BaseModel):
    """What a response answered."""

    object: Literal["list"]
    data: list[dict[str, Any]] = Field(
        description="Messages, calls and their results, in the form in which they can be sent."
    )
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedResponse(BaseModel):
    """The response is forgotten."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


REQUEST_EXAMPLES: dict[str, Any] = {
    "text": {"summary": "A question", "value": {"input": "What is the capital of France?"}},
    "items": {
        "summary": "A conversation with instructions, streamed",
        "value": {
            "instructions": "Answer briefly.",
            "input": [
                {"role": "user", "content": "What is the capital of France?"},
                {"role": "assistant", "content": "Paris."},
                {"role": "user", "content": [{"type": "input_text", "text": "And of Spain?"}]},
            ],
            "max_output_tokens": 64,
            "stream": True,
        },
    },
    "following": {
        "summary": "What follows a stored response",
        "value": {
            "previous_response_id": "resp_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50",
            "input": "And of Spain?",
        },
    },
}

RESPONSE_EXAMPLE: dict[str, Any] = {
    "id": "resp_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50",
    "object": "response",
    "created_at": 1700000000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "model": "sterna/tern-nano",
    "output": [
        {
            "id": "msg_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "The capital of France is Paris.",
                    "annotations": [],
                    "logprobs": [],
                }
            ],
        }
    ],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 20,
    },
    "user": None,
}

ITEMS_EXAMPLE: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "id": "msg_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50_in0",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": "What is the capital of France?"}],
        }
    ],
    "first_id": "msg_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50_in0",
    "last_id": "msg_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50_in0",
    "has_more": False,
}

STREAM_EXAMPLE = (
    "event: response.output_text.delta\n"
    'data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_8b1c",'
    '"output_index":0,"content_index":0,"delta":"Paris.","logprobs":[]}\n\n'
)
