"""What people write on the command line about keys."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from pydantic import ByteSize, TypeAdapter, ValidationError

from sterna_server.errors import CommandError
from sterna_service.access.limits import Limits
from sterna_service.access.scopes import Scope, parse_scopes

_SPAN = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def scopes_of(names: list[str]) -> frozenset[Scope]:
    """The scopes that were named, one by one or with commas between them.

    Raises:
        CommandError: One is unknown.
    """
    try:
        return parse_scopes(part.strip() for name in names for part in name.split(","))
    except ValueError as error:
        raise CommandError(f"--scope: {error}") from None


def expiry_of(text: str, now: datetime) -> datetime | None:
    """The moment that `90d` or a date stands for; None for an empty text.

    Raises:
        CommandError: It is neither, or it is over.
    """
    if not text:
        return None
    if span := _SPAN.fullmatch(text.strip().lower()):
        try:
            moment = now + int(span[1]) * _UNITS[span[2]]
        except OverflowError:
            raise CommandError(f"--expires {text}: is too far away") from None
    else:
        try:
            # To the end of the day that was named.
            day = date.fromisoformat(text.strip())
            moment = datetime.combine(day, time.max, UTC)
        except ValueError:
            raise CommandError(
                f"--expires {text}: should be a time such as 30m, 12h, 90d or 4w, or a date such "
                "as 2030-01-31"
            ) from None
    if moment <= now:
        raise CommandError(f"--expires {text}: is over already")
    return moment


def limits_of(
    *,
    requests: int | None,
    tokens: int | None,
    concurrent: int | None,
    streams: int | None,
    upload: str | None,
) -> Limits:
    """The limits that were given.

    Raises:
        CommandError: One is out of range.
    """
    size = None
    if upload is not None:
        try:
            size = int(TypeAdapter(ByteSize).validate_python(upload))
        except ValidationError:
            raise CommandError(f"--upload {upload}: should be a size such as 20MiB") from None
    try:
        return Limits(
            requests=requests, tokens=tokens, concurrent=concurrent, streams=streams, upload=size
        )
    except ValueError as error:
        raise CommandError(f"--{error}") from None
