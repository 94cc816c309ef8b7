"""How much of an answer was heard."""

from __future__ import annotations

from sterna_service.dialogue.playback import Playback


def test_audio_is_played_as_it_leaves() -> None:
    playback = Playback()
    playback.deliver(2.0, now=10.0)
    assert playback.heard(10.5) == 0.5
    playback.deliver(2.0, now=11.0)
    assert playback.end == 14.0
    assert playback.heard(13.0) == 3.0
    assert playback.heard(20.0) == 4.0


def test_a_pause_in_the_delivery_is_a_pause_in_the_playback() -> None:
    playback = Playback()
    playback.deliver(1.0, now=0.0)
    playback.deliver(1.0, now=5.0)
    assert playback.end == 6.0
    assert playback.heard(5.5) == 1.5


def test_text_is_matched_to_audio_piece_by_piece_and_word_by_word() -> None:
    playback = Playback()
    playback.begin_piece("Terns fly far.")
    playback.end_piece("Terns fly far.", 2.0)
    playback.begin_piece("One two three four.")
    playback.end_piece("One two three four.", 6.0)
    assert playback.text(0.0) == ""
    assert playback.text(1.3) == "Terns fly"
    assert playback.text(2.0) == "Terns fly far."
    assert playback.text(4.0) == "Terns fly far. One two"
    assert playback.text(60.0) == "Terns fly far. One two three four."


def test_a_piece_that_is_still_made_is_told_by_the_pace_so_far() -> None:
    playback = Playback()
    playback.begin_piece("a" * 10)
    playback.end_piece("a" * 10, 2.0)
    playback.begin_piece("One two three four.")
    assert playback.text(3.6) == f"{'a' * 10} One two"


def test_nothing_made_is_nothing_heard() -> None:
    assert Playback().text(5.0) == ""
    assert Playback().heard(5.0) == 0.0
