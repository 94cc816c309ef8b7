"""Messages, and the text that the chat template makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["System", "User", "Assistant"]

BOS, EOS, END_OF_TURN, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, EOS, END_OF_TURN, PAD)  # ids 0, 1, 2, 3

# The same text as a Jinja template, for tokenizer_config.json.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{{ message['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)

# Weights of the loss, in tenths. Stories are long and count less than answers; what is copied from
# the context (a search, a name, a fact read) is the hardest to learn and counts more.
COPIED, FULL, STORY, NOTHING = 18, 10, 4, 0


@dataclass(frozen=True)
class Message:
    """One turn. `weight` is that of its text in the loss, in tenths."""

    role: Role
    text: str
    weight: int = NOTHING


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is trained with one weight (in tenths)."""

    text: str
    weight: int


Conversation = list[Message]


def system(text: str) -> Message:
    return Message("System", text)


def user(text: str) -> Message:
    return Message("User", text)


def assistant(text: str, weight: int = FULL) -> Message:
    return Message("Assistant", text, weight)


def pieces(conversation: Conversation) -> list[Piece]:
    """What is trained: the template's text, answers and their end marked with their weight."""
    result = [Piece(BOS, NOTHING)]
    for message in conversation:
        result.append(Piece(f"{message.role}: ", NOTHING))
        result.append(Piece(message.text + END_OF_TURN, message.weight))
    return result


def prompt(conversation: Conversation) -> str:
    """The text after which the model answers."""
    turns = "".join(f"{m.role}: {m.text}{END_OF_TURN}" for m in conversation)
    return f"{BOS}{turns}Assistant: "
