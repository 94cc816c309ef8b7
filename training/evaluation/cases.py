"""The held-out questions, by category: deterministic, and never trained by construction."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

from training.corpus import conversations as make
from training.corpus.catalog import all_items
from training.corpus.chat import Conversation, system, user
from training.corpus.content import CONTENT_DIR, Item, read_lists
from training.corpus.facts import DO_NOT_KNOW
from training.corpus.frames import HELD_OUT_CLAUSE_FRAMES, HELD_OUT_FRAMES, put
from training.corpus.invented import Inventor
from training.corpus.sources import Sources

_SEED = 20_011
_DRAWN = 200
_PER_FRAME = 40
_FRAMED = ("capital", "continent", "currency", "element symbol", "definition", "opposite", "common")


@dataclass(frozen=True)
class Case:
    """A conversation up to the model's turn, and the answer that is wanted."""

    conversation: Conversation
    expected: str


# The categories in which an answer like "I do not know" is a false refusal.
IN_DOMAIN = (
    "capital",
    "capital of which",
    "continent",
    "currency",
    "element symbol",
    "element name",
    "atomic number",
    "definition",
    "opposite",
    "arithmetic",
    "sequence",
    "things",
    "common",
    "identity",
    "smalltalk",
    "sterna",
)
# Answers that decline, as the content has them.
_DECLINING = (
    "do not know that",
    "cannot do that",
    "cannot work that out",
    "cannot see the outside",
)


def declines(answer: str) -> bool:
    return any(mark in answer for mark in _DECLINING)


def all_cases(sources: Sources) -> dict[str, list[Case]]:
    """Every held-out set by name; "trained phrasing" sets are beside them for comparison."""
    rng = random.Random(_SEED)
    lists = read_lists(CONTENT_DIR / "lists.txt")
    items = all_items()
    by_category: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_category[item.category].append(item)
    cases: dict[str, list[Case]] = {}
    for category in IN_DOMAIN:
        members = by_category[category]
        cases[f"{category}, trained phrasing"] = [
            Case([user(rng.choice(item.questions))], item.answer) for item in members
        ]
        cases[f"{category}, new phrasing"] = [
            Case([user(question)], item.answer) for item in members for question in item.heldout
        ]
    cases["sums never trained"] = [
        Case([user(item.heldout[0])], item.answer) for item in by_category["held-out sum"]
    ]
    cases["requests to decline, new"] = [
        Case([user(question)], item.answer)
        for item in by_category["refusal"]
        for question in item.heldout
    ]
    cases["unknown words and places, new"] = [
        Case([user(question)], item.answer)
        for item in (*by_category["unknown"], *by_category["place"])
        for question in item.heldout
    ]
    trivia = sources.heldout_trivia
    cases["trivia to decline, new"] = [Case([user(q)], DO_NOT_KNOW) for q in trivia]
    cases |= _about_names(lists["heldout names"], rng)
    cases |= _follow_ups(by_category)
    cases |= _frames(by_category)
    places = [item.slot for item in by_category["capital"]]
    inventor = Inventor(rng, places, heldout=True)
    cases["reading a text with new names"] = [
        _last(make.reading(inventor, rng)) for _ in range(_DRAWN)
    ]
    cases["answer from search results, new names"] = [
        _last(make.search_and_answer(inventor, rng)) for _ in range(_DRAWN)
    ]
    cases["search call, new trivia"] = [_last(make.search_call(q)) for q in trivia[:_DRAWN]]
    cases["search call, new names"] = [
        _last(make.search_call(rng.choice(inventor.fact().questions))) for _ in range(_DRAWN)
    ]
    known = [
        i for c in ("capital", "arithmetic", "definition", "smalltalk") for i in by_category[c]
    ]
    cases["no search where none is needed"] = [
        Case([system(make.SEARCH_SYSTEM), user(item.heldout[0])], item.answer)
        for item in rng.sample([i for i in known if i.heldout], 100)
    ]
    cases["repeat a new word"] = [_last(make.say(inventor.name(2), rng)) for _ in range(100)]
    return cases


def limited(cases: dict[str, list[Case]], limit: int | None) -> dict[str, list[Case]]:
    """At most `limit` cases of every set, drawn at random but always the same; None: all."""
    rng = random.Random(_SEED + 3)
    if limit is None:
        return cases
    return {name: rng.sample(some, min(limit, len(some))) for name, some in cases.items()}


def places() -> list[str]:
    """The countries, as facts about invented places name them."""
    return [item.slot for item in all_items() if item.category == "capital"]


def _last(conversation: Conversation) -> Case:
    return Case(conversation[:-1], conversation[-1].text)


def _about_names(names: list[str], rng: random.Random) -> dict[str, list[Case]]:
    return {
        "greet a new name": [_last(make.introduce(name, rng)) for name in names],
        "recall a new name": [_last(make.recall(name, [], rng)) for name in names],
    }


def _frames(by_category: dict[str, list[Item]]) -> dict[str, list[Case]]:
    """Trained questions inside words that were never trained around any question."""
    rng = random.Random(_SEED + 2)
    items = [item for category in _FRAMED for item in by_category[category]]
    cases = []
    for frame in (*HELD_OUT_FRAMES, *HELD_OUT_CLAUSE_FRAMES):
        found = 0
        while found < _PER_FRAME:
            item = rng.choice(items)
            question = rng.choice(item.questions)
            asked = put(frame, question) if question.endswith("?") else None
            if asked is not None:
                cases.append(Case([user(asked)], item.answer))
                found += 1
    return {"question in a new frame": cases}


def _follow_ups(by_category: dict[str, list[Item]]) -> dict[str, list[Case]]:
    rng = random.Random(_SEED + 1)
    cases = []
    for category in ("capital", "continent", "currency"):
        for _ in range(30):
            first, second = rng.sample(by_category[category], 2)
            asked = rng.choice(make.HELD_OUT_FOLLOW_UPS).format(second.slot)
            conversation = [*make.ask(first, rng), user(asked)]
            cases.append(Case(conversation, second.answer))
    return {"follow-up in a new form": cases}
