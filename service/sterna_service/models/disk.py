"""What the disk refuses, in the words of a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sterna_service.errors import Reason, ServiceError, is_disk_full


def disk_refusal(source: str, error: OSError) -> ServiceError:
    """Why something of `source` could not be read or written here."""
    if is_disk_full(error):
        return ServiceError(
            Reason.DISK_FULL,
            f"{source}: the disk is full{_place(error)}; make room and try again, what came is "
            "kept",
            metadata={"source": source},
        )
    return ServiceError(
        Reason.DOWNLOAD_FAILED,
        f"{source}: {error.strerror or error}{_place(error)}",
        metadata={"source": source},
    )


@contextmanager
def disk_explained(source: str) -> Iterator[None]:
    """Turns errors of the disk into refusals."""
    try:
        yield
    except OSError as error:
        raise disk_refusal(source, error) from None


def _place(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
