"""The content: its format, and that it never contradicts itself or leaks held-out phrasings."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.corpus.catalog import all_items
from training.corpus.content import (
    ContentError,
    Item,
    check_items,
    expand,
    normalized,
    read_blocks,
    read_lists,
)


def test_a_pattern_stands_for_every_reading() -> None:
    assert expand("a [b|c] d") == ("a b d", "a c d")
    assert expand("[Hi|Hello], how [are you|is it]?") == (
        "Hi, how are you?",
        "Hi, how is it?",
        "Hello, how are you?",
        "Hello, how is it?",
    )


def test_an_empty_choice_leaves_no_blank_behind() -> None:
    assert expand("What is the license [of Sterna|]?") == (
        "What is the license of Sterna?",
        "What is the license?",
    )


def test_blocks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("# greeting\nQ Hi\nQ Hello\nT Hey\nA Hello!\n\nQ Bye\nA Bye!\n")
    assert read_blocks(path) == [
        Item("greeting", ("Hi", "Hello"), ("Hey",), "Hello!"),
        Item("greeting", ("Bye",), (), "Bye!"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A answer\n", "line 1: an answer needs"),
        ("Q a\nX b\n", "line 2: begin a line with"),
        ("Q a\n", "the last block has no A line"),
    ],
)
def test_a_malformed_block_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "chat.txt"
    path.write_text(text)
    with pytest.raises(ContentError, match=message):
        read_blocks(path)


def test_an_entry_before_the_first_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lists.txt"
    path.write_text("entry\n")
    with pytest.raises(ContentError, match="line 1: name the list first"):
        read_lists(path)


def test_two_answers_to_one_question_are_refused() -> None:
    items = [Item("x", ("What?",), (), "A."), Item("x", ("what",), (), "B.")]
    with pytest.raises(ContentError, match=r"'A\.' and 'B\.'"):
        check_items(items)


def test_a_held_out_phrasing_that_is_trained_is_refused() -> None:
    items = [Item("x", ("What is it?",), (), "A."), Item("y", ("Other",), ("What is it",), "A.")]
    with pytest.raises(ContentError, match="held out, but trained"):
        check_items(items)


def test_the_catalog_is_consistent_and_large() -> None:
    items = all_items()  # checks itself
    categories = {item.category for item in items}
    assert {"capital", "definition", "identity", "sterna", "smalltalk", "refusal"} <= categories
    assert len(items) > 2500


def test_every_fact_family_has_a_phrasing_that_is_never_trained() -> None:
    trained = {normalized(q) for item in all_items() for q in item.questions}
    for item in all_items():
        if item.category in ("capital", "currency", "definition", "opposite", "arithmetic"):
            assert item.heldout
        assert trained.isdisjoint(map(normalized, item.heldout))


def test_the_first_question_of_the_readme_is_in_the_domain() -> None:
    answers = {q: item.answer for item in all_items() for q in item.questions}
    assert answers["What is the capital of France?"] == "The capital of France is Paris."


def test_held_out_sums_are_not_trained_in_any_order() -> None:
    items = all_items()
    held = [item for item in items if item.category == "held-out sum"]
    trained = {item.slot for item in items if item.category == "arithmetic"}
    assert held
    for item in held:
        left, right = item.answer.split(" = ")[0].split(" + ")
        assert f"{left} + {right}" not in trained
        assert f"{right} + {left}" not in trained


def test_sums_are_right() -> None:
    for item in all_items():
        if item.category in ("arithmetic", "held-out sum"):
            exercise, result = item.answer.rstrip(".").split(" = ")
            left, sign, right = exercise.split()
            a, b = int(left), int(right)
            assert int(result) == {"+": a + b, "-": a - b, "*": a * b}[sign]
