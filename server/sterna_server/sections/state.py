"""What is kept, and who is told of what happens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Delay = Annotated[float, Field(ge=0, le=7 * 86400)]


class StateSettings(BaseModel):
    """State and webhooks."""

    database_url: str = ""
    """The database, `postgresql://USER:PASSWORD@HOST:PORT/NAME` or `sqlite:///FILE`; empty:
    `state.db` in the home directory."""
    session_ttl: float = Field(default=30 * 86400.0, ge=1, le=3650 * 86400)
    """How many seconds a stored conversation is kept without use."""
    answer_ttl: float = Field(default=30 * 86400.0, ge=1, le=3650 * 86400)
    """How many seconds a stored answer of `/v1/responses` is kept without use."""

    webhook_private_targets: bool = False
    """Whether webhooks may lead to private networks and to this machine."""
    webhook_timeout: float = Field(default=20.0, ge=0.1, le=60)
    """How long one attempt to tell a webhook may take."""
    webhook_retry_delays: list[Delay] = Field(
        default=[5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], max_length=20
    )
    """How long to wait after each failed attempt to tell a webhook; one more failure than there
    are delays ends it."""
