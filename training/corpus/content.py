"""Reading the hand-written content: question blocks, tables and lists."""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

CONTENT_DIR = Path(__file__).resolve().parent.parent / "content"

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Item:
    """One thing to know: every way to ask for it, and the one right answer.

    `heldout` phrasings are never trained. `slot` is what a short follow-up names ("And Spain?");
    empty where a follow-up makes no sense. An item without `questions` is itself held out.
    """

    category: str
    questions: tuple[str, ...]
    heldout: tuple[str, ...]
    answer: str
    slot: str = ""


class ContentError(ValueError):
    """A content file is malformed; the message names the file, the line and what is expected."""


def expand(pattern: str) -> tuple[str, ...]:
    """Every reading of a pattern: `"a [b|c]"` gives `("a b", "a c")`; surplus blanks go."""
    parts = _CHOICE.split(pattern)
    # Odd parts are the insides of brackets.
    choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    readings = ("".join(reading) for reading in itertools.product(*choices))
    cleaned = (re.sub(r"\s+([.?!])", r"\1", " ".join(r.split())) for r in readings)
    return tuple(dict.fromkeys(cleaned))


def read_blocks(path: Path) -> list[Item]:
    """The items of a block file. Raises ContentError naming the line."""
    items: list[Item] = []
    category = path.stem
    questions: list[str] = []
    heldout: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.name}, line {number}"
        kind, _, text = line.partition(" ")
        if not line.strip():
            continue
        if kind == "#":
            category = text.strip()
        elif kind == "Q":
            questions.extend(expand(text))
        elif kind == "T":
            heldout.extend(expand(text))
        elif kind == "A":
            if not questions:
                raise ContentError(f"{where}: an answer needs at least one Q line before it")
            unique = tuple(dict.fromkeys(questions))
            items.append(Item(category, unique, tuple(heldout), text.strip()))
            questions, heldout = [], []
        else:
            raise ContentError(f"{where}: begin a line with '#', 'Q', 'T' or 'A'; got {kind!r}")
    if questions or heldout:
        raise ContentError(f"{path.name}: the last block has no A line")
    return items


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated file as dictionaries; missing cells are empty strings."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
        return [{key: value or "" for key, value in row.items()} for row in reader]


def read_lists(path: Path) -> dict[str, list[str]]:
    """The named lists of a file: `# name`, then one entry per line."""
    lists: dict[str, list[str]] = {}
    name = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# "):
            name = line[2:].strip()
            lists[name] = []
        elif line.strip():
            if not name:
                raise ContentError(f"{path.name}, line {number}: name the list first: '# name'")
            lists[name].append(line.strip())
    return lists


def normalized(question: str) -> str:
    """What makes two questions the same question: letters and digits, in lower case."""
    return re.sub(r"[^\w+*/-]+", " ", question.lower()).strip()


def check_items(items: list[Item]) -> None:
    """Refuse a question with two answers, and a held-out phrasing that is also trained.

    Raises ContentError with every offender.
    """
    answers: dict[str, str] = {}
    problems: list[str] = []
    for item in items:
        for question in item.questions:
            key = normalized(question)
            if answers.setdefault(key, item.answer) != item.answer:
                problems.append(f"{question!r}: {answers[key]!r} and {item.answer!r}")
    problems += [
        f"held out, but trained: {question!r}"
        for item in items
        for question in item.heldout
        if normalized(question) in answers
    ]
    if problems:
        raise ContentError("contradictions in the content:\n" + "\n".join(sorted(set(problems))))
