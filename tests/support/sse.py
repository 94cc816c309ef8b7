"""Takes server-sent events apart, strictly: whatever is not the grammar is an error."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Events:
    """What a stream said."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    comments: int = 0
    done: bool = False

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that ended the stream, if one did."""
        last = self.chunks[-1] if self.chunks else {}
        return last.get("error")


def parse_events(raw: bytes) -> Events:
    """Every event of a body that ended. Nothing may follow `[DONE]` or an error."""
    text = raw.decode()
    assert text.endswith("\n\n"), f"the last event is not complete: {text[-80:]!r}"
    events = Events()
    for block in text[:-2].split("\n\n"):
        if block == ":":
            events.comments += 1
            continue
        assert not events.done, f"an event after [DONE]: {block!r}"
        assert events.error is None, f"an event after an error: {block!r}"
        assert "\n" not in block, f"an event of several lines: {block!r}"
        assert block.startswith("data: "), f"not an event: {block!r}"
        payload = block.removeprefix("data: ")
        if payload == "[DONE]":
            events.done = True
        else:
            events.chunks.append(json.loads(payload))
    return events
