"""Fields of the OpenAI API that exist, and that this server cannot honour yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from sterna_rest.errors import ApiError


def unsupported(param: str, what: str) -> ApiError:
    """The error for one known field: names it and says how to go on without it."""
    return ApiError(
        400,
        f"`{param}`: {what} not available in this version of the server; leave it out.",
        code="unsupported_parameter",
        param=param,
    )


# Each known field, the values that ask for nothing, and how to name it in a sentence.
# None always asks for nothing.
_COMMON: dict[str, tuple[tuple[Any, ...], str]] = {
    "service_tier": (("auto", "default"), "service tiers are"),
}

CHAT_FIELDS = _COMMON | {
    "audio": ((), "spoken answers are"),
    "function_call": (("none", "auto"), "function calling, other than through `tools`, is"),
    "functions": (([],), "function calling, other than through `tools`, is"),
    "modalities": ((["text"],), "modalities other than text are"),
    "prediction": ((), "predicted outputs are"),
    "reasoning_effort": (("none",), "reasoning is"),
    "store": ((False,), "storing answers is"),
    "verbosity": (("medium",), "verbosity is"),
}

COMPLETION_FIELDS = _COMMON | {
    "best_of": ((1,), "choosing the best of several answers is"),
}

RESPONSE_FIELDS = _COMMON | {
    "background": ((False,), "answering in the background is"),
    "context_management": (([],), "managing the context is"),
    "conversation": ((), "stored conversations through this field are"),
    "max_tool_calls": ((), "a limit for built-in tools is"),
    "moderation": ((), "moderation is"),
    "prompt": ((), "stored prompts are"),
    "reasoning": (({}, {"effort": None}, {"effort": "none"}), "reasoning is"),
    "truncation": (("disabled",), "truncating the input is"),
}

MESSAGE_FIELDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "container": ((), "containers are"),
    "mcp_servers": (([],), "tool calling is"),
    "service_tier": (("auto", "standard_only"), "service tiers are"),
    "speed": (("standard",), "choosing a speed is"),
    "thinking": (({"type": "disabled"},), "thinking is"),
}

# Fields that ask for nothing a client could see: accepted, without effect.
HINTS = frozenset(
    {
        "cache_control",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "stream_options",
    }
)


def refuse_unsupported(
    extra: Mapping[str, Any], known: Mapping[str, tuple[tuple[Any, ...], str]]
) -> None:
    """Raises `ApiError` 400 for the first field in `extra` that asks for more than there is."""
    for name, (harmless, what) in known.items():
        value = extra.get(name)
        if value is not None and value not in harmless:
            raise unsupported(name, what)


_HEADER_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)
_MAX_NAMES = 32


def ignored_headers(unknown: Iterable[str]) -> dict[str, str]:
    """The header that names the fields of a body that had no effect because nobody knows them."""
    known = HINTS.union(CHAT_FIELDS, COMPLETION_FIELDS, RESPONSE_FIELDS, MESSAGE_FIELDS)
    # A name may hold anything; only what is harmless in a header is sent back.
    names = (n for n in unknown if n not in known and _HEADER_NAME.fullmatch(n))
    shown = list(islice(names, _MAX_NAMES))
    return {"x-ignored-params": ", ".join(shown)} if shown else {}
