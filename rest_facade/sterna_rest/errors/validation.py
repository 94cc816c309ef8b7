"""Turns validation errors into one clear sentence and a list of problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from sterna_rest.errors.api_error import ApiError

# Problems with a value of the right shape; every other problem is one of shape.
_VALUE_PROBLEMS = frozenset(
    {
        "enum",
        "finite_number",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "literal_error",
        "multiple_of",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "too_long",
        "too_short",
        "value_out_of_range",
    }
)

# Fields that are each in order and do not go together: our own validators name them so.
_COMBINATIONS = frozenset({"one_form", "one_input"})

# Longer inputs are not sent back: they would be the caller's own prompt.
_MAX_ECHO_BYTES = 200


def validation_error(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """One error for all of pydantic's `errors()`.

    400 as soon as one problem is of shape (a missing field, a wrong type), 422 when all of them
    are values out of range. The first problem of the worse kind makes the message.
    """
    shape = [e for e in errors if e["type"] not in _VALUE_PROBLEMS]
    worst = (shape or list(errors))[0]
    param = parameter_name(worst["loc"])
    message = _sentence(worst, param)
    if len(errors) > 1:
        message += f" ({len(errors) - 1} more under `detail`.)"
    return ApiError(
        400 if shape else 422,
        message,
        code=_code(worst["type"]),
        param=param,
        problems=[_problem(e) for e in errors],
    )


def parameter_name(loc: Sequence[int | str]) -> str | None:
    """`("body", "messages", 0, "content")` as `messages[0].content`; None for the whole body."""
    name = ""
    for part in _visible(loc)[1:]:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += f".{part}" if name else part
    return name or None


def _visible(loc: Sequence[int | str]) -> list[int | str]:
    # Tags that choose a member of a union are written in parentheses (see schemas); pydantic marks
    # a key of a mapping, as opposed to its value, by "[key]".
    return [p for p in loc if not (isinstance(p, str) and (p.startswith("(") or p == "[key]"))]


def _code(kind: str) -> str:
    if kind == "missing":
        return "missing_required_parameter"
    return "invalid_value" if kind in _VALUE_PROBLEMS | _COMBINATIONS else "invalid_type"


def _sentence(error: Mapping[str, Any], param: str | None) -> str:
    if param is None:
        if error["type"] == "missing":
            return "A JSON object is required as the request body."
        if error["type"] in _COMBINATIONS:
            return f"{error['msg']}."
        return "The request body must be a JSON object."
    if error["type"] == "missing":
        return f"`{param}` is required."
    message: str = error["msg"].removeprefix("Value error, ")
    if "UploadFile" in message:
        message = "Input should be a file, with a file name"
    echo = _echo(error.get("input"))
    got = f"; got {echo}" if echo is not None else ""
    return f"`{param}`: {message.rstrip('.')}{got}."


def _problem(error: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of FastAPI's `detail` list, without URLs and without large inputs."""
    problem: dict[str, Any] = {
        "type": error["type"],
        "loc": _visible(error["loc"]),
        "msg": error["msg"],
    }
    if _echo(error.get("input")) is not None:
        problem["input"] = error["input"]
    context = error.get("ctx")
    if context:
        problem["ctx"] = {k: str(v) if isinstance(v, Exception) else v for k, v in context.items()}
    return problem


def _echo(value: Any) -> str | None:
    """`value` as JSON when it is short enough to send back."""
    try:
        text = to_json(value, inf_nan_mode="constants")
    except PydanticSerializationError:
        return None
    return text.decode() if len(text) <= _MAX_ECHO_BYTES else None
