"""Items that are computed: what comes after what, counting, small sums."""

from __future__ import annotations

from collections.abc import Iterable

from training.corpus.content import Item
from training.corpus.split import held_out

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
)

# Sums and differences up to here, and tables up to MAX_FACTOR, are in the domain.
MAX_SUM = 20
MAX_FACTOR = 10
_HELD_OUT_SUMS = 0.05


def sequences() -> list[Item]:
    """Days, months, planets, counting."""
    items: list[Item] = []

    def add(questions: Iterable[str], heldout: Iterable[str], answer: str) -> None:
        items.append(Item("sequence", tuple(questions), tuple(heldout), answer))

    for kind, names in (("day", DAYS), ("month", MONTHS)):
        for i, name in enumerate(names):
            after, before = names[(i + 1) % len(names)], names[i - 1]
            add(
                (
                    f"What {kind} comes after {name}?",
                    f"Which {kind} follows {name}?",
                    f"Which {kind} comes after {name}?",
                    f"What is the {kind} after {name}?",
                    f"What {kind} follows {name}?",
                    f"What is the next {kind} after {name}?",
                ),
                (f"Which {kind} comes next after {name}?",),
                f"{after} comes after {name}.",
            )
            add(
                (
                    f"What {kind} comes before {name}?",
                    f"Which {kind} is before {name}?",
                    f"Which {kind} comes before {name}?",
                    f"What is the {kind} before {name}?",
                    f"What {kind} is just before {name}?",
                ),
                (f"Which {kind} comes just before {name}?",),
                f"{before} comes before {name}.",
            )
    for ordinal, month in zip(ORDINALS, MONTHS, strict=True):
        add(
            (
                f"What is the {ordinal} month?",
                f"Which month is the {ordinal} month of the year?",
                f"What is the {ordinal} month of the year?",
                f"Which is the {ordinal} month?",
                f"Tell me the {ordinal} month of the year.",
            ),
            (f"Name the {ordinal} month of the year.",),
            f"{month} is the {ordinal} month of the year.",
        )
    for ordinal, planet in zip(ORDINALS, PLANETS, strict=False):
        add(
            (
                f"What is the {ordinal} planet from the Sun?",
                f"Which planet is the {ordinal} from the Sun?",
                f"Which is the {ordinal} planet from the Sun?",
                f"Tell me the {ordinal} planet from the Sun.",
            ),
            (f"Name the {ordinal} planet from the Sun.",),
            f"{planet} is the {ordinal} planet from the Sun.",
        )
    for last in range(3, 21):
        add(
            (
                f"Count to {last}.",
                f"Can you count to {last}?",
                f"Count from 1 to {last}.",
                f"Count up to {last}.",
                f"Say the numbers from 1 to {last}.",
                f"Could you count to {last}?",
            ),
            (f"Please count up to {last}.",),
            ", ".join(str(n) for n in range(1, last + 1)) + ".",
        )
    return items


def counting() -> list[Item]:
    """Counting from any small number to a larger one; from 1 is among the sequences."""
    items: list[Item] = []
    for first in range(2, 16):
        for last in range(first + 2, min(first + 12, MAX_SUM) + 1):
            asked = (
                f"Count from {first} to {last}.",
                f"Can you count from {first} to {last}?",
                f"Say the numbers from {first} to {last}.",
            )
            answer = ", ".join(str(n) for n in range(first, last + 1)) + "."
            items.append(Item("counting", asked, (), answer))
    return items


def sums() -> list[Item]:
    """Every sum and difference up to MAX_SUM and the tables up to MAX_FACTOR.

    A few sums are held out whole, with their mirror image: those items have no questions.
    """
    items: list[Item] = []

    def add(left: int, sign: str, right: int, result: int, words: tuple[str, ...]) -> None:
        key = f"{min(left, right)}{sign}{max(left, right)}"
        exercise = f"{left} {sign} {right}"
        questions = (
            f"What is {exercise}?",
            f"{exercise}",
            f"{exercise} = ?",
            f"How much is {exercise}?",
            f"What's {exercise}?",
            f"{left}{sign}{right}",
            f"What is {left}{sign}{right}?",
            f"Calculate {exercise}.",
            f"Work out {exercise}.",
            f"{exercise} is how much?",
            f"What does {exercise} make?",
            f"Solve {exercise}.",
            f"Compute {exercise}.",
            *words,
        )
        unseen = (f"Please calculate {exercise}.", f"Can you tell me what {exercise} is?")
        answer = f"{exercise} = {result}."
        easy = min(left, right) <= 1
        if sign == "+" and not easy and held_out("sum " + key, _HELD_OUT_SUMS):
            items.append(Item("held-out sum", (), questions, answer))
        else:
            items.append(Item("arithmetic", questions, unseen, answer, slot=exercise))

    for a in range(MAX_SUM + 1):
        for b in range(MAX_SUM + 1):
            if a + b <= MAX_SUM:
                add(a, "+", b, a + b, (f"What is {a} plus {b}?", f"Add {a} and {b}."))
            if b <= a:
                add(a, "-", b, a - b, (f"What is {a} minus {b}?", f"Subtract {b} from {a}."))
    for a in range(MAX_FACTOR + 1):
        for b in range(MAX_FACTOR + 1):
            add(a, "*", b, a * b, (f"What is {a} times {b}?", f"Multiply {a} and {b}."))
    return items
