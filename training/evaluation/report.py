"""Scores by category, as JSON and as the table of the model card."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.evaluation.answers import Answer
from training.evaluation.cases import IN_DOMAIN, Case, declines


@dataclass
class Score:
    """How one set of cases went. `wrong` holds (last message, answer, expected)."""

    name: str
    right: int = 0
    declined: int = 0
    total: int = 0
    wrong: list[tuple[str, str, str]] = field(default_factory=list)

    def line(self) -> str:
        percent = 100 * self.right / self.total if self.total else 0.0
        return f"| {self.name} | {self.right} / {self.total} | {percent:.0f} % |"


def score(name: str, cases: list[Case], answer: Answer) -> Score:
    """Ask all cases; right is an answer equal to the expected text."""
    result = Score(name, total=len(cases))
    answers = answer([case.conversation for case in cases])
    for case, text in zip(cases, answers, strict=True):
        text = text.strip()
        result.declined += declines(text)
        if text == case.expected:
            result.right += 1
        else:
            result.wrong.append((case.conversation[-1].text, text, case.expected))
    return result


def evaluate(cases: dict[str, list[Case]], answer: Answer) -> list[Score]:
    return [score(name, members, answer) for name, members in cases.items() if members]


def refusals(scores: list[Score]) -> dict[str, tuple[int, int]]:
    """Declined of all, outside the domain (wanted) and inside it in new phrasings (not wanted)."""
    outside = [s for s in scores if "decline" in s.name or s.name.startswith("unknown")]
    inside = [s for s in scores if s.name in {f"{c}, new phrasing" for c in IN_DOMAIN}]
    return {
        "declined outside the domain": (
            sum(s.declined for s in outside),
            sum(s.total for s in outside),
        ),
        "declined inside the domain": (
            sum(s.declined for s in inside),
            sum(s.total for s in inside),
        ),
    }


def table(scores: list[Score]) -> str:
    """A Markdown table: trained and new phrasings of a category side by side, then the rest."""
    by_name = {s.name: s for s in scores}
    lines = ["| subject | trained phrasing | new phrasing |", "|---|---|---|"]
    for category in IN_DOMAIN:
        trained = by_name.get(f"{category}, trained phrasing")
        new = by_name.get(f"{category}, new phrasing")
        if trained and new:
            lines.append(f"| {category} | {_share(trained)} | {_share(new)} |")
    lines += ["", "| skill | exactly right | |", "|---|---|---|"]
    lines += [s.line() for s in scores if "phrasing" not in s.name]
    lines += ["", "| | answers | |", "|---|---|---|"]
    for name, (count, total) in refusals(scores).items():
        lines.append(f"| {name} | {count} / {total} | {100 * count / max(1, total):.1f} % |")
    return "\n".join(lines) + "\n"


def _share(score: Score) -> str:
    return f"{score.right} / {score.total} ({100 * score.right / max(1, score.total):.0f} %)"
