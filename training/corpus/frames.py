"""The words that people put around a question, and the slips they make in typing it.

A frame says nothing about the subject. The model learns to look through them on many subjects, so
that it also looks through frames that it never met; those of `HELD_OUT_FRAMES` measure that.
"""

from __future__ import annotations

import random
import re

# {} is the question itself; {lower} begins in lower case; {clause} is a clause: "what a dog is".
FRAMES = (
    "Hey, {lower}",
    "Hi, {lower}",
    "Hello, {lower}",
    "Hi! {}",
    "Hello! {}",
    "Hey Tern, {lower}",
    "Tern, {lower}",
    "Please: {}",
    "{} Please.",
    "{} Please tell me.",
    "{} Thanks!",
    "{} Thank you.",
    "{} I forgot.",
    "{} I want to know.",
    "{} Do you know?",
    "{} Tell me.",
    "So, {lower}",
    "Well, {lower}",
    "Now, {lower}",
    "OK, {lower}",
    "And {lower}",
    "Quick question: {lower}",
    "A quick question: {}",
    "Question: {}",
    "I have a question: {}",
    "One more question: {}",
    "Please tell me: {}",
    "Please answer: {}",
    "Tell me: {lower}",
    "Let me ask you: {lower}",
    "I was wondering: {lower}",
    "I wonder: {lower}",
    "Just curious: {lower}",
    "I want to know: {lower}",
    "I would like to know: {lower}",
    "My teacher asked: {}",
    "For my homework: {}",
    "Do you know: {lower}",
    "Could you tell me: {lower}",
    "Can you answer this? {}",
    "Can you help me? {}",
)
CLAUSE_FRAMES = (
    "Do you know {clause}?",
    "Could you tell me {clause}?",
    "Please tell me {clause}.",
    "I want to know {clause}.",
    "I would like to know {clause}.",
    "I'd like to know {clause}.",
    "I forgot {clause}.",
    "I do not know {clause}.",
    "Hey, do you know {clause}?",
    "Could you explain {clause}?",
)
# Never trained, on any subject.
HELD_OUT_FRAMES = (
    "Here is something I ask myself: {lower}",
    "May I ask? {}",
    "{} I really need the answer.",
    "Excuse me, {lower}",
    "My friend wants to know: {lower}",
)
HELD_OUT_CLAUSE_FRAMES = ("Would you mind telling me {clause}?",)

_FRAMED = 0.3
_TYPO = 0.03
_CLAUSE = re.compile(r"(What|Who|Where) (is|are|was|were) ([^,]+)\?")
# Whose first word stays as it is in the middle of a sentence.
_OPENERS = frozenset(
    "What Which Who Whose Where When Why How In On At Of To From Is Are Was Were Do Does Did Can "
    "Could Will Would May Should Has Have Name Tell Give Explain Define Describe List Say Count "
    "Add Subtract Multiply Calculate Symbol Capital Opposite Currency Meaning Definition Under By "
    "With Install Start Stop Run Show Write Translate Draw Plan Make Solve Fix Order "
    "Recommend".split()
)
# Only words that carry no fact are misspelt.
_SLIPPING = frozenset(
    "what which where capital currency continent country symbol element opposite number atomic "
    "called mean does means many there sound color tell please explain define define how the "
    "comes after before start server model answer question know about".split()
)


def lowered(question: str) -> str:
    """`question` as it stands in the middle of a sentence."""
    first = question.split(" ", 1)[0].rstrip("'s")
    return question[:1].lower() + question[1:] if first in _OPENERS else question


def clause(question: str) -> str | None:
    """ "What is a dog?" as "what a dog is"; None where that needs grammar that is not here."""
    match = _CLAUSE.fullmatch(question)
    if match is None:
        return None
    asked, verb, thing = match.groups()
    return f"{asked.lower()} {thing} {verb}"


def put(frame: str, question: str) -> str | None:
    """The question in a frame; None where the frame needs a clause and there is none."""
    if "{clause}" not in frame:
        return frame.format(question, lower=lowered(question))
    inner = clause(question)
    return None if inner is None else frame.format(clause=inner)


def framed(question: str, rng: random.Random) -> str:
    """A question as people ask it: sometimes in a frame of `FRAMES`. Only questions are framed."""
    if not question.endswith("?") or rng.random() >= _FRAMED:
        return question
    frames = CLAUSE_FRAMES if rng.random() < 0.4 else FRAMES
    return put(rng.choice(frames), question) or put(rng.choice(FRAMES), question) or question


def _slip(word: str, rng: random.Random) -> str:
    """Two letters swapped, one dropped, or one doubled; the first letter stays."""
    place = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return word[:place] + (word[place] * 2 if kind == 1 else "") + word[place + 1 :]


def noisy(question: str, rng: random.Random) -> str:
    """A question as people type it: with a slip, in lower case, or without its last sign."""
    if rng.random() < _TYPO:
        words = question.split(" ")
        places = [i for i, w in enumerate(words) if len(w) > 2 and w.lower() in _SLIPPING]
        if places:
            place = rng.choice(places)
            words[place] = _slip(words[place], rng)
            question = " ".join(words)
    if rng.random() < 0.12:
        question = question.lower()
    if rng.random() < 0.15:
        question = question.rstrip("?.!")
    return question
