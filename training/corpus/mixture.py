"""What the model is trained on, and in which shares of the text."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from training.corpus import conversations as make
from training.corpus.catalog import all_items
from training.corpus.chat import Conversation, pieces, system
from training.corpus.content import CONTENT_DIR, Item, read_lists
from training.corpus.invented import Inventor
from training.corpus.sources import Sources

# Shares of the characters, by kind of single exchange. They are joined into conversations.
EXCHANGES = {
    "capital": 8.0,
    "capital of which": 4.0,
    "continent": 2.5,
    "currency": 3.0,
    "element symbol": 1.2,
    "element name": 0.9,
    "atomic number": 1.2,
    "definition": 9.0,
    "opposite": 3.5,
    "arithmetic": 8.0,
    "sequence": 2.5,
    "things": 2.5,
    "common": 4.0,
    "identity": 3.5,
    "smalltalk": 5.0,
    "sterna": 7.0,
    "refusal": 3.0,
    "unknown": 1.5,
    "trivia": 2.5,
    "name": 1.0,
    "say": 1.0,
}
# Shares of whole conversations.
CONVERSATIONS = {
    "follow-up": 2.0,
    "recall": 1.0,
    "reading": 4.0,
    "search answer": 5.5,
    "search call": 2.0,
    "search not needed": 1.5,
    "story": 16.0,
}
_FOLLOWED = ("capital", "continent", "currency", "element symbol", "opposite", "arithmetic")
# With which chance a conversation of n exchanges gets a system prompt.
_SYSTEM_CHANCE = 0.15


T = TypeVar("T")


class Deck(Generic[T]):
    """Cards dealt in random order, each once before any comes again."""

    def __init__(self, cards: Sequence[T], rng: random.Random) -> None:
        if not cards:
            raise ValueError("a deck needs at least one card")
        self._cards = list(cards)
        self._rng = rng
        self._left: list[T] = []

    def deal(self) -> T:
        if not self._left:
            self._left = self._cards.copy()
            self._rng.shuffle(self._left)
        return self._left.pop()


class Balance:
    """Picks kinds at random so that their shares of the characters come out as wanted."""

    def __init__(self, shares: dict[str, float], rng: random.Random) -> None:
        total = sum(shares.values())
        self._shares = {kind: share / total for kind, share in shares.items()}
        self._made: dict[str, int] = dict.fromkeys(shares, 0)
        self._count: dict[str, int] = dict.fromkeys(shares, 0)
        self._rng = rng

    def pick(self) -> str:
        kinds = list(self._shares)
        # A kind is drawn as often as its share asks, given how long its texts are on average.
        weights = [self._shares[k] * (self._count[k] + 1) / (self._made[k] + 100) for k in kinds]
        return self._rng.choices(kinds, weights)[0]

    def record(self, kind: str, chars: int) -> None:
        self._made[kind] += chars
        self._count[kind] += 1

    def shares(self) -> dict[str, float]:
        """The shares reached so far."""
        total = sum(self._made.values()) or 1
        return {kind: made / total for kind, made in self._made.items()}


def _length(conversation: Conversation) -> int:
    return sum(len(m.text) + 10 for m in conversation)


class Corpus:
    """An endless, seeded stream of training conversations."""

    def __init__(self, sources: Sources, seed: int) -> None:
        rng = self._rng = random.Random(seed)
        lists = read_lists(CONTENT_DIR / "lists.txt")
        items = [item for item in all_items() if item.questions]
        by_category: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            by_category[item.category].append(item)
        self._items = {c: Deck(members, rng) for c, members in by_category.items()}
        self._followed = {c: by_category[c] for c in _FOLLOWED}
        places = [item.slot for item in by_category["capital"]]
        self._inventor = Inventor(rng, places)
        self._names = Deck(lists["names"], rng)
        self._systems = Deck(lists["systems"], rng)
        self._trivia = Deck(sources.trivia, rng)
        self._stories = Deck(sources.stories, rng)
        words = [item.slot for item in by_category["opposite"]]
        self._words = Deck([*words, *places, *lists["names"]], rng)
        self._exchanges = Balance(EXCHANGES, rng)
        whole = dict(CONVERSATIONS, exchanges=sum(EXCHANGES.values()))
        self._kinds = Balance(whole, rng)
        self._whole: dict[str, Callable[[], Conversation]] = {
            "follow-up": self._follow_up,
            "recall": self._recall,
            "reading": lambda: make.reading(self._inventor, rng),
            "search answer": lambda: make.search_and_answer(self._inventor, rng),
            "search call": lambda: make.search_call(self._trivia.deal()),
            "search not needed": self._search_not_needed,
            "story": lambda: make.story(self._stories.deal(), rng),
            "exchanges": lambda: self.exchanges(rng.choice((1, 1, 1, 2, 3))),
        }

    def __iter__(self) -> Iterator[Conversation]:
        while True:
            kind = self._kinds.pick()
            conversation = self._whole[kind]()
            self._kinds.record(kind, _length(conversation))
            yield conversation

    def shares(self) -> dict[str, float]:
        """The shares of the characters so far, by kind of conversation and of exchange."""
        whole = self._kinds.shares()
        joined = whole.pop("exchanges")
        return {**whole, **{k: v * joined for k, v in self._exchanges.shares().items()}}

    def exchanges(self, count: int) -> Conversation:
        """A conversation of independent exchanges."""
        conversation: Conversation = []
        if self._rng.random() < _SYSTEM_CHANCE:
            conversation.append(system(self._systems.deal()))
        for _ in range(count):
            conversation += self._exchange()
        return conversation

    def _exchange(self) -> Conversation:
        kind = self._exchanges.pick()
        rng = self._rng
        if kind == "trivia":
            # What is asked about an invented thing cannot be known either.
            invented = rng.random() < 0.3
            question = rng.choice(self._inventor.fact().questions) if invented else None
            exchange = make.decline(question or self._trivia.deal(), rng)
        elif kind == "name":
            exchange = make.introduce(self._name(), rng)
        elif kind == "say":
            exchange = make.say(self._phrase(), rng)
        else:
            exchange = make.ask(self._items[kind].deal(), rng)
        self._exchanges.record(kind, _length(exchange))
        return exchange

    def _name(self) -> str:
        return self._names.deal() if self._rng.random() < 0.5 else self._inventor.name()

    def _phrase(self) -> str:
        words = [
            self._words.deal() if self._rng.random() < 0.6 else self._inventor.name()
            for _ in range(self._rng.choice((1, 1, 2, 3)))
        ]
        return " ".join(words)

    def _follow_up(self) -> Conversation:
        return make.follow_up(self._followed[self._rng.choice(_FOLLOWED)], self._rng)

    def _recall(self) -> Conversation:
        between = self.exchanges(self._rng.choice((0, 1, 1, 2)))
        between = [message for message in between if message.role != "System"]
        name = self._name() if self._rng.random() < 0.7 else None
        if name is None and any("Nice to meet you" in m.text for m in between):
            between = []
        return make.recall(name, between, self._rng)

    def _search_not_needed(self) -> Conversation:
        # What the model would decline it should rather search for, so those kinds stay out.
        kind = self._rng.choice(("capital", "arithmetic", "definition", "smalltalk", "identity"))
        return [system(make.SEARCH_SYSTEM), *make.ask(self._items[kind].deal(), self._rng)]


def text_of(conversation: Conversation) -> str:
    """The conversation as plain text, for looking at it and for training the tokenizer."""
    return "".join(piece.text for piece in pieces(conversation))
