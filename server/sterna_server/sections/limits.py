"""How much each client may do."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import BaseModel, ByteSize, Field, SecretStr, field_validator

Limit = Annotated[int, Field(ge=0, lt=2**53)]
"""0 is no limit."""


class LimitSettings(BaseModel):
    """Limits."""

    limit_requests: Limit | None = None
    """Requests of one client per minute; 0: no limit. None, here and below: as the address of the
    listener suggests: none on loopback, and 100 elsewhere."""
    limit_tokens: Limit | None = None
    """Tokens of one client per minute, prompts and answers together. None: no limit."""
    limit_concurrent: Limit | None = None
    """Requests of one client at the same time. None: 10 on other addresses than loopback."""
    limit_streams: Limit | None = None
    """Streamed answers of one client at the same time. None: 5 on other addresses than loopback."""
    limit_upload: ByteSize | None = None
    """The largest request, for example `20MiB`. None: 100 MiB on other addresses than loopback."""
    limits_storage: SecretStr = SecretStr("")
    """A Redis in which several cores count together, `redis://HOST:PORT`; empty: each by itself."""
    trusted_proxies: list[str] = Field(default_factory=list)
    """Addresses and networks of proxies whose `X-Forwarded-For` REST believes, and of façades that
    the core lets speak for their clients."""

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _check_proxies(cls, value: list[str]) -> list[str]:
        for each in value:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                raise ValueError(f"{each!r} is no address and no network such as 10.0.0.0/8") from (
                    None
                )
        return value
