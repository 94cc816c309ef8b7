"""Installs the error bodies of the contract on an application."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from sterna_rest.errors.api_error import ApiError
from sterna_rest.errors.validation import validation_error
from sterna_rest.http.disconnect import ClientLeftError

_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
}


def install_error_handlers(app: FastAPI) -> None:
    """Every error of `app`, its routing errors included, takes the contract's shape.

    Bugs are the business of `RequestContext`, which stands outside of everything else.
    """
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientLeftError, _on_client_left)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _response(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(request, validation_error(error.errors()))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _response(request, routing_error(request, error))


def _response(request: Request, error: ApiError) -> Response:
    return error_response(request.scope, error)


def error_response(scope: Scope, error: ApiError) -> Response:
    """The HTTP answer, in the shape that belongs to the path and to the application's API."""
    path = scope["path"]
    if path.startswith("/api/") and getattr(scope["app"].state, "sterna_ollama", False):
        return error.ollama_response()
    return error.response(path)


async def _on_client_left(request: Request, error: Exception) -> Response:
    # Nobody reads this; the status is for the access log.
    return Response(status_code=499)


def routing_error(request: Request, error: HTTPException) -> ApiError:
    """What Starlette itself refuses (404, 405 …), in the contract's terms."""
    status = error.status_code
    path = request.scope["path"]
    if status == 404:
        message = f"There is no `{request.method} {path}` here; see /docs."
    elif status == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"`{path}` does not take {request.method}; it takes {allowed}."
    else:
        message = str(error.detail)
    default = "server_error" if status >= 500 else "invalid_request"
    return ApiError(
        status,
        message,
        code=_CODES.get(status, default),
        headers=dict(error.headers) if error.headers else None,
    )
