"""Reads and prints what was used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sterna_server.composition import database_place
from sterna_server.errors import CommandError
from sterna_server.settings import Settings
from sterna_service.errors import ServiceError, StartupError
from sterna_service.state.database import Database
from sterna_service.state.usage import Counts, UsageRecord, UsageRepository, total

_HEADER = ("DAY", "MODEL", "KEY", "REQUESTS", "PROMPT", "CACHED", "COMPLETION", "AUDIO")
# Numbers stand to the right.
_FIRST_NUMBER = 3


def read_usage(settings: Settings, days: int, model_id: str, key_id: str) -> list[UsageRecord]:
    """What was used in the last `days`, today among them.

    Raises:
        CommandError: The database cannot be read.
    """
    place = database_place(settings)
    if not isinstance(place, str) and not place.exists():
        raise CommandError(f"{place}: there is no database yet; a server makes it")

    async def main() -> list[UsageRecord]:
        database = await Database.open(place)
        try:
            last = datetime.now(UTC).date()
            return await UsageRepository(database).page(
                last - timedelta(days=days - 1), last, model_id=model_id, key_id=key_id
            )
        finally:
            await database.close()

    try:
        return asyncio.run(main())
    except (StartupError, ServiceError) as error:
        raise CommandError(str(error)) from None


def as_table(records: Sequence[UsageRecord]) -> list[str]:
    """The lines of a table, with the sum below."""
    rows = [
        _HEADER,
        *(
            (
                each.key.day.isoformat(),
                each.key.model_id or "-",
                each.key.key_id or "-",
                *_numbers(each.counts),
            )
            for each in records
        ),
        ("total", "", "", *_numbers(total(records))),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return [
        "  ".join(
            cell.rjust(width) if column >= _FIRST_NUMBER else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def as_objects(records: Sequence[UsageRecord]) -> str:
    """JSON for programs."""
    return json.dumps(
        [
            {
                "day": each.key.day.isoformat(),
                "model": each.key.model_id,
                "key": each.key.key_id,
                "requests": each.counts.request_count,
                "prompt_tokens": each.counts.prompt_tokens,
                "cached_tokens": each.counts.cached_tokens,
                "completion_tokens": each.counts.completion_tokens,
                "audio_seconds": each.counts.audio_milliseconds / 1000,
            }
            for each in records
        ],
        indent=1,
    )


def _numbers(counts: Counts) -> tuple[str, ...]:
    return (
        str(counts.request_count),
        str(counts.prompt_tokens),
        str(counts.cached_tokens),
        str(counts.completion_tokens),
        f"{counts.audio_milliseconds / 1000:.1f} s",
    )
