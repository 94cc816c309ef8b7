"""How the commands that call a running core do it: with the key and the TLS of the settings."""

from __future__ import annotations

from typing import TypedDict

from sterna import Tls
from sterna_server.settings import Settings
from sterna_server.tls import core_tls


class CallArguments(TypedDict):
    """Arguments of `sterna.Client` and `AsyncClient`."""

    api_key: str
    tls: Tls | bool


def call_arguments(settings: Settings) -> CallArguments:
    """What a client of the core at `settings.core` needs besides its address."""
    # A core of this process has a Unix socket, and so may another one.
    is_remote = settings.core != "" and not settings.core.startswith("unix:")
    return {
        "api_key": settings.api_key.get_secret_value(),
        "tls": (core_tls(settings) if is_remote else None) or False,
    }
