"""Turns a gRPC status of the core into what the HTTP client is told."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from sterna_rest.errors.api_error import ApiError, internal_error
from sterna_rest.errors.table import REASONS, HttpError

_DOMAIN = "sterna"
_DETAILS_KEY = "grpc-status-details-bin"

# Statuses that gRPC itself makes, or that a newer core sends with a reason unknown here.
_BY_STATUS: dict[grpc.StatusCode, HttpError] = {
    grpc.StatusCode.CANCELLED: HttpError(503, "service_unavailable"),
    grpc.StatusCode.INVALID_ARGUMENT: HttpError(400, "invalid_value"),
    grpc.StatusCode.DEADLINE_EXCEEDED: REASONS["DEADLINE_EXCEEDED"],
    grpc.StatusCode.NOT_FOUND: HttpError(404, "not_found"),
    grpc.StatusCode.ALREADY_EXISTS: HttpError(409, "already_exists"),
    grpc.StatusCode.PERMISSION_DENIED: REASONS["PERMISSION_DENIED"],
    grpc.StatusCode.RESOURCE_EXHAUSTED: HttpError(503, "service_unavailable"),
    grpc.StatusCode.FAILED_PRECONDITION: HttpError(400, "failed_precondition"),
    grpc.StatusCode.ABORTED: HttpError(409, "aborted"),
    grpc.StatusCode.OUT_OF_RANGE: HttpError(422, "invalid_value"),
    grpc.StatusCode.UNIMPLEMENTED: REASONS["NOT_IMPLEMENTED"],
    grpc.StatusCode.UNAVAILABLE: REASONS["CORE_UNREACHABLE"],
    grpc.StatusCode.UNAUTHENTICATED: REASONS["UNAUTHENTICATED"],
}

# gRPC's own words for these name addresses and internals; the client gets these instead.
_OWN_MESSAGES = {
    grpc.StatusCode.CANCELLED: "The core stopped working on this request; try again.",
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "The answer was not complete within the server's time limit; ask for fewer tokens."
    ),
    grpc.StatusCode.UNAVAILABLE: "The inference core cannot be reached; try again in a moment.",
}


def core_error(
    error: grpc.aio.AioRpcError, parameter: Callable[[str], str] = lambda field: field
) -> ApiError:
    """What to raise for a failed call.

    `parameter` turns a field of the protocol (`spec.sampling.top_p`) into the name that the HTTP
    client used for it (`top_p`).
    """
    info, retry_after, field = _details(error)
    if info is not None and info.reason in REASONS:
        mapped, message = REASONS[info.reason], error.details() or info.reason
    elif error.code() in _BY_STATUS:
        mapped = _BY_STATUS[error.code()]
        message = _OWN_MESSAGES.get(error.code()) or error.details() or error.code().name
        if info is not None:
            message = error.details() or message
    else:
        return internal_error()
    if mapped.status == 500 and info is None:
        return internal_error()
    field = field or (info.metadata.get("field", "") if info is not None else "")
    return _api_error(mapped, message, field, parameter, retry_after, _limit_headers(error))


def reason_error(
    reason: str, message: str, field: str, parameter: Callable[[str], str]
) -> ApiError:
    """What to tell of a failure inside of a stream: as `core_error`, of the reason's name."""
    if reason not in REASONS:
        return internal_error()
    return _api_error(REASONS[reason], message, field, parameter, None, None)


def _api_error(
    mapped: HttpError,
    message: str,
    field: str,
    parameter: Callable[[str], str],
    retry_after: float | None,
    headers: dict[str, str] | None,
) -> ApiError:
    param = None
    if field:
        param = parameter(field)
        message = message.replace(field, f"`{param}`")
    elif mapped.code == "model_not_found":
        param = "model"
    return ApiError(
        mapped.status,
        message,
        code=mapped.code,
        param=param,
        retry_after=retry_after,
        headers=headers,
    )


def _limit_headers(error: grpc.aio.AioRpcError) -> dict[str, str] | None:
    """The state of the client's limits, which goes on to it as it is."""
    found = {
        key: value
        for key, value in error.trailing_metadata() or ()
        if key.startswith("x-ratelimit-") and isinstance(value, str)
    }
    return found or None


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The name of the core's reason; empty where it gave none."""
    info, _, _ = _details(error)
    return info.reason if info is not None else ""


def _details(
    error: grpc.aio.AioRpcError,
) -> tuple[error_details_pb2.ErrorInfo | None, float | None, str]:
    """`ErrorInfo` of this project, `RetryInfo` in seconds, the first field of `BadRequest`."""
    info: error_details_pb2.ErrorInfo | None = None
    retry_after: float | None = None
    field = ""
    for detail in _status(error).details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            if detail.Unpack(found) and found.domain == _DOMAIN:
                info = found
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(retry):
                retry_after = retry.retry_delay.ToMicroseconds() / 1e6
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            if detail.Unpack(bad) and bad.field_violations:
                field = bad.field_violations[0].field
    return info, retry_after, field


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()
