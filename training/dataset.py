"""From conversations to files of training windows."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from training.corpus.chat import STORY, Conversation, assistant
from training.corpus.mixture import Corpus, text_of
from training.corpus.sources import Sources, load_sources
from training.tokenizer import load_tokenizer, train_tokenizer
from training.windows import Document, Encode, Windows, documents, pack, raw_text, write_manifest

SHORT, LONG = 256, 512
# How many of twelve tokens come in long windows; the trainer draws them in the same measure.
LONG_SHARE = 1 / 12
# Of the documents, those that are stories outside any conversation.
_RAW_STORIES = 0.01
# Conversations from which the tokenizer is made: fewer for a small corpus.
_TOKENIZER_SAMPLE = 40_000
_TOKENS_PER_SAMPLE = 50
_VALIDATION_ROWS = 96


def build(texts: Path, directory: Path, tokens: int, seed: int) -> None:
    """Write the tokenizer and windows of about `tokens` tokens into `directory`."""
    began = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    sources = load_sources(texts)
    tokenizer_path = directory / "tokenizer.json"
    if not tokenizer_path.exists():
        count = min(_TOKENIZER_SAMPLE, max(1000, tokens // _TOKENS_PER_SAMPLE))
        sample = itertools.islice(Corpus(sources, seed + 1000), count)
        special = ("<|begin_of_text|>", "<|eot_id|>")
        plain = (text_of(c).replace(special[0], "").replace(special[1], "\n") for c in sample)
        train_tokenizer(itertools.chain(plain, sources.stories)).save(str(tokenizer_path))
    encode = encoder(load_tokenizer(tokenizer_path))
    corpus = Corpus(sources, seed)
    stream = _with_raw_stories(documents(iter(corpus), encode), sources, encode, seed)
    rows = max(1, int(tokens * (1 - LONG_SHARE)) // SHORT)
    pack(stream, SHORT, rows).save(directory / "short")
    long_rows = max(1, int(tokens * LONG_SHARE) // LONG)
    pack(documents(_long(corpus, seed), encode), LONG, long_rows).save(directory / "long")
    validation = _validation(sources, encode, seed)
    validation.save(directory / "validation")
    write_manifest(
        directory / "manifest.json",
        {
            "seed": seed,
            "tokens": rows * SHORT + long_rows * LONG,
            "shares": {k: round(v, 4) for k, v in corpus.shares().items()},
            "stories": len(sources.stories),
            "trivia": len(sources.trivia),
            "seconds": round(time.monotonic() - began, 1),
        },
    )


def encoder(tokenizer: Tokenizer) -> Encode:
    def encode(texts: list[str]) -> list[list[int]]:
        found = tokenizer.encode_batch(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    return encode


def load_data(directory: Path) -> dict[str, Windows]:
    return {name: Windows.load(directory / name) for name in ("short", "long", "validation")}


def _with_raw_stories(
    stream: Iterator[Document], sources: Sources, encode: Encode, seed: int
) -> Iterator[Document]:
    rng = random.Random(seed + 1)
    for document in stream:
        yield document
        if rng.random() < _RAW_STORIES:
            yield raw_text(rng.choice(sources.stories), STORY, encode)


def _long(corpus: Corpus, seed: int) -> Iterator[Conversation]:
    """Long conversations, so that late positions are trained, too."""
    rng = random.Random(seed + 2)
    while True:
        yield corpus.exchanges(rng.randint(6, 18))


def _validation(sources: Sources, encode: Encode, seed: int) -> Windows:
    """Held-out stories, and conversations of another seed (whose facts are trained)."""
    corpus = Corpus(sources, seed + 1_000_003)
    chats = itertools.islice(iter(corpus), 1500)
    stories = ([assistant(text, STORY)] for text in sources.heldout_stories[:24])
    return pack(documents(itertools.chain(stories, chats), encode), SHORT, _VALIDATION_ROWS)
