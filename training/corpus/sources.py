"""The texts that come from outside: stories and trivia questions, cleaned and split."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from training.corpus.split import held_out

# Longer stories would not fit a training window.
_MAX_STORY_CHARS = 850
_MAX_TRIVIA_CHARS = 90
_QUESTION_WORDS = ("What", "Which", "Who", "When", "Where", "How", "In what", "In which")
_DEICTIC = re.compile(r"\b(these|this|following|I|you|he|she|they)\b")
# Trivia that happens to lie in the domain would teach the model to decline what it knows.
_IN_DOMAIN = re.compile(
    r"capital|currency|continent|chemical|symbol|atomic|opposite|planet|how many|"
    r"largest|biggest|tallest|fastest|smallest|color|baby|president of the united states",
    re.IGNORECASE,
)


class SourceError(ValueError):
    """A source file is missing or malformed; the message names it and what is expected."""


@dataclass(frozen=True)
class Sources:
    """Texts from outside, each list split by the text itself."""

    stories: list[str]
    heldout_stories: list[str]
    trivia: list[str]
    heldout_trivia: list[str]


def load_sources(directory: Path) -> Sources:
    """Read `stories.json` and `trivia-questions.json` (lists of texts) of a directory."""
    stories = [s for s in _strings(directory / "stories.json") if len(s) <= _MAX_STORY_CHARS]
    trivia = [q for q in map(_clean, _strings(directory / "trivia-questions.json")) if _usable(q)]
    trivia = list(dict.fromkeys(trivia))
    return Sources(
        stories=[s for s in stories if not held_out(s, 0.03)],
        heldout_stories=[s for s in stories if held_out(s, 0.03)],
        trivia=[q for q in trivia if not held_out(q, 0.05)],
        heldout_trivia=[q for q in trivia if held_out(q, 0.05)],
    )


def _strings(path: Path) -> list[str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(
            f"{path} is missing: name the directory of the texts with --data; "
            "training/SOURCES.md says where they come from"
        ) from error
    if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
        raise SourceError(f"{path}: expected a JSON list of texts")
    return data


def _clean(question: str) -> str:
    return " ".join(question.split())


def _usable(question: str) -> bool:
    return (
        question.endswith("?")
        and question.startswith(_QUESTION_WORDS)
        and 15 <= len(question) <= _MAX_TRIVIA_CHARS
        and question.isascii()
        and question.count(".") == 0
        and not _DEICTIC.search(question)
        and not _IN_DOMAIN.search(question)
    )
