"""Stop strings: found wherever the text is cut, and never shown, not even in part."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna_service.inference.stop_strings import StopStringFilter

SMALL = st.text(alphabet="ab\n", max_size=40)
STOPS = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=5), min_size=1, max_size=4)


def cut(text: str, stops: list[str]) -> tuple[str, str | None]:
    """What the filter should do, by the definition: the first complete stop string wins."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


def pieces_of(text: str, borders: list[int]) -> list[str]:
    edges = [0, *sorted(min(border, len(text)) for border in borders), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@given(text=SMALL, stops=STOPS, borders=st.lists(st.integers(0, 40), max_size=8))
def test_cuts_before_the_first_complete_stop_string(
    text: str, stops: list[str], borders: list[int]
) -> None:
    wanted, found = cut(text, stops)
    stop_filter = StopStringFilter(stops)
    shown = ""
    for piece in pieces_of(text, borders):
        shown += stop_filter.feed(piece)
        # At no moment is there more than the final text: what was shown cannot be taken back.
        assert wanted.startswith(shown)
    shown += stop_filter.flush()
    assert (shown, stop_filter.found) == (wanted, found)


@given(text=SMALL, stops=STOPS)
def test_holds_back_no_more_than_it_must(text: str, stops: list[str]) -> None:
    stop_filter = StopStringFilter(stops)
    shown = stop_filter.feed(text)
    if stop_filter.found is None:
        held = text[len(shown) :]
        assert any(stop.startswith(held) for stop in stops)
        longer = text[-len(held) - 1 :] if len(text) > len(held) else None
        assert longer is None or not any(stop.startswith(longer) for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "stops", "shown", "found"),
    [
        (["Hello", " wor", "ld"], [" world"], "Hello", " world"),
        (["a", "a", "a", "b"], ["aab"], "a", "aab"),
        (["end", "ing."], ["end!"], "ending.", None),
        (["xabcd"], ["abcd", "bc"], "xa", "bc"),
        (["xabc"], ["abc", "bc"], "x", "abc"),
        (["STOP"], ["STOP"], "", "STOP"),
        (["grüß", "e"], ["ße"], "grü", "ße"),
        (["text"], [], "text", None),
    ],
)
def test_examples(pieces: list[str], stops: list[str], shown: str, found: str | None) -> None:
    stop_filter = StopStringFilter(stops)
    result = "".join(stop_filter.feed(piece) for piece in pieces) + stop_filter.flush()
    assert (result, stop_filter.found) == (shown, found)


def test_shows_nothing_after_a_stop_string() -> None:
    stop_filter = StopStringFilter(["."])
    assert stop_filter.feed("One. Two") == "One"
    assert stop_filter.feed(" Three") == ""
    assert stop_filter.flush() == ""


def test_long_repeated_stop_string_is_found_in_linear_time() -> None:
    # A naive search would take 256 comparisons for each of these characters, many times over.
    stop_filter = StopStringFilter(["a" * 255 + "b"])
    text = "a" * 100_000
    assert stop_filter.feed(text) == "a" * (100_000 - 255)
    assert stop_filter.feed("b") == ""
    assert stop_filter.found is not None
