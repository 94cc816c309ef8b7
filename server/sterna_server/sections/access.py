"""Who may call the server, and how the command line calls one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, SecretStr

AuthMode = Literal["off", "keys"]


class AccessSettings(BaseModel):
    """Access."""

    auth: AuthMode = "off"
    """Whether every request needs an API key (`keys`, made by `sterna keys create`), or none
    (`off`). `sterna rest` leaves the judgement to its core, which must be told, too."""
    allow_unauthenticated: bool = False
    """Whether a server without keys may listen on addresses that other machines reach."""
    api_key: SecretStr = SecretStr("")
    """The key with which `sterna chat`, `models`, `transcribe` and the like call a core."""
