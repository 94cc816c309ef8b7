"""API keys: how they look, and how they are recognised.

A key is `sk-sterna-ID-SECRET`. The id is public: lists and logs show it. The secret is 43 random
letters and digits, 256 bits, and only its SHA-256 is stored. A slow password hash would add
nothing: it makes guessing passwords expensive, and 256 random bits cannot be guessed at any speed,
while every call would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass
from datetime import datetime

from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.access.scopes import Scope

PREFIX = "sk-sterna-"

_ID_LETTERS = string.ascii_lowercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits
_ID_LENGTH = 12
_SECRET_LENGTH = 43
_KEY = re.compile(rf"{PREFIX}([a-z0-9]{{{_ID_LENGTH}}})-[A-Za-z0-9]{{{_SECRET_LENGTH}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; the key itself is not. Times know their zone."""

    key_id: str
    name: str
    digest: str
    """SHA-256 of the key, in hexadecimal."""
    scopes: frozenset[Scope]
    create_time: datetime
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    last_use_time: datetime | None = None
    limits: Limits = NO_LIMITS

    def matches(self, key: str) -> bool:
        """Whether this is that key; takes as long for any key of the same length."""
        return hmac.compare_digest(self.digest, digest_of(key))

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expire_time is not None and self.expire_time <= now


def new_key() -> tuple[str, str]:
    """The id and the whole text of a new key."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(_SECRET_LENGTH))
    return key_id, f"{PREFIX}{key_id}-{secret}"


def id_of(key: str) -> str | None:
    """The id within a key; None when the text has not the form of one."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def digest_of(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
