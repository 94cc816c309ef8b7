"""Chat templates: Jinja programs that come with a checkpoint, run in a sandbox.

The environment is the one that templates are written for (that of Hugging Face): the same
extensions, filters and globals, so that a conversation becomes the same text here as there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.nodes
import jinja2.utils
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json, read_text

# What a template may write and how long it may take. Generous: a prompt of this length does not
# fit any context window, and a conversation takes a millisecond.
LARGEST_OUTPUT_CHARACTERS = 16 * 1024 * 1024
LONGEST_SECONDS = 10.0

_DEFAULT = "default"


class TemplateError(Exception):
    """A template refused a conversation or failed on it. The message is one line."""


class _RefusedError(jinja2.TemplateError):
    """The template called `raise_exception`."""


class _GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what a model learns; here just its content."""

    tags = {"generation"}  # noqa: RUF012 - the base class defines it so

    def parse(self, parser: Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: object = "") -> NoReturn:
    raise _RefusedError(str(message))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which would put &lt; into prompts.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    # A function, where the class would offer its attributes to the template as well.
    return dict(*args, **kwargs)


def _make_namespace(*args: Any, **kwargs: Any) -> jinja2.utils.Namespace:
    namespace = jinja2.utils.Namespace(*args, **kwargs)
    # Keys like __class__ would shadow the object's own attributes.
    for name in dict(*args, **kwargs):
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")
    return namespace


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _make_dict
    environment.globals["namespace"] = _make_namespace
    return environment


class ChatTemplate:
    """The chat template of one checkpoint, compiled."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """`sources` holds one template or several by name; `default` is the usual one.

        Raises:
            ModelLoadError: A template is not valid Jinja.
        """
        environment = _environment()
        self._templates: dict[str, jinja2.Template] = {}
        for name, source in sources.items():
            try:
                self._templates[name] = environment.from_string(source)
            except (jinja2.TemplateError, RecursionError) as error:
                raise ModelLoadError(
                    f"the chat template {name!r} is not valid: {_one_line(error)}"
                ) from None
        self.name = _DEFAULT if _DEFAULT in self._templates else next(iter(self._templates))
        self.source = sources[self.name]
        self._sources = dict(sources)

    @property
    def knows_developer(self) -> bool:
        """Whether the template has a role of its own for developers."""
        return "developer" in self.source

    @property
    def knows_tools(self) -> bool:
        """Whether the template shows tools, and calls of them in the form that is used here."""
        source = self._sources.get("tool_use", self.source)
        return "tools" in source and "<tool_call>" in source

    def render(self, variables: Mapping[str, Any], *, with_tools: bool = False) -> str:
        """The prompt text. `variables` are plain JSON values.

        Raises:
            TemplateError: The template refuses the conversation, fails, or writes too much.
        """
        name = "tool_use" if with_tools and "tool_use" in self._templates else self.name
        deadline = time.monotonic() + LONGEST_SECONDS
        parts: list[str] = []
        size = 0
        try:
            # Piece by piece, so that a template that never ends can be stopped.
            for part in self._templates[name].generate(**variables):
                parts.append(part)
                size += len(part)
                if size > LARGEST_OUTPUT_CHARACTERS:
                    raise TemplateError(
                        f"it wrote more than {LARGEST_OUTPUT_CHARACTERS} characters"
                    )
                if time.monotonic() > deadline:
                    raise TemplateError(f"it took longer than {LONGEST_SECONDS:.0f} s")
        except _RefusedError as error:
            raise TemplateError(_one_line(error) or "it gave no reason") from None
        except TemplateError:
            raise
        except Exception as error:
            # Whatever Python can raise, a template can make it raise.
            raise TemplateError(_one_line(error)) from None
        return "".join(parts)


def load_chat_template(checkpoint: Path) -> ChatTemplate | None:
    """The template of a checkpoint: `chat_template.jinja`, else that of tokenizer_config.json.

    Raises:
        ModelLoadError: A file is damaged, or a template is not valid.
    """
    source = read_text(checkpoint / "chat_template.jinja")
    if source is not None:
        return ChatTemplate({_DEFAULT: source})
    path = checkpoint / "tokenizer_config.json"
    declared = read_json(path, missing={}).get("chat_template")
    if declared is None:
        return None
    if isinstance(declared, str):
        return ChatTemplate({_DEFAULT: declared})
    problem = f"{path}: chat_template must be text, or a list of objects with name and template"
    if not isinstance(declared, list) or not declared:
        raise ModelLoadError(problem)
    sources: dict[str, str] = {}
    for entry in declared:
        if not isinstance(entry, dict):
            raise ModelLoadError(problem)
        name, template = entry.get("name"), entry.get("template")
        if not isinstance(name, str) or not isinstance(template, str):
            raise ModelLoadError(problem)
        sources[name] = template
    return ChatTemplate(sources)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] if text else type(error).__name__
