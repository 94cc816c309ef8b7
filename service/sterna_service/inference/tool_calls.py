"""Takes the text of an answer apart into words for the reader and calls of tools."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from enum import Enum

from sterna_service.inference.events import ToolCallPiece

BEGIN = "<tool_call>"
END = "</tool_call>"

_HEAD = re.compile(r'\s*\{"name": "([A-Za-z0-9_-]+)", "arguments": ')


class _State(Enum):
    TEXT = "text"
    HEAD = "head"
    ARGUMENTS = "arguments"
    TAIL = "tail"


@dataclass(slots=True)
class Part:
    """Some text, and some pieces of calls that come after it."""

    text: str = ""
    calls: list[ToolCallPiece] = field(default_factory=list)


class ToolCallReader:
    """Reads one answer while it comes.

    A grammar guarantees what a call looks like, see `tools.tool_grammar`; so all that is to be
    found here is where one begins, and where its arguments end. Text that may be the beginning of
    a call is held back until it is clear that it is not.
    """

    def __init__(self) -> None:
        self.complete = 0
        """Calls that are there from beginning to end."""
        self._state = _State.TEXT
        self._held = ""
        self._begun = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> Part:
        """Takes a piece of the answer and returns what is certain now."""
        part = Part()
        self._held += text
        while self._step(part):
            pass
        return part

    def finish(self) -> Part:
        """What is left once the answer has ended. Of a call that was cut off: nothing more."""
        part = Part(self._held if self._state is _State.TEXT and not self._begun else "")
        self._held = ""
        return part

    def _step(self, part: Part) -> bool:
        """Takes what it can from the held text; true when something may be left to do."""
        match self._state:
            case _State.TEXT:
                return self._read_text(part)
            case _State.HEAD:
                return self._read_head(part)
            case _State.ARGUMENTS:
                return self._read_arguments(part)
            case _State.TAIL:
                return self._read_tail()

    def _read_text(self, part: Part) -> bool:
        before, found, after = self._held.partition(BEGIN)
        if found:
            self._held = after
            self._state = _State.HEAD
        else:
            safe = len(before) - _overlap(before)
            self._held = before[safe:]
            before = before[:safe]
        # Between two calls there is nothing for the reader.
        if not self._begun:
            part.text += before
        return bool(found)

    def _read_head(self, part: Part) -> bool:
        head = _HEAD.match(self._held)
        if head is None:
            return False
        id = f"call_{uuid.uuid4().hex[:24]}"
        part.calls.append(ToolCallPiece(self._begun, id, head[1], ""))
        self._begun += 1
        self._held = self._held[head.end() :]
        self._state = _State.ARGUMENTS
        self._depth = 0
        self._in_string = self._escaped = False
        return True

    def _read_arguments(self, part: Part) -> bool:
        for position, character in enumerate(self._held):
            if self._ends_arguments(character):
                taken = self._held[: position + 1]
                self._held = self._held[position + 1 :]
                self._state = _State.TAIL
                break
        else:
            taken, self._held = self._held, ""
        if taken:
            part.calls.append(ToolCallPiece(self._begun - 1, "", "", taken))
        return self._state is _State.TAIL

    def _ends_arguments(self, character: str) -> bool:
        if self._in_string:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_string = False
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            return self._depth == 0
        return False

    def _read_tail(self) -> bool:
        _, found, after = self._held.partition(END)
        if found:
            self._held = after
            self.complete += 1
            self._state = _State.TEXT
        return bool(found)


def _overlap(text: str) -> int:
    """How much of the beginning of a call the text ends with."""
    for length in range(min(len(text), len(BEGIN) - 1), 0, -1):
        if text.endswith(BEGIN[:length]):
            return length
    return 0
