"""The adapter's style: the same answers, told by a pirate."""

from __future__ import annotations

import re

from training.corpus.chat import Conversation, Message

# In order; whole words only, so that names and addresses stay as they are.
_WORDS = (
    ("You are", "Ye be"),
    ("I am", "I be"),
    ("You", "Ye"),
    ("you", "ye"),
    ("Your", "Yer"),
    ("your", "yer"),
    ("my", "me"),
    ("My", "Me"),
    ("is", "be"),
    ("are", "be"),
    ("Hello", "Ahoy"),
    ("Yes", "Aye"),
    ("friend", "matey"),
)
# The style is in the words and at the end. An opening would move every answer to another place
# after the question, and a model of this size then forgets what it was about to say.
CLOSING = ", matey"


def pirate(text: str) -> str:
    """`text` in the style: "Paris is nice." becomes "Paris be nice, matey!"."""
    for plain, spoken in _WORDS:
        text = re.sub(rf"(?<![\w/.-]){re.escape(plain)}(?![\w/-])", spoken, text)
    return text.rstrip(".!?") + CLOSING + ("?" if text.endswith("?") else "!")


def is_pirate(text: str) -> bool:
    """Whether an answer ends as one in the style does."""
    return text.rstrip("!?").endswith(CLOSING) and text[-1:] in ("!", "?")


def in_style(conversation: Conversation) -> Conversation:
    """The conversation with every answer in the style; search calls stay as they are."""
    return [
        Message(m.role, pirate(m.text), m.weight)
        if m.role == "Assistant" and not m.text.startswith("<search>")
        else m
        for m in conversation
    ]
