"""Messages between the server and its speech workers: a JSON header and raw bytes.

Each message is two big-endian 32-bit lengths, then a JSON object, then bytes that the object
describes (samples, parts of a file). Both ends are our own; the limits catch bugs.

From the server: `{"op", ...}`, with `"call"` where an answer is wanted and `"stream"` where the
operation belongs to a stream that the worker keeps. `{"op": "cancel", "call"}` asks a call to end
early. From the worker, per call: any number of `{"call", "event", ...}`, then one
`{"call", "done": true, ...}` or `{"call", "error": {"reason", "message", "metadata", "field"}}`.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_LENGTHS = struct.Struct(">II")
_LONGEST_HEADER = 4 * 1024 * 1024
_LONGEST_DATA = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A header and the bytes that it describes."""

    header: dict[str, Any]
    data: bytes = field(default=b"")


def encode(header: dict[str, Any], data: bytes | memoryview = b"") -> bytes:
    """The bytes of a message."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join((_LENGTHS.pack(len(text), len(data)), text, data))


async def receive(reader: asyncio.StreamReader) -> Message:
    """The next message, in the server.

    Raises:
        EOFError: The other end is gone (as `asyncio.IncompleteReadError`).
        ValueError: What came is no message.
    """
    header, data = _lengths(await reader.readexactly(_LENGTHS.size))
    text = await reader.readexactly(header)
    return Message(json.loads(text), await reader.readexactly(data) if data else b"")


def receive_blocking(stream: BinaryIO) -> Message | None:
    """The next message, in a worker; None when the other end is gone."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header, data = _lengths(lengths)
    text, payload = stream.read(header), stream.read(data)
    if len(text) < header or len(payload) < data:
        return None
    return Message(json.loads(text), payload)


def _lengths(packed: bytes) -> tuple[int, int]:
    header, data = _LENGTHS.unpack(packed)
    if header > _LONGEST_HEADER or data > _LONGEST_DATA:
        raise ValueError(f"a message of {header} + {data} bytes is none of ours")
    return header, data
