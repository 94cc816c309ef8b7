"""What a request may take."""

from __future__ import annotations

from pydantic import BaseModel, Field


class RequestSettings(BaseModel):
    """Requests."""

    default_max_tokens: int = Field(default=0, ge=0, le=2**31 - 1)
    """The most tokens of an answer whose request names no limit; 0: what the context leaves."""
    default_temperature: float | None = Field(default=None, ge=0, le=2)
    """The temperature of requests that name none; not set: the model's own."""
    default_top_p: float | None = Field(default=None, gt=0, le=1)
    """`top_p` of requests that name none; not set: the model's own."""

    request_timeout: float = Field(default=600.0, gt=0, le=86400)
    """The longest one generation may take."""
    client_timeout: float = Field(default=30.0, gt=0, le=3600)
    """How long a client may let the server wait: for the headers of a request, for more of its
    body, and for room for more of the answer."""
    max_connections: int = Field(default=4096, ge=16, le=65536)
    """Connections of each REST listener at the same time; silent ones make room for new ones."""
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest JSON body that REST accepts."""
    grace: float = Field(default=30.0, ge=0, le=3600)
    """How long running streams may take to finish when the server is told to stop."""
