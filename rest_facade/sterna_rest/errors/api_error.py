"""The one exception that handlers raise, and the bodies it becomes."""

from __future__ import annotations

import math
from typing import Any

from fastapi import HTTPException
from pydantic_core import to_json
from starlette.responses import Response

OPENAI_PREFIX = "/v1/"
ANTHROPIC_PREFIX = "/v1/messages"

# What a client may wait before it tries again, when the core did not say.
DEFAULT_RETRY_SECONDS = 1.0

# The OpenAI `type` of each HTTP status; `invalid_request_error` for every other 4xx.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "invalid_request_error",
    503: "service_unavailable",
    504: "server_error",
}

# Errors of 503 that somebody has to mend.
_PERMANENT = frozenset({"speech_weights_missing"})

# The same for Anthropic's body.
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_type(status: int) -> str:
    """The OpenAI `type` that goes with an HTTP status."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


class ApiError(HTTPException):
    """A request that cannot be answered, with everything its client is told.

    `status` is the HTTP status, `code` the machine-readable name, `param` the field at fault in
    the caller's own spelling (`messages[0].content`), `problems` the FastAPI-style list of a
    validation error, `retry_after` seconds. An `HTTPException`, because FastAPI lets only those
    pass unchanged out of reading a body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        problems: list[dict[str, Any]] | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status_code=status, detail=message, headers=headers)
        self.message = message
        self.code = code
        self.param = param
        self.problems = problems
        if retry_after is None and status in (429, 503):
            retry_after = DEFAULT_RETRY_SECONDS
        self.retry_after = retry_after

    def envelope(self) -> dict[str, Any]:
        """The OpenAI error object: always all four keys."""
        return {
            "message": self.message,
            "type": error_type(self.status_code),
            "param": self.param,
            "code": self.code,
        }

    def openai_body(self) -> dict[str, Any]:
        """The body on `/v1/*`: the envelope, and the list of problems beside it."""
        body: dict[str, Any] = {"error": self.envelope()}
        if self.problems is not None:
            body["detail"] = self.problems
        return body

    def anthropic_body(self) -> dict[str, Any]:
        """The body under `/v1/messages`."""
        default = "invalid_request_error" if self.status_code < 500 else "api_error"
        kind = _ANTHROPIC_TYPES.get(self.status_code, default)
        return {"type": "error", "error": {"type": kind, "message": self.message}}

    def response(self, path: str) -> Response:
        """The whole HTTP answer, in the shape that belongs to `path`."""
        body: dict[str, Any] = {"detail": self.message}
        if path == ANTHROPIC_PREFIX or path.startswith(f"{ANTHROPIC_PREFIX}/"):
            body = self.anthropic_body()
        elif is_openai_path(path):
            body = self.openai_body()
        return self._response(body)

    def ollama_response(self) -> Response:
        """The whole HTTP answer, as Ollama's clients read it."""
        return self._response({"error": self.message})

    def _response(self, body: dict[str, Any]) -> Response:
        headers = dict(self.headers or {})
        if self.status_code == 401:
            headers["www-authenticate"] = 'Bearer realm="sterna"'
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
            headers["retry-after-ms"] = str(max(1, math.ceil(self.retry_after * 1000)))
        if self.status_code == 429:
            headers["x-should-retry"] = "true"
        if self.status_code == 501 or self.code in _PERMANENT:
            # Clients of OpenAI repeat every 5xx; these will not change by themselves.
            headers["x-should-retry"] = "false"
        return Response(
            to_json(body, inf_nan_mode="null"),
            status_code=self.status_code,
            media_type="application/json",
            headers=headers,
        )


def is_openai_path(path: str) -> bool:
    """Whether errors under `path` carry the OpenAI body."""
    return path == OPENAI_PREFIX[:-1] or path.startswith(OPENAI_PREFIX)


def missing(param: str) -> ApiError:
    """A field that this request needs is not there."""
    return ApiError(400, f"`{param}` is required.", code="missing_required_parameter", param=param)


def internal_error() -> ApiError:
    """A bug: says nothing of what happened inside."""
    return ApiError(
        500,
        "The server made an error while it answered this request; its log says more.",
        code="server_error",
    )
