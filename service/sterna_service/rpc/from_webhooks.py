"""Webhooks as messages of the protocol, and their page tokens: pure functions."""

from __future__ import annotations

from datetime import datetime

from sterna.v1 import event_pb2
from sterna_service.errors import invalid
from sterna_service.models.events import EventKind
from sterna_service.rpc.from_events import timestamp
from sterna_service.rpc.pages import key_in, token_of
from sterna_service.rpc.to_models import EVENT_TYPES
from sterna_service.state.moments import microseconds, moment
from sterna_service.state.webhooks import AttemptRecord, WebhookRecord


def webhook_message(record: WebhookRecord) -> event_pb2.Webhook:
    """A webhook without its secret."""
    message = event_pb2.Webhook(
        webhook_id=record.webhook_id,
        url=record.url,
        event_types=[EVENT_TYPES[EventKind(name)] for name in record.event_types],
        create_time=timestamp(record.create_time),
        disabled=record.disabled,
    )
    if record.last_success_time is not None:
        message.last_success_time.CopyFrom(timestamp(record.last_success_time))
    if record.last_failure_time is not None:
        message.last_failure_time.CopyFrom(timestamp(record.last_failure_time))
    return message


def attempt_message(record: AttemptRecord) -> event_pb2.WebhookDelivery:
    """An attempt."""
    message = event_pb2.WebhookDelivery(
        delivery_id=record.delivery_id,
        webhook_id=record.webhook_id,
        event_type=EVENT_TYPES[EventKind(record.event_type)],
        revision=record.revision,
        attempt_time=timestamp(record.attempt_time),
        attempt_count=record.attempt_count,
        http_status=record.http_status,
        message=record.message,
    )
    if record.next_attempt_time is not None:
        message.next_attempt_time.CopyFrom(timestamp(record.next_attempt_time))
    return message


def webhook_page_token(last: WebhookRecord) -> str:
    """Names the place behind a webhook in the list of all."""
    return token_of(f"{microseconds(last.create_time)} {last.webhook_id}")


def webhook_page_start(token: str) -> tuple[datetime, str] | None:
    """The place that a page token names; None for the empty one.

    Raises:
        ServiceError: The token was not made here.
    """
    if not token:
        return None
    number, _, webhook_id = key_in(token).partition(" ")
    try:
        return moment(int(number)), webhook_id
    except (ValueError, OverflowError):
        raise _no_token() from None


def attempt_page_token(last: AttemptRecord) -> str:
    """Names the place behind an attempt in the list of all."""
    return token_of(str(last.attempt_id))


def attempt_page_start(token: str) -> int | None:
    """The place that a page token names; None for the empty one.

    Raises:
        ServiceError: The token was not made here.
    """
    if not token:
        return None
    key = key_in(token)
    if not (key.isascii() and key.isdigit() and len(key) <= 18):
        raise _no_token()
    return int(key)


def _no_token() -> Exception:
    return invalid("page_token", "must be one that a previous page gave")
