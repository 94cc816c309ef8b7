"""The RPC of ModelAdminService about usage."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import model_admin_pb2, usage_pb2
from sterna_service.errors import invalid
from sterna_service.rpc.from_events import duration
from sterna_service.rpc.pages import key_in, size_of_page, token_of
from sterna_service.state.usage import UsageKey, UsageRecord
from sterna_service.telemetry.usage import Usage

Context = ServicerContext[Any, Any]

_DEFAULT_DAYS = 30


class UsageMethods:
    """A part of the servicer."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    async def ListUsage(
        self, request: model_admin_pb2.ListUsageRequest, context: Context
    ) -> model_admin_pb2.ListUsageResponse:
        size = size_of_page(request.page_size)
        last = _day("last_day", request.last_day) or datetime.now(UTC).date()
        first = _day("first_day", request.first_day) or _before(last, _DEFAULT_DAYS - 1)
        if first > last:
            raise invalid("first_day", f"must not be after last_day, {last.isoformat()}")
        after = _page_start(request.page_token)
        # What this server has counted so far belongs to the answer.
        await self._usage.book.flush()
        # One more tells whether this is the last page.
        records = await self._usage.repository.page(
            first,
            last,
            model_id=request.model_id,
            key_id=request.key_id,
            count=size + 1,
            after=after,
        )
        page = records[:size]
        return model_admin_pb2.ListUsageResponse(
            usage=map(_message, page),
            next_page_token=_page_token(page[-1].key) if len(records) > size else "",
        )


def _message(record: UsageRecord) -> usage_pb2.DailyUsage:
    counts = record.counts
    return usage_pb2.DailyUsage(
        day=record.key.day.isoformat(),
        model_id=record.key.model_id,
        key_id=record.key.key_id,
        request_count=counts.request_count,
        prompt_token_count=counts.prompt_tokens,
        cached_token_count=counts.cached_tokens,
        completion_token_count=counts.completion_tokens,
        audio_duration=duration(counts.audio_milliseconds / 1000),
    )


def _before(day: date, days: int) -> date:
    return max(day, date.min + timedelta(days=days)) - timedelta(days=days)


def _day(field: str, text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # Python reads other forms, too.
    if day is None or day.isoformat() != text:
        raise invalid(field, "must be a day as YYYY-MM-DD, for example 2026-11-21")
    return day


def _page_token(last: UsageKey) -> str:
    return token_of(f"{last.day.isoformat()} {last.key_id} {last.model_id}")


def _page_start(token: str) -> UsageKey | None:
    if not token:
        return None
    day, _, rest = key_in(token).partition(" ")
    key_id, _, model_id = rest.partition(" ")
    try:
        return UsageKey(date.fromisoformat(day), model_id, key_id)
    except ValueError:
        raise invalid("page_token", "must be one that a previous page gave") from None
