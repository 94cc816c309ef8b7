"""How well the adapter keeps the content while it changes the style."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.corpus.pirate import is_pirate, pirate
from training.evaluation.answers import Answer
from training.evaluation.cases import IN_DOMAIN, Case


@dataclass(frozen=True)
class StyleScore:
    """Counts over the same questions; `base_right` is the model without the adapter."""

    total: int
    styled: int
    right: int
    base_right: int
    samples: list[tuple[str, str]]

    def table(self) -> str:
        lines = ["| of the same questions | answers | |", "|---|---|---|"]
        for name, count in (
            ("in the style", self.styled),
            ("in the style and exactly right", self.right),
            ("exactly right without the adapter", self.base_right),
        ):
            share = 100 * count / max(1, self.total)
            lines.append(f"| {name} | {count} / {self.total} | {share:.0f} % |")
        lines += ["", *(f"- {question} -> {answer}" for question, answer in self.samples)]
        return "\n".join(lines) + "\n"


def style_cases(cases: dict[str, list[Case]], count: int) -> list[Case]:
    """Questions for the score: in the domain in both phrasings, and some to decline."""
    wanted = [
        f"{category}, {kind} phrasing" for category in IN_DOMAIN for kind in ("trained", "new")
    ]
    wanted += [name for name in cases if "to decline" in name]
    rng = random.Random(1)
    # As many from every set, so that the large ones do not drown the small ones.
    each = -(-count // len(wanted))
    drawn = [
        case for name in wanted for case in rng.sample(cases[name], min(each, len(cases[name])))
    ]
    return rng.sample(drawn, min(count, len(drawn)))


def style(cases: list[Case], base: Answer, adapted: Answer) -> StyleScore:
    """Ask the model with and without the adapter the same questions."""
    conversations = [case.conversation for case in cases]
    plain = [text.strip() for text in base(conversations)]
    spoken = [text.strip() for text in adapted(conversations)]
    return StyleScore(
        total=len(cases),
        styled=sum(map(is_pirate, spoken)),
        right=sum(text == pirate(case.expected) for case, text in zip(cases, spoken, strict=True)),
        base_right=sum(text == case.expected for case, text in zip(cases, plain, strict=True)),
        samples=[
            (c.conversation[-1].text, t) for c, t in list(zip(cases, spoken, strict=True))[:12]
        ],
    )
