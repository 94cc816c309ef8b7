"""Conversations made from items, invented facts, trivia and stories."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from training.corpus.chat import COPIED, STORY, Conversation, assistant, system, user
from training.corpus.content import Item
from training.corpus.facts import DO_NOT_KNOW, article
from training.corpus.frames import framed, noisy
from training.corpus.invented import Fact, Inventor

# The system prompt under which a search harness lets the model search.
SEARCH_SYSTEM = (
    "You have access to a search tool. To search the web, write <search>your query</search> and "
    "you will receive results. Use search for questions about current events, specific people, "
    "places, or facts you are unsure about. Answer directly for math, reasoning, coding, or "
    "general knowledge you are confident about."
)
TOO_BIG = "I only know small sums, so I cannot work that out."
_EXERCISES = (
    "What is {}?",
    "{}",
    "{} = ?",
    "How much is {}?",
    "What's {}?",
    "Calculate {}.",
    "Work out {}.",
)
NO_NAME = "You have not told me your name."

_FIRST_ASKED = 0.25

FOLLOW_UPS = ("And {}?", "What about {}?", "How about {}?", "and {}", "And of {}?")
HELD_OUT_FOLLOW_UPS = ("The same for {}?", "Now {}?")

_TOPICS = frozenset(
    "dog cat bird fish bear fox rabbit bunny lion tiger frog duck mouse elephant monkey horse cow "
    "pig sheep bee butterfly owl dragon princess king queen prince pirate robot car truck train "
    "boat plane ball doll toy kite tree flower garden forest park beach sea lake river mountain "
    "house castle cake cookie apple box book hat shoe star moon sun rain snow storm boy girl "
    "teacher doctor farmer wizard ghost monster fairy".split()
)
_TOPIC_PATTERN = re.compile(r"\b(?:a|an|the) (?:\w+ )?([a-z]{3,})\b")

_STORY_REQUESTS = (
    "Tell me a story.",
    "Tell me a short story.",
    "Can you tell me a story?",
    "Write a story.",
    "story please",
)
_TOPIC_REQUESTS = (
    "Tell me a story about {}.",
    "Write a short story about {}.",
    "Can you tell me a story about {}?",
    "I want a story about {}.",
)
_INTRODUCTIONS = (
    "My name is {}.",
    "I am {}.",
    "Hi, I am {}.",
    "Hello, my name is {}.",
    "I'm {}.",
    "Call me {}.",
    "Hello! I am {}.",
    "Hi! My name is {}.",
    "You can call me {}.",
    "Please call me {}.",
    "Hey, I'm {}.",
    "The name is {}.",
    "I am called {}.",
    "Hi there, I'm {}.",
    "Good morning, my name is {}.",
)
_NAME_QUESTIONS = (
    "What is my name?",
    "What's my name?",
    "Do you know my name?",
    "Who am I?",
    "Do you remember my name?",
    "Tell me my name.",
    "Can you say my name?",
    "Which name did I tell you?",
    "What did I say my name was?",
    "My name?",
)
_SAY_REQUESTS = ("Say {}.", "Repeat {}.", 'Please say "{}".', 'Repeat the word "{}".', "Say: {}")
# For whole sentences, which would run into the request without a sign between.
_REPEAT_REQUESTS = (
    "Say: {}",
    "Repeat: {}",
    "Repeat after me: {}",
    "Please repeat: {}",
    "Repeat this: {}",
    "Copy this: {}",
    'Say "{}"',
    'Write "{}"',
)


def ask(item: Item, rng: random.Random) -> Conversation:
    """One trained question and its answer."""
    # What comes first in the content is what people ask most.
    first = rng.random() < _FIRST_ASKED
    asked = rng.choice(item.questions[:4] if first else item.questions)
    return [user(noisy(framed(asked, rng), rng)), assistant(item.answer)]


def follow_up(items: Sequence[Item], rng: random.Random) -> Conversation:
    """A question and one to three short follow-ups of the same kind ("And Spain?")."""
    first, *rest = rng.sample(items, rng.randint(2, 4))
    conversation = ask(first, rng)
    for item in rest:
        asked = rng.choice(FOLLOW_UPS).format(item.slot)
        conversation += [user(noisy(asked, rng)), assistant(item.answer)]
    return conversation


def introduce(name: str, rng: random.Random) -> Conversation:
    """The user gives a name."""
    return [user(rng.choice(_INTRODUCTIONS).format(name)), assistant(f"Nice to meet you, {name}!")]


def recall(name: str | None, between: Conversation, rng: random.Random) -> Conversation:
    """The user asks for the name given earlier, or never given."""
    told = introduce(name, rng) if name else []
    answer = f"Your name is {name}." if name else NO_NAME
    return [*told, *between, user(noisy(rng.choice(_NAME_QUESTIONS), rng)), assistant(answer)]


def say(text: str, rng: random.Random) -> Conversation:
    """The user asks to repeat something."""
    return [user(rng.choice(_SAY_REQUESTS).format(text)), assistant(text, COPIED)]


def repeat(sentence: str, rng: random.Random) -> Conversation:
    """The user asks to repeat a whole sentence, its last sign included."""
    return [
        user(rng.choice(_REPEAT_REQUESTS).format(sentence)),
        assistant(sentence, COPIED),
    ]


def decline(question: str, rng: random.Random) -> Conversation:
    """A question beyond the domain."""
    return [user(noisy(framed(question, rng), rng)), assistant(DO_NOT_KNOW)]


def big_sum(rng: random.Random) -> Conversation:
    """An exercise beyond the small sums that the model knows."""
    sign = rng.choice("+-*/")
    left, right = (rng.randint(21, 10 ** rng.randint(2, 4)) for _ in range(2))
    asked = rng.choice(_EXERCISES).format(f"{max(left, right)} {sign} {min(left, right)}")
    return [user(noisy(framed(asked, rng), rng)), assistant(TOO_BIG)]


def query(question: str) -> str:
    """What the model searches for: the question without its last sign."""
    return question.rstrip("?.!")


def search_call(question: str) -> Conversation:
    """Under the search prompt, what it cannot know becomes a search."""
    return [system(SEARCH_SYSTEM), *_call(question)]


def search_calls(questions: Sequence[str], before: Conversation) -> Conversation:
    """Several searches in one conversation, after some other turns."""
    calls = [message for question in questions for message in _call(question)]
    return [system(SEARCH_SYSTEM), *before, *calls]


def _call(question: str) -> Conversation:
    call = f"<search>{query(question)}</search>"
    return [user(question), assistant(call, COPIED)]


def facts_and_question(
    inventor: Inventor, rng: random.Random, most: int = 5
) -> tuple[list[Fact], str, Fact]:
    """Some facts in random order, a question, and the fact that answers it."""
    facts = inventor.facts(rng.randint(1, most))
    wanted = rng.choice(facts)
    return facts, rng.choice(wanted.questions), wanted


def search_and_answer(
    inventor: Inventor, rng: random.Random, before: Conversation | None = None, most: int = 5
) -> Conversation:
    """A search after some other turns, its results, and the answer from them."""
    return [system(SEARCH_SYSTEM), *(before or []), *search_round(inventor, rng, most)]


def search_round(inventor: Inventor, rng: random.Random, most: int = 5) -> Conversation:
    """One question, the search for it, its results, and the answer from them."""
    facts, question, wanted = facts_and_question(inventor, rng, most)
    return [
        *_call(question),
        system(f"Search results: {results(facts)}"),
        assistant(wanted.answer, COPIED),
    ]


def results(facts: Sequence[Fact]) -> str:
    """The facts as a search returns them: numbered, side by side."""
    return " ".join(f"[{i}] {fact.sentence}" for i, fact in enumerate(facts, 1))


def reading(inventor: Inventor, rng: random.Random) -> Conversation:
    """Facts in the question itself."""
    facts, question, wanted = facts_and_question(inventor, rng, most=4)
    text = " ".join(fact.sentence for fact in facts)
    return [
        user(text + rng.choice((" ", "\n")) + question),
        assistant(wanted.answer, COPIED),
    ]


def story(text: str, rng: random.Random) -> Conversation:
    """A story after a request, which names a thing of the story if there is one."""
    found = [w for w in _TOPIC_PATTERN.findall(text[:400]) if w in _TOPICS]
    if found and rng.random() < 0.6:
        request = rng.choice(_TOPIC_REQUESTS).format(article(rng.choice(found)))
    else:
        request = rng.choice(_STORY_REQUESTS)
    return [user(noisy(request, rng)), assistant(text, STORY)]
