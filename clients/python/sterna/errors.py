"""What a call raises when it fails: one class per kind of failure, with the reason for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DOMAIN = "sterna"
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that the server refused: its path in the request, and what is wrong with it."""

    field: str
    description: str


class SternaError(Exception):
    """A call failed.

    Attributes:
        message: One line for a person.
        code: The gRPC status.
        reason: Why, for programs: a name of `ErrorReason` without its prefix, for example
            "MODEL_NOT_FOUND". Empty when the failure came from below the server, for example
            from the network.
        metadata: What varies in the message, by the keys that `ErrorReason` documents.
        violations: The fields that were refused, if any.
        retry_after: Seconds to wait before the call may succeed; None: do not repeat it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} [{self.reason or self.code.name}]"


class InvalidRequestError(SternaError):
    """The request is wrong, or not possible in the server's present state."""


class NotFoundError(SternaError):
    """The model, adapter, session, voice or webhook does not exist."""


class ConflictError(SternaError):
    """It exists already, or another call is changing it."""


class AuthenticationError(SternaError):
    """There is no API key, or it is not valid."""


class AccessDeniedError(SternaError):
    """The API key, or the server's rules, do not allow this."""


class LimitError(SternaError):
    """A rate, a queue, the memory or the disk is at its limit; see `retry_after`."""


class UnavailableError(SternaError):
    """The server cannot be reached, is starting, is stopping, or is loading the model."""


class DeadlineError(SternaError, TimeoutError):
    """The call took longer than its timeout, or than the server allows."""


class CallCancelledError(SternaError):
    """The call was cancelled by `cancel()`; a cancelled task raises `asyncio.CancelledError`."""


class NotSupportedError(SternaError):
    """The server does not do this, or not in its present configuration."""


class ServerError(SternaError):
    """The server failed; `metadata["request_id"]` finds the cause in its log."""


_CLASSES: dict[grpc.StatusCode, type[SternaError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: AccessDeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.CANCELLED: CallCancelledError,
    grpc.StatusCode.UNIMPLEMENTED: NotSupportedError,
    grpc.StatusCode.INTERNAL: ServerError,
    grpc.StatusCode.DATA_LOSS: ServerError,
    grpc.StatusCode.UNKNOWN: ServerError,
}


class _FailedCall(Protocol):
    """What the errors of grpc and of grpc.aio have in common."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_rpc_error(call: _FailedCall) -> SternaError:
    """The error for a failed call, with what its status details say."""
    code = call.code()
    message = call.details() or code.name
    details = _status_details(call.trailing_metadata() or ())
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    found = {type(part).__name__ for part in (info, retry, bad) if _unpack(details, part)}
    known = "ErrorInfo" in found and info.domain == _DOMAIN
    return _CLASSES.get(code, SternaError)(
        message,
        code=code,
        reason=info.reason if known else "",
        metadata=dict(info.metadata) if known else {},
        violations=[FieldViolation(v.field, v.description) for v in bad.field_violations],
        retry_after=retry.retry_delay.ToTimedelta().total_seconds()
        if "RetryInfo" in found
        else None,
    )


def _status_details(metadata: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    """The google.rpc.Status in the trailing metadata; an empty one when there is none to read."""
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _unpack(status: status_pb2.Status, into: Message) -> bool:
    """Fill `into` from the first detail of its type; whether there was one."""
    for detail in status.details:
        if detail.Is(into.DESCRIPTOR):
            try:
                return bool(detail.Unpack(into))
            except DecodeError:
                return False
    return False
