"""Invented names and facts, so that an answer can come from nowhere but the context."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.corpus.facts import article
from training.corpus.split import held_out

_ONSETS = "b c d f g h j k l m n p r s t v w z br dr gr kr pl st tr sh th".split()
_VOWELS = "a e i o u a e i o ai ea".split()
_CODAS = ["", "", "n", "r", "l", "s", "m", "k", "th", "nd", "x"]
_HELD_OUT_NAMES = 0.05
# How often several facts are of one kind.
_ALIKE = 0.2

_PROFESSIONS = (
    "a singer,a painter,a scientist,a chess player,an author,a football player,a king,a doctor,"
    "an actor,a teacher,a pilot,a farmer,a baker,an engineer,a judge"
).split(",")
_WORKS = "company game book film song program".split()
_MAKING = "made created invented".split()
_PLACES = "city village river castle festival school".split()
_CONTESTS = "World Cup,chess championship,song contest,bike race,film prize".split(",")
_LANDMARKS = "River Tower Bridge Mountain Lake".split()
_MEASURES = "tall long high wide deep".split()


@dataclass(frozen=True)
class Fact:
    """A sentence, ways to ask for it, and the answer that it supports."""

    sentence: str
    questions: tuple[str, ...]
    answer: str


class Inventor:
    """Makes names and facts from a random source; trained and held-out names never meet."""

    def __init__(
        self, rng: random.Random, countries: Sequence[str], *, heldout: bool = False
    ) -> None:
        self._rng = rng
        self._countries = countries
        self._heldout = heldout

    def name(self, syllables: int | None = None) -> str:
        """One invented word of the wanted side of the split."""
        rng = self._rng
        while True:
            count = syllables or rng.choice((1, 2, 2, 3))
            word = "".join(
                rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)
            ).capitalize()
            if held_out("name " + word, _HELD_OUT_NAMES) == self._heldout:
                return word

    def thing(self) -> str:
        """A thing that does not exist, with its article: "a drobin"."""
        word = self.name(self._rng.choice((2, 2, 3))).lower()
        return word if self._rng.random() < 0.3 else article(word)

    def fact(self) -> Fact:
        """One fact of a random kind."""
        return self._rng.choice(self._kinds())()

    def facts(self, count: int) -> list[Fact]:
        """Some facts; often all of one kind, so that only the names tell them apart."""
        alike = self._rng.random() < _ALIKE
        make = self._rng.choice(self._kinds()) if alike else self.fact
        found: list[Fact] = []
        while len(found) < count:
            fact = make()
            # Two winners of one cup would leave the question open.
            if all(set(fact.questions).isdisjoint(other.questions) for other in found):
                found.append(fact)
        return found

    def _kinds(self) -> tuple[Callable[[], Fact], ...]:
        return (
            self._capital,
            self._profession,
            self._birth,
            self._landmark,
            self._maker,
            self._place,
            self._winner,
            self._population,
        )

    def _full_name(self) -> str:
        return f"{self.name()} {self.name()}"

    def _capital(self) -> Fact:
        land, city = self.name(), self.name()
        sentence = f"The capital of {land} is {city}."
        asked = (f"What is the capital of {land}?", f"Capital of {land}?")
        return Fact(sentence, asked, sentence)

    def _profession(self) -> Fact:
        person, what = self._full_name(), self._rng.choice(_PROFESSIONS)
        sentence = f"{person} is {what} from {self.name()}."
        return Fact(sentence, (f"Who is {person}?", f"What is {person}?"), sentence)

    def _birth(self) -> Fact:
        person, year = self._full_name(), self._rng.randint(1400, 2024)
        sentence = f"{person} was born in {year}."
        asked = (f"When was {person} born?", f"In what year was {person} born?")
        return Fact(sentence, asked, sentence)

    def _landmark(self) -> Fact:
        rng = self._rng
        what = f"{self.name()} {rng.choice(_LANDMARKS)}"
        how, unit = rng.choice(_MEASURES), rng.choice(("meters", "kilometers", "feet"))
        sentence = f"The {what} is {rng.randint(2, 9999)} {unit} {how}."
        return Fact(sentence, (f"How {how} is the {what}?",), sentence)

    def _maker(self) -> Fact:
        rng = self._rng
        name, maker = self.name(), self._full_name()
        work, made = rng.choice(_WORKS), rng.choice(_MAKING)
        asked = (f"Who {made} {name}?", f"Who {made} the {work} {name}?")
        sentence = f"The {work} {name} was {made} by {maker}."
        return Fact(sentence, asked, sentence)

    def _place(self) -> Fact:
        rng = self._rng
        name, kind = self.name(), rng.choice(_PLACES)
        sentence = f"{name} is a {kind} in {rng.choice(self._countries)}."
        return Fact(sentence, (f"Where is {name}?", f"What is {name}?"), sentence)

    def _winner(self) -> Fact:
        rng = self._rng
        person, contest, year = self._full_name(), rng.choice(_CONTESTS), rng.randint(1900, 2030)
        sentence = f"{person} won the {contest} in {year}."
        asked = (f"Who won the {contest} in {year}?", f"Who won the {year} {contest}?")
        return Fact(sentence, asked, sentence)

    def _population(self) -> Fact:
        rng = self._rng
        name = self.name()
        count = str(rng.randint(1, 999)) + rng.choice((" thousand", " million", ""))
        sentence = f"About {count} people live in {name}."
        asked = (f"How many people live in {name}?", f"What is the population of {name}?")
        return Fact(sentence, asked, sentence)
