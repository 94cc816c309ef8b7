"""What the model is trained on, and in which shares of the text."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from training.corpus import conversations as make
from training.corpus.catalog import all_items
from training.corpus.chat import Conversation, pieces, system
from training.corpus.content import CONTENT_DIR, Item, normalized, read_lists
from training.corpus.facts import DO_NOT_KNOW, unknown_place, unknown_thing
from training.corpus.invented import Inventor
from training.corpus.sources import Sources

# Shares of the characters, by kind of single exchange. They are joined into conversations.
EXCHANGES = {
    "capital": 5.5,
    "capital of which": 3.5,
    "continent": 3.0,
    "currency": 3.0,
    "element symbol": 1.6,
    "element name": 1.0,
    "atomic number": 1.1,
    "definition": 8.5,
    "opposite": 2.6,
    "arithmetic": 8.0,
    "counting": 0.9,
    "sequence": 2.0,
    "things": 3.0,
    "common": 5.5,
    "identity": 4.5,
    "smalltalk": 5.5,
    "sterna": 8.5,
    "refusal": 4.5,
    "unknown": 3.5,
    "trivia": 3.0,
    "name": 3.0,
    "say": 7.0,
    "repeat": 3.5,
}
# Shares of whole conversations.
CONVERSATIONS = {
    "follow-up": 2.0,
    "recall": 2.5,
    "contrast": 2.0,
    "reading": 7.0,
    "search answer": 11.0,
    "search call": 6.0,
    "search not needed": 2.5,
    "story": 12.0,
}
_FOLLOWED = ("capital", "continent", "currency", "element symbol", "opposite", "arithmetic")
_MANY = 150
# With which chance a conversation of n exchanges gets a system prompt.
_SYSTEM_CHANCE = 0.15
# Of the refusals, those of sums that are too big; of the unknown things, those that do not exist;
# of the others, those that are places.
_BIG_SUMS = 0.15
_INVENTED_WORDS = 0.35
_PLACES = 0.25
_NOT_SEARCHED = ("capital", "arithmetic", "definition", "smalltalk", "identity", "sterna", "things")


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


def _cards(items: Sequence[Item]) -> list[Item]:
    """The items, those with very many questions several times."""
    return [i for i in items for _ in range(max(1, round(len(i.questions) / _MANY)))]


def _length(conversation: Conversation) -> int:
    return sum(len(m.text) + 10 for m in conversation)


class Corpus:
    """An endless, seeded stream of training conversations."""

    def __init__(self, sources: Sources, seed: int) -> None:
        rng = self._rng = random.Random(seed)
        lists = read_lists(CONTENT_DIR / "lists.txt")
        known = all_items()
        items = [item for item in known if item.questions]
        by_category: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            by_category[item.category].append(item)
        self._items = {c: Deck(_cards(members), rng) for c, members in by_category.items()}
        self._followed = {c: by_category[c] for c in _FOLLOWED}
        places = [item.slot for item in by_category["capital"]]
        self._inventor = Inventor(rng, places)
        self._names = Deck(lists["names"], rng)
        self._systems = Deck(lists["systems"], rng)
        self._trivia = Deck(sources.trivia, rng)
        self._stories = Deck(sources.stories, rng)
        words = [item.slot for item in by_category["opposite"]]
        self._words = Deck([*words, *places, *lists["names"]], rng)
        self._declined = Deck(
            [
                i
                for c in ("unknown", "place", "refusal")
                for i in by_category[c]
                if i.answer == DO_NOT_KNOW
            ],
            rng,
        )
        self._heldout = frozenset(
            normalized(question) for item in known for question in item.heldout
        )
        self._exchanges = Balance(EXCHANGES, rng)
        whole = dict(CONVERSATIONS, exchanges=sum(EXCHANGES.values()))
        self._kinds = Balance(whole, rng)
        self._whole: dict[str, Callable[[], Conversation]] = {
            "follow-up": self._follow_up,
            "recall": self._recall,
            "reading": lambda: make.reading(self._inventor, rng),
            "contrast": self._contrast,
            "search answer": self._search_answer,
            "search call": self._search_call,
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
        exchange = self._made(kind)
        self._exchanges.record(kind, _length(exchange))
        return exchange

    def _made(self, kind: str) -> Conversation:
        rng = self._rng
        if kind == "trivia":
            # What is asked about an invented thing cannot be known either.
            invented = rng.random() < 0.3
            return make.decline(self._invented_question() if invented else self._trivia.deal(), rng)
        if kind == "name":
            return make.introduce(self._name(), rng)
        if kind == "say":
            return make.say(self._phrase(), rng)
        if kind == "repeat":
            return make.repeat(self._sentence(), rng)
        if kind == "refusal" and rng.random() < _BIG_SUMS:
            return make.big_sum(rng)
        if kind == "unknown" and rng.random() < _INVENTED_WORDS:
            return make.ask(unknown_thing(self._inventor.thing()), rng)
        if kind == "unknown" and rng.random() < _PLACES:
            return self._asked("place")
        return self._asked(kind)

    def _asked(self, kind: str) -> Conversation:
        """A question of the content; a frame around it never makes a held-out phrasing of it."""
        item = self._items[kind].deal()
        while True:
            exchange = make.ask(item, self._rng)
            if normalized(exchange[0].text) not in self._heldout:
                return exchange

    def _invented_question(self) -> str:
        return self._rng.choice(self._inventor.fact().questions)

    def _sentence(self) -> str:
        """Something to repeat: a question, a fact, the beginning of a story."""
        kind = self._rng.randrange(4)
        if kind == 0:
            return self._trivia.deal()
        if kind == 1:
            return self._inventor.fact().sentence
        if kind == 2:
            return self._invented_question()
        sentences = re.findall(r"[A-Z][^.?!\"]{8,60}[.?!]", self._stories.deal())
        return str(self._rng.choice(sentences)) if sentences else self._trivia.deal()

    def _contrast(self) -> Conversation:
        """What is known and what is not, side by side, in one form of question."""
        rng = self._rng
        known, unknown = rng.choice((("definition", "unknown"), ("capital", "place")))
        turns = [self._asked(known), self._asked(unknown), self._asked(known)]
        if unknown == "unknown":
            turns.append(make.ask(unknown_thing(self._inventor.thing()), rng))
        else:
            turns.append(make.ask(unknown_place(self._inventor.name()), rng))
        rng.shuffle(turns)
        return [message for turn in turns for message in turn]

    def _before_search(self) -> Conversation:
        """Nothing, or a turn that needs no search."""
        kind = self._rng.choice(_NOT_SEARCHED)
        return self._asked(kind) if self._rng.random() < 0.3 else []

    def _search_call(self) -> Conversation:
        rng = self._rng
        questions = [self._searched() for _ in range(rng.choice((1, 2, 3, 3)))]
        return make.search_calls(questions, self._before_search())

    def _searched(self) -> str:
        """A question that is worth a search: what would be declined without one."""
        kind = self._rng.random()
        if kind < 0.5:
            return self._trivia.deal()
        if kind < 0.8:
            return self._invented_question()
        item = self._declined.deal()
        return self._rng.choice(item.questions)

    def _search_answer(self) -> Conversation:
        rng = self._rng
        if rng.random() < 0.5:
            return make.search_and_answer(self._inventor, rng, self._before_search())
        # Two short rounds share one system prompt.
        first = make.search_and_answer(self._inventor, rng, most=2)
        return first + make.search_round(self._inventor, rng, most=2)

    def _name(self) -> str:
        return self._names.deal() if self._rng.random() < 0.5 else self._inventor.name()

    def _phrase(self) -> str:
        """One to three words or numbers."""
        rng = self._rng
        words = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            kind = rng.random()
            if kind < 0.3:
                words.append(self._words.deal())
            elif kind < 0.85:
                words.append(self._inventor.name())
            else:
                words.append(str(rng.randrange(10 ** rng.randint(1, 5))))
        return " ".join(words)

    def _follow_up(self) -> Conversation:
        return make.follow_up(self._followed[self._rng.choice(_FOLLOWED)], self._rng)

    def _recall(self) -> Conversation:
        between = self.exchanges(self._rng.choice((0, 1, 1, 2)))
        between = [message for message in between if message.role != "System"]
        name = self._name() if self._rng.random() < 0.85 else None
        if name is None and any("Nice to meet you" in m.text for m in between):
            between = []
        return make.recall(name, between, self._rng)

    def _search_not_needed(self) -> Conversation:
        # What the model would decline it should rather search for, so those kinds stay out.
        asked = [self._asked(self._rng.choice(_NOT_SEARCHED)) for _ in range(2)]
        return [system(make.SEARCH_SYSTEM), *asked[0], *asked[1]]


def text_of(conversation: Conversation) -> str:
    """The conversation as plain text, for looking at it and for training the tokenizer."""
    return "".join(piece.text for piece in pieces(conversation))
