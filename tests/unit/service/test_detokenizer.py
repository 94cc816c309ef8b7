"""Streams of tokens as text: whole characters, nothing lost, nothing of a stop string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sterna_service.inference.detokenizer import AnswerText, Detokenizer
from sterna_service.inference.tokenizer import Tokenizer

TOKEN_IDS = st.lists(st.integers(0, 4095), max_size=60)
TEXTS = st.text(max_size=60)
STOPS = st.lists(st.text(min_size=1, max_size=4), max_size=3)


def earliest_cut(text: str, stops: list[str]) -> str:
    for end in range(1, len(text) + 1):
        lengths = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if lengths:
            return text[: end - max(lengths)]
    return text


@given(ids=TOKEN_IDS)
def test_any_tokens_give_the_text_of_decoding_them_at_once(
    tokenizer: Tokenizer, ids: list[int]
) -> None:
    detokenizer = Detokenizer(tokenizer)
    text = "".join(detokenizer.feed(id) for id in ids) + detokenizer.flush()
    assert text == tokenizer.decode(ids, skip_special_tokens=True)


@given(text=TEXTS)
def test_characters_are_never_split(tokenizer: Tokenizer, text: str) -> None:
    detokenizer = Detokenizer(tokenizer)
    seen = ""
    for id in tokenizer.encode_plain(text):
        seen += detokenizer.feed(id)
        assert text.startswith(seen)
    assert seen + detokenizer.flush() == text


@given(ids=TOKEN_IDS, stops=STOPS)
def test_deltas_are_the_text_cut_at_the_earliest_stop_string(
    tokenizer: Tokenizer, ids: list[int], stops: list[str]
) -> None:
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    # Stop strings that do occur are what the test is about.
    stops = [*stops, *(whole[i : i + 3] for i in (5, 17) if whole[i : i + 3])]
    answer: AnswerText[int] = AnswerText(tokenizer, stops)
    text = ""
    for id in ids:
        text += answer.feed(id, id).text
        if answer.stop_string is not None:
            break
    else:
        text += answer.finish().text
    assert text == earliest_cut(whole, stops)
    assert (answer.stop_string is None) == (text == whole and not any(s in whole for s in stops))


@given(ids=TOKEN_IDS)
def test_every_token_comes_out_once_and_not_before_its_text(
    tokenizer: Tokenizer, ids: list[int]
) -> None:
    answer: AnswerText[int] = AnswerText(tokenizer, ["\x00never"])
    out: list[int] = []
    text = ""
    for index, id in enumerate(ids):
        piece = answer.feed(id, index)
        out += piece.tokens
        text += piece.text
    piece = answer.finish()
    out += piece.tokens
    assert out == list(range(len(ids)))
    assert text + piece.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_tokens_of_a_stop_string_do_not_come_out(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_plain("One two. Three")
    answer: AnswerText[str] = AnswerText(tokenizer, [". Th"])
    shown: list[str] = []
    for id in ids:
        shown += answer.feed(id, tokenizer.token_text(id)).tokens
    assert "".join(shown) == "One two"
    assert answer.stop_string == ". Th"


def test_a_stop_string_may_hold_a_character_of_several_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_plain("stop → here")
    assert len(ids) > len(["stop", "→", "here"])
    answer: AnswerText[None] = AnswerText(tokenizer, ["→"])
    text = "".join(answer.feed(id, None).text for id in ids)
    assert (text, answer.stop_string) == ("stop ", "→")


def test_stop_strings_are_not_looked_for_in_the_first_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_plain("a. b. c.")
    first = len(tokenizer.encode_plain("a."))
    answer: AnswerText[None] = AnswerText(tokenizer, ["."], min_tokens=first)
    text = "".join(answer.feed(id, None).text for id in ids)
    assert (text, answer.stop_string) == ("a. b", ".")


def test_endless_invalid_bytes_are_shown_as_they_come(tokenizer: Tokenizer) -> None:
    # A lone continuation byte can never become a character, so nothing waits for one.
    byte = next(id for id in range(4096) if tokenizer.token_bytes(id) == b"\x80")
    detokenizer = Detokenizer(tokenizer)
    assert [detokenizer.feed(byte) for _ in range(5)] == ["\ufffd"] * 5
