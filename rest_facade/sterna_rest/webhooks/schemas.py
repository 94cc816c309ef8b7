"""What `/v1/webhooks` takes and returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from sterna_rest.generation.fields import Items, RequestModel

EventName = Literal[
    "model.started",
    "model.stopped",
    "model.failed",
    "model.added",
    "model.deleted",
    "adapter.loaded",
    "adapter.unloaded",
    "adapter.added",
    "adapter.deleted",
    "transcription.completed",
    "server.draining",
]


class RegisterRequest(RequestModel):
    """Whom to tell what."""

    url: str = Field(
        min_length=1, max_length=2048, description="http or https; a public address, usually."
    )
    events: Items[EventName] = Field(min_length=1, max_length=100)


class WebhookObject(BaseModel):
    """A webhook."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[str]
    created_at: int = Field(description="Unix time.")
    status: Literal["active", "disabled"] = Field(
        description="`disabled`: the target answered 410 or failed for too long."
    )
    last_success_at: int | None = Field(description="When something last arrived.")
    last_failure_at: int | None = Field(description="When an attempt last failed.")


class WebhookWithSecret(WebhookObject):
    """A new webhook."""

    secret: str = Field(description="`whsec_` and the signing key. Shown only here.")


class WebhookList(BaseModel):
    """All webhooks, oldest first."""

    object: Literal["list"]
    data: list[WebhookObject]


class WebhookDeleted(BaseModel):
    """A webhook that is gone."""

    id: str
    object: Literal["webhook"]
    deleted: bool


class WebhookSecret(BaseModel):
    """The new secret. For 24 hours the old one signs beside it."""

    id: str
    object: Literal["webhook.secret"]
    secret: str


class DeliveryObject(BaseModel):
    """One attempt to tell a webhook something."""

    id: str = Field(description="The header `webhook-id`: the same for every attempt.")
    object: Literal["webhook.delivery"]
    event: str
    attempt: int = Field(description="Counted from 1.")
    attempted_at: int = Field(description="Unix time.")
    http_status: int | None = Field(description="What the target answered, if anything.")
    error: str | None = Field(description="Why it failed; null when it arrived.")
    next_attempt_at: int | None = Field(description="Null when there is none.")


class DeliveryList(BaseModel):
    """A page of attempts, latest first."""

    object: Literal["list"]
    data: list[DeliveryObject]
    next: str | None = Field(description="`after` of the next page; null at the end.")


REGISTER_EXAMPLES: dict[str, Any] = {
    "models": {
        "summary": "When models come and go",
        "value": {
            "url": "https://example.com/webhook",
            "events": ["model.started", "model.stopped", "transcription.completed"],
        },
    }
}
WEBHOOK_EXAMPLE: dict[str, Any] = {
    "id": "wh_0f8c2d1e9b7a46538c21d0e4f5a6b7c8",
    "object": "webhook",
    "url": "https://example.com/webhook",
    "events": ["model.started", "model.stopped", "transcription.completed"],
    "created_at": 1795276800,
    "status": "active",
    "last_success_at": None,
    "last_failure_at": None,
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DELIVERY_EXAMPLE: dict[str, Any] = {
    "id": "msg_5e1b0c7d9f2a4b6c8d0e1f2a3b4c5d6e",
    "object": "webhook.delivery",
    "event": "model.started",
    "attempt": 1,
    "attempted_at": 1795276805,
    "http_status": 204,
    "error": None,
    "next_attempt_at": None,
}
