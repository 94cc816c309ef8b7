"""Answers taken apart into text and calls, however they are cut."""

from __future__ import annotations

import json

import pytest

from sterna_service.inference.tool_calls import ToolCallReader
from sterna_service.inference.tools import call_text

ARGUMENTS = [
    "{}",
    '{"city": "Paris"}',
    '{"a": {"b": [1, {"c": "}"}]}, "d": "\\"]}\\\\"}',
    '{"text": "</tool_call> <tool_call>\\n{\\"name\\": \\"x\\""}',
]


def read(answer: str, size: int) -> tuple[str, list[tuple[str, str]], set[str], int]:
    """Text, calls, ids and the number of whole calls of an answer that comes in pieces."""
    reader = ToolCallReader()
    text = ""
    calls: list[tuple[str, str]] = []
    ids: set[str] = set()
    parts = [reader.feed(answer[i : i + size]) for i in range(0, len(answer), size)]
    for part in [*parts, reader.finish()]:
        text += part.text
        for piece in part.calls:
            if piece.id:
                assert piece.index == len(calls)
                calls.append((piece.name, ""))
                ids.add(piece.id)
            name, arguments = calls[piece.index]
            calls[piece.index] = (name, arguments + piece.arguments)
    return text, calls, ids, reader.complete


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_calls_come_out_whole(size: int) -> None:
    wanted = [(f"tool-{index}", arguments) for index, arguments in enumerate(ARGUMENTS)]
    answer = "Let me see.\n" + "\n".join(call_text(*call) for call in wanted)
    text, calls, ids, complete = read(answer, size)
    assert text == "Let me see.\n"
    assert calls == wanted
    assert len(ids) == complete == len(ARGUMENTS)
    assert all(json.loads(arguments) is not None for _, arguments in calls)


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("answer", ["", "Hi.", "a < b", "<tool_cal", "<<tool_<tool_call", "é<"])
def test_text_without_a_call_stays_as_it_is(answer: str, size: int) -> None:
    assert read(answer, size) == (answer, [], set(), 0)


def test_text_is_held_back_no_longer_than_needed() -> None:
    reader = ToolCallReader()
    assert reader.feed("I know <tool").text == "I know "
    assert reader.feed("s> of all kinds").text == "<tools> of all kinds"


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_call_that_is_cut_off_is_not_whole(cut: int) -> None:
    answer = call_text("look_up", '{"what": "a very long question"}')
    text, _, _, complete = read(answer[:-cut], 5)
    assert complete == 0
    assert text == ""
