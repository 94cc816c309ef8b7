"""The evaluation: held out by construction, and scored without mercy."""

from __future__ import annotations

from collections.abc import Sequence

from training.corpus.catalog import all_items
from training.corpus.chat import Conversation, user
from training.corpus.content import normalized
from training.corpus.sources import Sources
from training.evaluation.cases import IN_DOMAIN, Case, all_cases, declines
from training.evaluation.report import Score, evaluate, refusals, score, table
from training.run import parser, tokens

SOURCES = Sources([], ["A story."], [], [f"Which river is number {i}?" for i in range(30)])


def test_cases_in_new_phrasings_were_never_trained() -> None:
    trained = {normalized(q) for item in all_items() for q in item.questions}
    cases = all_cases(SOURCES)
    for name, members in cases.items():
        assert members, name
        if name.endswith("new phrasing") or name == "sums never trained":
            asked = {normalized(case.conversation[-1].text) for case in members}
            assert trained.isdisjoint(asked), name


def test_cases_are_the_same_every_time() -> None:
    assert all_cases(SOURCES) == all_cases(SOURCES)


def test_only_the_exact_answer_counts() -> None:
    cases = [Case([user(str(i))], "yes") for i in range(4)]

    def answer(conversations: Sequence[Conversation]) -> list[str]:
        return ["yes", " yes\n", "Yes", "I do not know that."][: len(conversations)]

    result = score("x", cases, answer)
    assert (result.right, result.declined, result.total) == (2, 1, 4)
    assert result.wrong == [("2", "Yes", "yes"), ("3", "I do not know that.", "yes")]


def test_every_refusal_of_the_content_counts_as_one() -> None:
    refused = {i.answer for i in all_items() if i.category in ("refusal", "unknown")}
    assert refused
    assert all(map(declines, refused))
    known = [i for i in all_items() if i.category in IN_DOMAIN]
    assert not any(declines(i.answer) for i in known)


def test_a_perfect_model_gets_a_perfect_table() -> None:
    cases = all_cases(SOURCES)
    expected = [case.expected for members in cases.values() for case in members]
    position = 0

    def answer(conversations: Sequence[Conversation]) -> list[str]:
        nonlocal position
        position += len(conversations)
        return expected[position - len(conversations) : position]

    scores = evaluate(cases, answer)
    assert all(s.right == s.total for s in scores)
    outside, inside = refusals(scores).values()
    assert outside[0] == outside[1] > 0
    assert inside[0] == 0 < inside[1]
    assert "| capital | 193 / 193 (100 %) | 386 / 386 (100 %) |" in table(scores)


def test_an_empty_score_has_a_line() -> None:
    assert Score("x").line() == "| x | 0 / 0 | 0 % |"


def test_numbers_of_tokens() -> None:
    assert tokens("14M") == tokens("14e6") == tokens("14_000_000") == 14_000_000
    options = parser().parse_args(["--run", "r", "train", "--tokens", "2M", "--decay", "1M"])
    assert (options.tokens, options.decay) == (2_000_000, 1_000_000)
