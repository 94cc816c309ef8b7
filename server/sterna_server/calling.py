"""How the commands that call a running core do it: with the key of the settings."""

from __future__ import annotations

from typing import TypedDict

from sterna_server.settings import Settings


class CallArguments(TypedDict):
    """Arguments of `sterna.Client` and `AsyncClient`."""

    api_key: str


def call_arguments(settings: Settings) -> CallArguments:
    """What a client of the core at `settings.core` needs besides its address."""
    return {"api_key": settings.api_key.get_secret_value()}
