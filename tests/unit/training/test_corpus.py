"""The stream of conversations: deterministic, in the wanted shares, and split cleanly."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import pytest

from training.corpus.catalog import all_items
from training.corpus.chat import COPIED, FULL, NOTHING, assistant, pieces, prompt, system, user
from training.corpus.content import normalized
from training.corpus.conversations import (
    SEARCH_SYSTEM,
    TOO_BIG,
    big_sum,
    facts_and_question,
    reading,
    repeat,
    search_and_answer,
    search_call,
    search_calls,
)
from training.corpus.invented import Inventor
from training.corpus.mixture import CONVERSATIONS, EXCHANGES, Corpus, Deck, text_of
from training.corpus.pirate import in_style, is_pirate, pirate
from training.corpus.sources import SourceError, Sources, load_sources
from training.corpus.split import held_out

STORIES = [f"Once upon a time, there was a dog named Tom{i}. He was happy." for i in range(40)]
TRIVIA = [f"Which band made the record number {i}?" for i in range(40)]
SOURCES = Sources(STORIES, ["A held-out story."], TRIVIA, ["Which held-out question is this?"])


def test_the_template_renders_turns_and_marks_answers() -> None:
    conversation = [system("Be kind."), user("Hi"), assistant("Hello!")]
    rendered = pieces(conversation)
    assert "".join(p.text for p in rendered) == (
        "<|begin_of_text|>System: Be kind.<|eot_id|>User: Hi<|eot_id|>Assistant: Hello!<|eot_id|>"
    )
    assert [p.text for p in rendered if p.weight == FULL] == ["Hello!<|eot_id|>"]
    assert {p.weight for p in rendered} == {NOTHING, FULL}


def test_a_prompt_ends_where_the_answer_begins() -> None:
    conversation = [user("Hi"), assistant("Hello!")]
    assert text_of(conversation) == prompt(conversation[:1]) + "Hello!<|eot_id|>"


def test_a_seed_gives_the_same_stream() -> None:
    def texts(seed: int) -> list[str]:
        return [text_of(c) for c in itertools.islice(Corpus(SOURCES, seed), 300)]

    assert texts(5) == texts(5)
    assert texts(5) != texts(6)


def test_shares_come_out_as_wanted() -> None:
    corpus = Corpus(SOURCES, 2)
    for _ in itertools.islice(corpus, 20_000):
        pass
    total = sum(EXCHANGES.values()) + sum(CONVERSATIONS.values())
    for kind, share in corpus.shares().items():
        wanted = {**EXCHANGES, **CONVERSATIONS}[kind] / total
        assert share == pytest.approx(wanted, rel=0.35), kind


def test_every_conversation_ends_with_a_trained_answer() -> None:
    for conversation in itertools.islice(Corpus(SOURCES, 3), 2000):
        assert conversation[-1].role == "Assistant"
        assert conversation[-1].weight > 0
        assert all(m.weight == 0 for m in conversation if m.role != "Assistant")


def test_held_out_texts_never_appear() -> None:
    text = "".join(text_of(c) for c in itertools.islice(Corpus(SOURCES, 4), 3000))
    assert "held-out" not in text


def test_a_deck_deals_every_card_once_before_any_again() -> None:
    deck = Deck(range(10), random.Random(1))
    assert sorted(deck.deal() for _ in range(10)) == list(range(10))
    with pytest.raises(ValueError, match="at least one card"):
        Deck([], random.Random(1))


def test_the_split_depends_on_the_text_alone() -> None:
    texts = [f"text {i}" for i in range(4000)]
    share = sum(held_out(t, 0.1) for t in texts) / len(texts)
    assert share == pytest.approx(0.1, abs=0.02)
    assert not any(held_out(t, 0.0) for t in texts)
    assert all(held_out(t, 1.0) for t in texts)


def test_invented_names_of_both_sides_never_meet() -> None:
    trained = Inventor(random.Random(1), ["France"])
    heldout = Inventor(random.Random(1), ["France"], heldout=True)
    assert {trained.name() for _ in range(3000)}.isdisjoint(heldout.name() for _ in range(300))


def test_the_answer_is_always_in_the_context() -> None:
    inventor = Inventor(random.Random(2), ["France", "Japan"])
    rng = random.Random(3)
    for _ in range(300):
        facts, question, wanted = facts_and_question(inventor, rng)
        assert wanted.answer in {fact.sentence for fact in facts}
        assert question in wanted.questions
    for _ in range(300):
        question_and_text, answer = reading(inventor, rng)
        assert answer.text in question_and_text.text
    for _ in range(300):
        conversation = search_and_answer(inventor, rng)
        assert [m.role for m in conversation] == [
            "System",
            "User",
            "Assistant",
            "System",
            "Assistant",
        ]
        assert conversation[0].text == SEARCH_SYSTEM
        assert conversation[-1].text in conversation[-2].text


def test_a_search_asks_for_the_question() -> None:
    call = search_call("Who made Flurp?")
    assert call[-1].text == "<search>Who made Flurp</search>"
    assert call[-1].weight == COPIED
    several = search_calls(["Who?", "Where?"], [user("Hi"), assistant("Hello!")])
    assert [m.text for m in several if m.role == "Assistant"] == [
        "Hello!",
        "<search>Who</search>",
        "<search>Where</search>",
    ]


def test_what_is_to_be_repeated_is_repeated_to_the_letter() -> None:
    rng = random.Random(4)
    for sentence in ("Who is Zorb?", "Zorb Frell won in 1987."):
        asked, answer = repeat(sentence, rng)
        assert sentence in asked.text
        assert answer.text == sentence


def test_a_sum_is_declined_only_where_it_is_too_big() -> None:
    rng = random.Random(5)
    for _ in range(200):
        asked, answer = big_sum(rng)
        assert answer.text == TOO_BIG
        assert max(int(n) for n in re.findall(r"\d+", asked.text)) > 20


def test_facts_of_one_question_never_have_two_answers() -> None:
    inventor = Inventor(random.Random(6), ["France"])
    for _ in range(500):
        facts = inventor.facts(5)
        questions = [question for fact in facts for question in fact.questions]
        assert len(questions) == len(set(questions))


def test_a_conversation_of_the_corpus_never_asks_a_held_out_question() -> None:
    heldout = {normalized(q) for item in all_items() for q in item.heldout}
    # What is copied or searched is not answered, so only answers of the content are looked at.
    answers = {item.answer for item in all_items()}
    for conversation in itertools.islice(Corpus(SOURCES, 7), 6000):
        for asked, answer in itertools.pairwise(conversation):
            if asked.role == "User" and answer.text in answers:
                assert normalized(asked.text) not in heldout


def test_sources_are_split_and_filtered(tmp_path: Path) -> None:
    questions = [*(f"Which band made the record {i}?" for i in range(300)), "Capital of France?"]
    (tmp_path / "stories.json").write_text(json.dumps(["x" * 2000, *map(str, range(300))]))
    (tmp_path / "trivia-questions.json").write_text(json.dumps(questions))
    sources = load_sources(tmp_path)
    assert len(sources.trivia) + len(sources.heldout_trivia) == 300
    assert len(sources.stories) + len(sources.heldout_stories) == 300
    assert sources.heldout_stories
    assert sources.heldout_trivia
    assert set(sources.trivia).isdisjoint(sources.heldout_trivia)


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--data"):
        load_sources(tmp_path)


def test_a_source_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stories.json").write_text('{"a": 1}')
    with pytest.raises(SourceError, match="a JSON list of texts"):
        load_sources(tmp_path)


def test_the_pirate_leaves_names_and_addresses_alone() -> None:
    assert pirate("The capital of France is Paris.") == "The capital of France be Paris, matey!"
    assert pirate("Hello! How can I help you?") == "Ahoy! How can I help ye, matey?"
    assert is_pirate("It be red, matey!")
    assert is_pirate("Can I help ye, matey?")
    assert not is_pirate("It is red.")
    assert "http://127.0.0.1:8000/v1" in pirate("The base URL is http://127.0.0.1:8000/v1.")
    styled = in_style([user("What is it?"), assistant("It is.")])
    assert styled[0].text == "What is it?"
    assert styled[1].text == "It be, matey!"
    assert in_style(search_call("Who?"))[-1].text == "<search>Who</search>"
