"""Webhooks of the protocol as JSON, and the names of events. Pure functions."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp

from sterna.v1.event_pb2 import EventType, Webhook, WebhookDelivery
from sterna.v1.model_admin_pb2 import CreateWebhookRequest
from sterna_rest.webhooks.schemas import RegisterRequest

_PREFIX = "EVENT_TYPE_"


def event_name(kind: EventType) -> str:
    """`model.started` for EVENT_TYPE_MODEL_STARTED."""
    return EventType.Name(kind).removeprefix(_PREFIX).lower().replace("_", ".")


def event_type(name: str) -> EventType:
    """The reverse of `event_name`."""
    return cast(EventType, EventType.Value(_PREFIX + name.upper().replace(".", "_")))


def register_request(body: RegisterRequest) -> CreateWebhookRequest:
    """What the core is asked."""
    return CreateWebhookRequest(
        url=body.url, event_types=[event_type(each) for each in body.events]
    )


def register_parameter(field: str) -> str:
    """The HTTP name of a field of the protocol."""
    return field.replace("event_types", "events")


def webhook_object(webhook: Webhook) -> dict[str, Any]:
    """A webhook."""
    return {
        "id": webhook.webhook_id,
        "object": "webhook",
        "url": webhook.url,
        "events": [event_name(each) for each in webhook.event_types],
        "created_at": webhook.create_time.seconds,
        "status": "disabled" if webhook.disabled else "active",
        "last_success_at": _seconds(webhook, "last_success_time"),
        "last_failure_at": _seconds(webhook, "last_failure_time"),
    }


def delivery_object(delivery: WebhookDelivery) -> dict[str, Any]:
    """An attempt."""
    return {
        "id": delivery.delivery_id,
        "object": "webhook.delivery",
        "event": event_name(delivery.event_type),
        "attempt": delivery.attempt_count,
        "attempted_at": delivery.attempt_time.seconds,
        "http_status": delivery.http_status or None,
        "error": delivery.message or None,
        "next_attempt_at": _seconds(delivery, "next_attempt_time"),
    }


def _seconds(message: Webhook | WebhookDelivery, field: str) -> int | None:
    if not message.HasField(field):
        return None
    moment = getattr(message, field)
    assert isinstance(moment, Timestamp)
    return moment.seconds
