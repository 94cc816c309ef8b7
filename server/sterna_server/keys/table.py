"""How keys are listed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from sterna_service.access.keys import ApiKey

_HEADER = ("ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "LIMITS", "STATE")


def as_table(keys: Sequence[ApiKey]) -> list[str]:
    """The lines of a table."""
    rows = [_HEADER, *(_cells(key) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def as_objects(keys: Sequence[ApiKey]) -> str:
    """JSON for programs."""
    return json.dumps(
        [
            {
                "id": key.key_id,
                "name": key.name,
                "scopes": sorted(key.scopes),
                "created": key.create_time.isoformat(),
                "expires": _iso(key.expire_time),
                "revoked": _iso(key.revoke_time),
                "last_used": _iso(key.last_use_time),
                "limits": key.limits.to_json(),
                "state": _state(key),
            }
            for key in keys
        ],
        indent=1,
    )


def moment_text(moment: datetime | None, otherwise: str) -> str:
    """A time as people read it, in UTC."""
    return otherwise if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _cells(key: ApiKey) -> tuple[str, ...]:
    limits = ", ".join(f"{name} {value}" for name, value in key.limits.to_json().items())
    return (
        key.key_id,
        key.name,
        ",".join(sorted(key.scopes)),
        moment_text(key.create_time, ""),
        moment_text(key.expire_time, "never"),
        moment_text(key.last_use_time, "not yet"),
        limits or "the listener's",
        _state(key),
    )


def _state(key: ApiKey) -> str:
    if key.revoke_time is not None:
        return "revoked"
    return "expired" if key.is_expired(datetime.now(UTC)) else "good"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
