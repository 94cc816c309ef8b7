"""What can go wrong, as the rest of the service says it.

Nothing here knows of gRPC. `sterna_service.rpc.status` turns a `ServiceError` into a status;
the reasons are those of `sterna.v1.ErrorReason`, without the prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why a call was refused. The names are part of the protocol."""

    INVALID_FIELD = "INVALID_FIELD"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_NOT_LOADED = "MODEL_NOT_LOADED"
    MODEL_LOADING = "MODEL_LOADING"
    QUEUE_FULL = "QUEUE_FULL"
    INTERNAL = "INTERNAL"


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


def invalid(field: str, problem: str, **metadata: object) -> ServiceError:
    """The error for a field that cannot be accepted; `problem` says the limit and the remedy."""
    return ServiceError(
        Reason.INVALID_FIELD,
        f"{field}: {problem}",
        field=field,
        metadata={key: str(value) for key, value in metadata.items()},
    )


class StartupError(Exception):
    """The server cannot start: a setting, a port or a model is at fault.

    The message is one line for the person who started it; no traceback belongs beside it.
    """
