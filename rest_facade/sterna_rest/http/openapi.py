"""What every operation documents: its errors, and both forms of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response
from starlette.routing import Route


class ErrorObject(BaseModel):
    """An error as OpenAI clients know it."""

    message: str
    type: str
    param: str | None
    code: str | None


class Problem(BaseModel):
    """One entry of a validation error."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any = None
    ctx: dict[str, Any] | None = None


class ErrorBody(BaseModel):
    """Every error on `/v1/*`."""

    error: ErrorObject
    detail: list[Problem] | None = Field(None, description="With validation errors only.")


class DetailBody(BaseModel):
    """Every error outside of `/v1/*`."""

    detail: str


_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}

_DESCRIPTIONS = {
    400: "Malformed JSON, a missing field, a wrong type, or something this model cannot do.",
    403: "Not allowed.",
    404: "No such model.",
    408: "The upload stalled.",
    409: "The conversation is in use by another request.",
    413: "The body is larger than the server takes.",
    415: "The body is not declared as JSON.",
    422: "A value out of its range.",
    429: "Over a rate or concurrency limit.",
    500: "A bug.",
    501: "Not in this version.",
    503: "Starting, stopping, or the queue is full.",
    504: "Not complete within the server's time limit.",
    507: "Memory is too small for this.",
}


def error_documentation(*statuses: int, body: type[BaseModel] = ErrorBody) -> dict[int | str, Any]:
    """The `responses` of an operation that may fail with these statuses."""
    return {
        status: {
            "model": body,
            "description": _DESCRIPTIONS[status],
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def example_of(answer: dict[str, Any]) -> dict[int | str, Any]:
    """The `responses` of an operation that succeeds with such a body."""
    return {200: {"content": {"application/json": {"example": answer}}}}


# One server-sent event. (`itemSchema` is of OpenAPI 3.2; in 3.1 nothing describes a stream.)
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "description": "Absent where all events are of one kind."},
        "data": {"type": "string", "description": "JSON, or what ends the stream."},
    },
    "required": ["data"],
}


def answer_documentation(
    whole: type[BaseModel],
    chunk: type[BaseModel] | str,
    example: dict[str, Any],
    stream_example: str,
    error: type[BaseModel] = ErrorBody,
) -> dict[int | str, Any]:
    """The `responses` of a generation: JSON, a stream, or an error.

    `chunk` is what the events of a stream hold, or in words which events there are.
    """
    events = (
        chunk
        if isinstance(chunk, str)
        else f"events whose data is a `{chunk.__name__}`, and at the end `data: [DONE]`."
    )
    return {
        200: {
            "model": whole,
            "description": f"The answer; with `stream`, {events}",
            "content": {
                "application/json": {"example": example},
                "text/event-stream": {"itemSchema": EVENT_SCHEMA, "example": stream_example},
            },
            "headers": {
                "x-ignored-params": {
                    "description": "Unknown fields of the request, which had no effect.",
                    "schema": {"type": "string"},
                }
            },
        },
        **error_documentation(400, 404, 413, 415, 422, 429, 500, 501, 503, 504, 507, body=error),
    }


_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI, routers: Sequence[APIRouter], *further: type[BaseModel]) -> None:
    """Completes the OpenAPI document of `app`, which is made of `routers`.

    Adds the schemas of `further`, which only streams mention, and takes out the error bodies that
    FastAPI assumes by itself and this application never sends.
    """
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = generate()
        schemas = schema["components"]["schemas"]
        for model in further:
            own = model.model_json_schema(
                mode="serialization", ref_template="#/components/schemas/{model}"
            )
            schemas.update(own.pop("$defs", {}))
            schemas[model.__name__] = own
        for operation in _operations(schema):
            if _FASTAPI_ERRORS[0] in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
        for name in _FASTAPI_ERRORS:
            schemas.pop(name, None)
        for router in routers:
            _restore_examples(router, schema)
        return schema

    app.openapi = complete  # type: ignore[method-assign]
    _serve_once_made(app)


def _serve_once_made(app: FastAPI) -> None:
    """FastAPI writes the document anew for each request, which takes long, and anybody may ask."""
    path = app.openapi_url
    made = b""

    async def openapi(request: Request) -> Response:
        nonlocal made
        if not made:
            made = to_json(app.openapi())
        return Response(made, media_type="application/json")

    routes = [route for route in app.router.routes if getattr(route, "path", None) != path]
    app.router.routes[:] = [Route(path, openapi), *routes] if path else routes


def _restore_examples(router: APIRouter, schema: dict[str, Any]) -> None:
    """FastAPI drops what is null from them, which makes examples that lack required fields."""
    for route in router.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = schema["paths"][route.path_format][method.lower()]
            for status, response in route.responses.items():
                documented = operation["responses"].get(str(status), {}).get("content", {})
                for kind, media in response.get("content", {}).items():
                    if "example" in media and kind in documented:
                        documented[kind]["example"] = media["example"]


def _operations(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema["paths"].values():
        yield from path.values()
