"""The whole flow of a search: the model asks for it, gets results, and answers from them."""

from __future__ import annotations

import random

from training.corpus import conversations as make
from training.corpus.chat import Conversation, assistant, system, user
from training.corpus.invented import Fact, Inventor
from training.evaluation.answers import Answer
from training.evaluation.report import Score

_SEED = 20_013


def search_flow(
    answer: Answer, countries: list[str], count: int = 200, most: int = 3
) -> list[Score]:
    """Scores of both steps and of the flow, on `count` questions about new names.

    The results hold the answer among up to `most` facts, and are given after whatever search the
    model wrote; a turn without a search ends the flow.
    """
    rng = random.Random(_SEED)
    inventor = Inventor(rng, countries, heldout=True)
    drawn = [make.facts_and_question(inventor, rng, most) for _ in range(count)]
    openings: list[Conversation] = [
        [system(make.SEARCH_SYSTEM), user(question)] for _, question, _ in drawn
    ]
    called = Score("search flow: a search is called", total=count)
    exact = Score("search flow: for exactly the question", total=count)
    right = Score("search flow: the right answer in the end", total=count)
    going: list[tuple[Conversation, Fact]] = []
    turns = zip(drawn, openings, answer(openings), strict=True)
    for (facts, question, wanted), opening, raw in turns:
        call = raw.strip()
        expected = f"<search>{make.query(question)}</search>"
        exact.right += call == expected
        if not (call.startswith("<search>") and call.endswith("</search>")):
            called.wrong.append((question, call, expected))
            continue
        called.right += 1
        results = system(f"Search results: {make.results(facts)}")
        going.append(([*opening, assistant(call), results], wanted))
    answers = answer([conversation for conversation, _ in going])
    for (conversation, wanted), text in zip(going, answers, strict=True):
        if text.strip() == wanted.answer:
            right.right += 1
        else:
            right.wrong.append((conversation[-1].text, text.strip(), wanted.answer))
    return [called, exact, right]
