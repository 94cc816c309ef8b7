"""What can go wrong, as the rest of the service says it.

Nothing here knows of gRPC. `sterna_service.rpc.status` turns a `ServiceError` into a status;
the reasons are those of `sterna.v1.ErrorReason`, without the prefix.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why a call was refused. The names are part of the protocol."""

    INTERNAL = "INTERNAL"
    NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INVALID_FIELD = "INVALID_FIELD"
    FIELD_OUT_OF_RANGE = "FIELD_OUT_OF_RANGE"
    FIELD_UNSUPPORTED = "FIELD_UNSUPPORTED"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    GRAMMAR_INVALID = "GRAMMAR_INVALID"
    CHAT_TEMPLATE_FAILED = "CHAT_TEMPLATE_FAILED"
    CHAT_TEMPLATE_MISSING = "CHAT_TEMPLATE_MISSING"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RATE_LIMITED = "RATE_LIMITED"
    CONCURRENCY_LIMITED = "CONCURRENCY_LIMITED"
    QUEUE_FULL = "QUEUE_FULL"
    SERVER_STARTING = "SERVER_STARTING"
    SERVER_DRAINING = "SERVER_DRAINING"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DISK_FULL = "DISK_FULL"
    CORE_UNREACHABLE = "CORE_UNREACHABLE"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_NOT_LOADED = "MODEL_NOT_LOADED"
    MODEL_LOADING = "MODEL_LOADING"
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    MODEL_UNSUPPORTED = "MODEL_UNSUPPORTED"
    CAPABILITY_MISSING = "CAPABILITY_MISSING"
    PATH_FORBIDDEN = "PATH_FORBIDDEN"
    SWAP_IN_PROGRESS = "SWAP_IN_PROGRESS"
    MODEL_IN_USE = "MODEL_IN_USE"
    ADAPTER_NOT_FOUND = "ADAPTER_NOT_FOUND"
    ADAPTER_UNSUPPORTED = "ADAPTER_UNSUPPORTED"
    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    SOURCE_ACCESS_DENIED = "SOURCE_ACCESS_DENIED"
    DOWNLOAD_FAILED = "DOWNLOAD_FAILED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    PULL_NOT_FOUND = "PULL_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    SESSION_ALREADY_EXISTS = "SESSION_ALREADY_EXISTS"
    SESSION_BUSY = "SESSION_BUSY"
    ANSWER_NOT_FOUND = "ANSWER_NOT_FOUND"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    REVISION_COMPACTED = "REVISION_COMPACTED"
    SEARCH_NOT_CONFIGURED = "SEARCH_NOT_CONFIGURED"
    STATE_UNAVAILABLE = "STATE_UNAVAILABLE"
    SPEECH_DISABLED = "SPEECH_DISABLED"
    SPEECH_WEIGHTS_MISSING = "SPEECH_WEIGHTS_MISSING"
    AUDIO_TOO_LARGE = "AUDIO_TOO_LARGE"
    AUDIO_TOO_LONG = "AUDIO_TOO_LONG"
    AUDIO_UNREADABLE = "AUDIO_UNREADABLE"
    VOICE_NOT_FOUND = "VOICE_NOT_FOUND"
    VOICE_BUILT_IN = "VOICE_BUILT_IN"
    VOICE_ALREADY_EXISTS = "VOICE_ALREADY_EXISTS"
    VOICE_SAMPLE_UNUSABLE = "VOICE_SAMPLE_UNUSABLE"
    VOICE_CLONING_UNAVAILABLE = "VOICE_CLONING_UNAVAILABLE"
    SPEECH_WORKER_FAILED = "SPEECH_WORKER_FAILED"


class ServiceError(Exception):
    """A refusal that the caller should see, word for word.

    `message` is one line: what is wrong, the limit, the remedy. `field` is the path of the request
    field at fault in the protocol's spelling (`spec.sampling.temperature`), when there is one.
    `metadata` repeats every value that the message mentions, for programs. `retry_after` is in
    seconds and is set where trying again later can help.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.retry_after = retry_after


def invalid(field: str, problem: str) -> ServiceError:
    """A required field is missing or has the wrong form; `problem` says the remedy."""
    return ServiceError(
        Reason.INVALID_FIELD, f"{field} {problem}", field=field, metadata={"field": field}
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether a file could not be written because its disk, or a quota, has no room.

    Native libraries tell it in the words of the system only.
    """
    numbers = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in numbers
    return any(os.strerror(number) in str(error) for number in numbers)


def out_of_range(field: str, limit: str, got: object) -> ServiceError:
    """A number or a length is outside of its limits; `limit` reads "0 to 2"."""
    return ServiceError(
        Reason.FIELD_OUT_OF_RANGE,
        f"{field} must be {limit}, got {got}",
        field=field,
        metadata={"field": field, "limit": limit},
    )


def unsupported(field: str, problem: str, model_id: str) -> ServiceError:
    """The field is known, but this model cannot honour it."""
    return ServiceError(
        Reason.FIELD_UNSUPPORTED,
        f"{field} {problem}",
        field=field,
        metadata={"field": field, "model": model_id},
    )


def not_implemented(feature: str, what: str) -> ServiceError:
    """The protocol has it, this version does not do it yet; `what` begins the sentence."""
    return ServiceError(
        Reason.NOT_IMPLEMENTED,
        f"{what} not available in this version of the server",
        metadata={"feature": feature},
    )


class StartupError(Exception):
    """The server cannot start: a setting, a port or a model is at fault.

    The message is one line for the person who started it; no traceback belongs beside it.
    """


class ModelLoadError(Exception):
    """A model's files cannot be served: missing, damaged, or of a kind that is not supported.

    The message is one line that names the file or tensor at fault and the remedy. `reason` tells a
    damaged model from one that this engine cannot run.
    """

    def __init__(self, message: str, reason: Reason = Reason.CHECKPOINT_INVALID) -> None:
        super().__init__(message)
        self.reason = reason
