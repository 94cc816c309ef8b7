"""Ten conversations, held with the model and shown as they are."""

from __future__ import annotations

from training.corpus.chat import Conversation, assistant, user
from training.evaluation.answers import Answer

# What the user says; the model's own answers stay in the conversation.
TALKS = (
    ("Hello!", "Who are you?", "What can you do?"),
    ("What is the capital of France?", "And Japan?", "What is the currency of Japan?"),
    ("How do I start Sterna?", "Which port does it use?", "How do I use the OpenAI client?"),
    ("What is a ternary model?", "What is BitNet?", "Do I need a GPU?"),
    ("My name is Walter.", "What is the opposite of cold?", "What is my name?"),
    ("What is 7 + 8?", "What is 6 * 7?", "What is 345 * 27?"),
    ("What is a whale?", "What is a volcano?", "What is a gyroscope?"),
    (
        "Who was the drummer of Pink Floyd?",
        "Write a Python function.",
        "What is the weather today?",
    ),
    (
        "Which city is the capital of Kenya?",
        "What is the symbol of gold?",
        "How many legs does a spider have?",
    ),
    ("Tell me a joke.", "Tell me a short story about a dog."),
)


def talks(answer: Answer) -> str:
    """The conversations as Markdown, greedy and unedited."""
    conversations: list[Conversation] = [[] for _ in TALKS]
    for turn in range(max(map(len, TALKS))):
        asked = [i for i, said in enumerate(TALKS) if turn < len(said)]
        for i in asked:
            conversations[i].append(user(TALKS[i][turn]))
        for i, text in zip(asked, answer([conversations[i] for i in asked]), strict=True):
            conversations[i].append(assistant(text.strip()))
    lines = []
    for number, conversation in enumerate(conversations, 1):
        lines.append(f"{number}.")
        for message in conversation:
            if message.role == "User":
                lines.append(f"   - {message.text}")
            else:
                lines += [f"     > {line}" for line in message.text.splitlines() or [""]]
        lines.append("")
    return "\n".join(lines)
