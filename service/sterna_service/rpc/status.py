"""Refusals as gRPC statuses: one table, and the details that go with each."""

from __future__ import annotations

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from sterna_service.errors import Reason, ServiceError

DOMAIN = "sterna"
DETAILS_KEY = "grpc-status-details-bin"

# Status and details travel as HTTP/2 headers, of which peers take 8 KiB. The text goes there alone,
# with three characters for each byte that is not ASCII, and in the details, which base64 makes a
# third longer.
_MOST_MESSAGE_BYTES = 1000
_MOST_VALUE_BYTES = 300

STATUS_OF: dict[Reason, StatusCode] = {
    Reason.INTERNAL: StatusCode.INTERNAL,
    Reason.NOT_IMPLEMENTED: StatusCode.UNIMPLEMENTED,
    Reason.CANCELLED: StatusCode.CANCELLED,
    Reason.DEADLINE_EXCEEDED: StatusCode.DEADLINE_EXCEEDED,
    Reason.INVALID_FIELD: StatusCode.INVALID_ARGUMENT,
    Reason.FIELD_OUT_OF_RANGE: StatusCode.INVALID_ARGUMENT,
    Reason.FIELD_UNSUPPORTED: StatusCode.INVALID_ARGUMENT,
    Reason.CONTEXT_LENGTH_EXCEEDED: StatusCode.INVALID_ARGUMENT,
    Reason.GRAMMAR_INVALID: StatusCode.INVALID_ARGUMENT,
    Reason.CHAT_TEMPLATE_FAILED: StatusCode.INVALID_ARGUMENT,
    Reason.CHAT_TEMPLATE_MISSING: StatusCode.FAILED_PRECONDITION,
    Reason.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    Reason.PERMISSION_DENIED: StatusCode.PERMISSION_DENIED,
    Reason.RATE_LIMITED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.CONCURRENCY_LIMITED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.QUEUE_FULL: StatusCode.RESOURCE_EXHAUSTED,
    Reason.SERVER_STARTING: StatusCode.UNAVAILABLE,
    Reason.SERVER_DRAINING: StatusCode.UNAVAILABLE,
    Reason.OUT_OF_MEMORY: StatusCode.RESOURCE_EXHAUSTED,
    Reason.DISK_FULL: StatusCode.RESOURCE_EXHAUSTED,
    Reason.CORE_UNREACHABLE: StatusCode.UNAVAILABLE,
    Reason.MODEL_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.MODEL_NOT_LOADED: StatusCode.FAILED_PRECONDITION,
    Reason.MODEL_LOADING: StatusCode.UNAVAILABLE,
    Reason.CHECKPOINT_INVALID: StatusCode.FAILED_PRECONDITION,
    Reason.MODEL_UNSUPPORTED: StatusCode.FAILED_PRECONDITION,
    Reason.CAPABILITY_MISSING: StatusCode.FAILED_PRECONDITION,
    Reason.PATH_FORBIDDEN: StatusCode.PERMISSION_DENIED,
    Reason.SWAP_IN_PROGRESS: StatusCode.ABORTED,
    Reason.MODEL_IN_USE: StatusCode.FAILED_PRECONDITION,
    Reason.ADAPTER_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.ADAPTER_UNSUPPORTED: StatusCode.FAILED_PRECONDITION,
    Reason.SOURCE_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.SOURCE_ACCESS_DENIED: StatusCode.PERMISSION_DENIED,
    Reason.DOWNLOAD_FAILED: StatusCode.UNAVAILABLE,
    Reason.DIGEST_MISMATCH: StatusCode.DATA_LOSS,
    Reason.PULL_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.SESSION_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.SESSION_ALREADY_EXISTS: StatusCode.ALREADY_EXISTS,
    Reason.SESSION_BUSY: StatusCode.ABORTED,
    Reason.ANSWER_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.WEBHOOK_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.REVISION_COMPACTED: StatusCode.OUT_OF_RANGE,
    Reason.SEARCH_NOT_CONFIGURED: StatusCode.FAILED_PRECONDITION,
    Reason.STATE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    Reason.SPEECH_DISABLED: StatusCode.UNIMPLEMENTED,
    Reason.SPEECH_WEIGHTS_MISSING: StatusCode.FAILED_PRECONDITION,
    Reason.AUDIO_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    Reason.AUDIO_TOO_LONG: StatusCode.INVALID_ARGUMENT,
    Reason.AUDIO_UNREADABLE: StatusCode.INVALID_ARGUMENT,
    Reason.VOICE_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.VOICE_BUILT_IN: StatusCode.FAILED_PRECONDITION,
    Reason.VOICE_ALREADY_EXISTS: StatusCode.ALREADY_EXISTS,
    Reason.VOICE_SAMPLE_UNUSABLE: StatusCode.INVALID_ARGUMENT,
    Reason.VOICE_CLONING_UNAVAILABLE: StatusCode.FAILED_PRECONDITION,
    Reason.SPEECH_WORKER_FAILED: StatusCode.UNAVAILABLE,
}
"""The gRPC status of every reason; `error_reason.proto` documents them."""


def status_of(error: ServiceError, request_id: str) -> status_pb2.Status:
    """The status of a refusal, with ErrorInfo and, where they apply, BadRequest and RetryInfo."""
    code = STATUS_OF[error.reason]
    message = _shorten(error.message, _MOST_MESSAGE_BYTES)
    metadata = {key: _shorten(value, _MOST_VALUE_BYTES) for key, value in error.metadata.items()}
    if error.reason is Reason.INTERNAL:
        metadata["request_id"] = request_id
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata)
    ]
    if error.field is not None and code is StatusCode.INVALID_ARGUMENT:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=message
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(max(1, round(error.retry_after * 1000)))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=code.value[0], message=message, details=[_packed(detail) for detail in details]
    )


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _shorten(text: str, most_bytes: int) -> str:
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    return f"{encoded[:most_bytes].decode(errors='ignore')}…"
