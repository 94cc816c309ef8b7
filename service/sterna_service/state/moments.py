"""Times as the database holds them: whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """A moment, which must know its zone, as a number."""
    return (moment - _EPOCH) // MICROSECOND


def moment(microseconds: int) -> datetime:
    """The moment of such a number."""
    return _EPOCH + microseconds * MICROSECOND


def moment_or_none(microseconds: int | None) -> datetime | None:
    """As `moment`, where there may be none."""
    return None if microseconds is None else moment(microseconds)
