"""Text cut into pieces: nothing lost, nothing too long, sentences whole where they fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna_service.errors import Reason, ServiceError
from sterna_service.speech.text import LONGEST_PIECE, Splitter, checked_text, pieces, speakable


def test_short_sentences_stay_together() -> None:
    assert list(pieces("One. Two! Three?")) == ["One. Two! Three?"]


def test_a_sentence_that_does_not_fit_begins_a_new_piece() -> None:
    first, second = "a" * 100 + ".", "b" * 100 + "."
    assert list(pieces(f"{first} {second}")) == [first, second]


def test_numbers_and_abbreviations_without_space_are_no_ends() -> None:
    splitter = Splitter()
    assert list(splitter.push("It costs 3.50 here")) == []
    assert list(splitter.finish()) == ["It costs 3.50 here"]


def test_a_long_sentence_is_cut_at_a_pause() -> None:
    text = "word " * 20 + "and then, " + "more " * 30
    assert next(pieces(text)).endswith("and then,")


def test_words_without_any_mark_are_cut_between_words() -> None:
    text = "word " * 400
    found = list(pieces(text))
    assert all(len(piece) <= LONGEST_PIECE for piece in found)
    assert " ".join(found).split() == text.split()


def test_marks_alone_are_not_spoken() -> None:
    assert list(pieces("... !!! \n --- ")) == []
    assert not speakable("…?!")


def test_a_sentence_leaves_as_soon_as_it_is_certain() -> None:
    splitter = Splitter()
    assert list(splitter.push("It is over.")) == []
    assert list(splitter.push(" And")) == ["It is over."]


@given(st.lists(st.text(alphabet="ab .,!?\n-", max_size=80), max_size=12))
def test_parts_of_any_size_give_the_same_words(parts: list[str]) -> None:
    splitter = Splitter()
    found = [piece for part in parts for piece in splitter.push(part)]
    found += splitter.finish()
    assert all(len(piece) <= LONGEST_PIECE for piece in found)
    words = [word for piece in found for word in piece.split()]
    letters = "".join(c for c in "".join(parts) if c.isalpha())
    assert "".join(c for c in "".join(words) if c.isalpha()) == letters


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.INVALID_FIELD),
        ("…!", Reason.INVALID_FIELD),
        ("x" * 11, Reason.FIELD_OUT_OF_RANGE),
    ],
)
def test_what_cannot_be_spoken(text: str, reason: Reason) -> None:
    with pytest.raises(ServiceError) as caught:
        checked_text(text, 10, "text")
    assert (caught.value.reason, caught.value.field) == (reason, "text")


def test_control_characters_become_spaces() -> None:
    assert checked_text("a\x00b\x1bc\nd", 10, "text") == "a b c\nd"
