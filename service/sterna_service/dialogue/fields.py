"""Names of fields: what is part of a conversation's configuration is checked by its users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sterna_service.errors import ServiceError


@contextlib.contextmanager
def renamed(part: str, whole: str) -> Iterator[None]:
    """Names fields of a part as they are named in the conversation's configuration."""
    try:
        yield
    except ServiceError as error:
        field = error.field
        if field is None or not (field == part or field.startswith(f"{part}.")):
            raise
        if field.startswith(f"{whole}."):
            raise
        place = whole + field.removeprefix(part)
        raise ServiceError(
            error.reason,
            error.message.replace(field, place),
            field=place,
            metadata={k: v.replace(field, place) for k, v in error.metadata.items()},
            retry_after=error.retry_after,
        ) from None
