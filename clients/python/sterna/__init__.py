"""Sterna: the client of a server for ternary language models and speech.

`Client` and `AsyncClient` call a server that runs. `Server`, `LLM`, `Whisper` and `TTS` start one
from code; they come with the extra `sterna[server]` and are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sterna._channel import Tls
from sterna._options import ChatOptions, GenerationOptions
from sterna.async_client import AsyncClient, AsyncGenerationStream
from sterna.client import Client, GenerationStream
from sterna.errors import SternaError
from sterna.types import Completion, Delta, Event, Finished, Message, Started, Tool, ToolCall, Usage

if TYPE_CHECKING:
    from sterna_server.sdk import LLM, TTS, Server, Whisper

__version__ = "0.1.0"

__all__ = [
    "LLM",
    "TTS",
    "AsyncClient",
    "AsyncGenerationStream",
    "ChatOptions",
    "Client",
    "Completion",
    "Delta",
    "Event",
    "Finished",
    "GenerationOptions",
    "GenerationStream",
    "Message",
    "Server",
    "Started",
    "SternaError",
    "Tls",
    "Tool",
    "ToolCall",
    "Usage",
    "Whisper",
]

_SERVER_SDK = "sterna_server.sdk"
_SERVER_NAMES = frozenset({"LLM", "TTS", "Server", "Whisper"})


def __getattr__(name: str) -> Any:
    """Import the server's SDK when one of its names is first used."""
    if name not in _SERVER_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        sdk = importlib.import_module(_SERVER_SDK)
    except ModuleNotFoundError as error:
        if error.name not in (_SERVER_SDK, "sterna_server"):
            raise
        raise ImportError(
            f'sterna.{name} needs the server: pip install "sterna[server]"', name=_SERVER_SDK
        ) from None
    return getattr(sdk, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_SERVER_NAMES})
