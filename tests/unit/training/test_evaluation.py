"""The evaluation: held out by construction, and scored without mercy."""

from __future__ import annotations

from collections.abc import Sequence

from training.corpus.catalog import all_items
from training.corpus.chat import Conversation, user
from training.corpus.content import normalized
from training.corpus.conversations import query
from training.corpus.pirate import pirate
from training.corpus.sources import Sources
from training.evaluation.cases import IN_DOMAIN, Case, all_cases, declines
from training.evaluation.report import Score, evaluate, refusals, score, table
from training.evaluation.search_flow import search_flow
from training.evaluation.style import style, style_cases
from training.evaluation.talks import TALKS, talks
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
    assert tokens("16K") == 16_000
    options = parser().parse_args(["--run", "r", "train", "--tokens", "2M", "--decay", "1M"])
    assert (options.tokens, options.decay) == (2_000_000, 1_000_000)


def _searcher(conversations: Sequence[Conversation]) -> list[str]:
    """Searches for the question, then answers with the first result."""
    answers = []
    for conversation in conversations:
        last = conversation[-1]
        if last.role == "User":
            answers.append(f"<search>{query(last.text)}</search>")
        else:
            first = last.text.removeprefix("Search results: [1] ")
            answers.append(first.split(" [2] ")[0])
    return answers


def test_the_search_flow_counts_every_step() -> None:
    called, exact, right = search_flow(_searcher, ["France"], 60, most=2)
    assert (called.right, exact.right) == (60, 60)
    # With one or two results, the first is the right one in three of four.
    assert 30 < right.right < 58
    assert len(right.wrong) == 60 - right.right
    alone = search_flow(_searcher, ["France"], 60, most=1)[2]
    assert alone.right == 60


def test_a_flow_without_a_search_ends_there() -> None:
    called, exact, right = search_flow(lambda some: ["No."] * len(some), ["France"], 20)
    assert (called.right, exact.right, right.right) == (0, 0, 0)
    assert len(called.wrong) == 20


def test_the_style_score_tells_style_from_content() -> None:
    cases = style_cases(all_cases(SOURCES), 80)
    assert len(cases) == 80
    assert cases == style_cases(all_cases(SOURCES), 80)
    expected = [case.expected for case in cases]
    perfect = style(cases, lambda _: expected, lambda _: [pirate(text) for text in expected])
    assert (perfect.styled, perfect.right, perfect.base_right) == (80, 80, 80)
    empty = style(cases, lambda _: expected, lambda _: ["Aye, matey!"] * 80)
    assert (empty.styled, empty.right) == (80, 0)
    assert "| in the style and exactly right | 0 / 80 | 0 % |" in empty.table()


def test_conversations_hold_what_was_said_before() -> None:
    def count(conversations: Sequence[Conversation]) -> list[str]:
        return [f"after {len(conversation)}" for conversation in conversations]

    text = talks(count)
    assert text.count("   - ") == sum(map(len, TALKS))
    assert text.count("> after 1\n") == len(TALKS)
    assert "> after 5\n" in text
