"""What a webhook is sent: the body of an event, and its signature. Pure functions."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook

from sterna_service.models.events import EventKind, ServerEvent
from sterna_service.state.outbox import Notice

# Standard Webhooks asks for 24 to 64 bytes.
_SECRET_BYTES = 32
_ABOUT_MODELS = frozenset({EventKind.MODEL_STARTED, EventKind.MODEL_STOPPED})


def new_secret() -> str:
    """`whsec_` and a key, in base64."""
    return "whsec_" + base64.b64encode(random.token_bytes(_SECRET_BYTES)).decode()


def notice_of(event: ServerEvent, port: int | None) -> Notice:
    """What is told of an event; `port` is where the core speaks gRPC, None on a Unix socket."""
    data: dict[str, Any] = {}
    if event.model_id:
        data["model_id"] = event.model_id
    if event.kind in _ABOUT_MODELS:
        data["port"] = port
    for name in ("adapter_id", "transcription_id", "reason", "message"):
        if value := getattr(event, name):
            data[name] = str(value)
    body = {
        "event": event.kind.value,
        # The same under the name that Standard Webhooks knows.
        "type": event.kind.value,
        "timestamp": event.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data": data,
    }
    return Notice(event.kind.value, event.revision, json.dumps(body, ensure_ascii=False))


def headers_of(
    delivery_id: str, secrets: Sequence[str], body: str, now: datetime
) -> dict[str, str]:
    """The headers that prove where a message comes from, one signature for each secret."""
    signatures = (Webhook(secret).sign(delivery_id, now, body) for secret in secrets)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
