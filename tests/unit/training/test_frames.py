"""Frames around questions: grammatical, and those of the evaluation never trained."""

from __future__ import annotations

import random

import pytest

from training.corpus.content import normalized
from training.corpus.frames import (
    CLAUSE_FRAMES,
    FRAMES,
    HELD_OUT_CLAUSE_FRAMES,
    HELD_OUT_FRAMES,
    clause,
    framed,
    lowered,
    noisy,
    put,
)


@pytest.mark.parametrize(
    ("question", "inner"),
    [
        ("What is a dog?", "what a dog is"),
        ("Where is the Great Wall?", "where the Great Wall is"),
        ("Who was Alan Turing?", "who Alan Turing was"),
        ("What does a dog say?", None),
        ("Which city is the capital of Peru?", None),
    ],
)
def test_a_question_becomes_a_clause(question: str, inner: str | None) -> None:
    assert clause(question) == inner


def test_a_name_keeps_its_capital_inside_a_sentence() -> None:
    assert lowered("What is Sterna?") == "what is Sterna?"
    assert lowered("Bern is the capital of what?") == "Bern is the capital of what?"


def test_a_frame_without_its_clause_is_refused() -> None:
    assert put("Do you know {clause}?", "What is tea?") == "Do you know what tea is?"
    assert put("Do you know {clause}?", "Can fish fly?") is None
    assert put("Hey, {lower}", "Can fish fly?") == "Hey, can fish fly?"


def test_frames_keep_the_subject() -> None:
    rng = random.Random(1)
    asked = {framed("What is the capital of Peru?", rng) for _ in range(2000)}
    assert len(asked) > len(FRAMES)
    assert all("the capital of Peru" in question for question in asked)
    assert framed("Tell me a joke.", rng) == "Tell me a joke."


def test_held_out_frames_are_never_trained() -> None:
    question = "What is a dog?"
    rng = random.Random(2)
    trained = {normalized(framed(question, rng)) for _ in range(5000)}
    for frame in (*HELD_OUT_FRAMES, *HELD_OUT_CLAUSE_FRAMES):
        held = put(frame, question)
        assert held is not None
        assert normalized(held) not in trained
    assert not set(FRAMES + CLAUSE_FRAMES) & set(HELD_OUT_FRAMES + HELD_OUT_CLAUSE_FRAMES)


def test_slips_never_touch_the_subject() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        asked = noisy("What is the capital of Peru?", rng)
        assert asked.lower().rstrip("?").endswith(" peru")
