"""A small byte-level BPE tokenizer in the tokenizer.json format, built without a trainer."""

from __future__ import annotations

from typing import Any

SPECIAL_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|pad|>")

# Every prefix of these words becomes a token, so that common words are one token long.
WORDS = (" the", " and", " of", " to", " in", " is", " that", " it", " was", " what", "ing", "tion")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)

# Words with their leading space, single digits, runs of punctuation and of white space.
SPLIT_PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"


def byte_symbols() -> list[str]:
    """The printable character that byte-level BPE writes for each byte value."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = {value: chr(value) for value in printable}
    for value in range(256):
        if value not in symbols:
            symbols[value] = chr(256 + len(symbols) - len(printable))
    return [symbols[value] for value in range(256)]


def tokenizer_files(vocab_size: int, context_length: int) -> dict[str, dict[str, Any]]:
    """tokenizer.json and tokenizer_config.json for exactly `vocab_size` tokens (at least 260)."""
    symbols = byte_symbols()
    tokens = [*SPECIAL_TOKENS, *symbols]
    if vocab_size < len(tokens):
        raise ValueError(f"vocab_size is {vocab_size}; at least {len(tokens)} tokens are needed")
    known = set(tokens)
    merges: list[list[str]] = []
    for word in WORDS:
        pieces = [symbols[value] for value in word.encode()]
        prefix = pieces[0]
        for piece in pieces[1:]:
            merged = prefix + piece
            if merged not in known:
                if len(tokens) == vocab_size:
                    break
                known.add(merged)
                tokens.append(merged)
                merges.append([prefix, piece])
            prefix = merged
    tokens += [f"<unused_{index}>" for index in range(vocab_size - len(tokens))]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, token in enumerate(SPECIAL_TOKENS)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": SPLIT_PATTERN},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }
    config = {
        "bos_token": SPECIAL_TOKENS[0],
        "eos_token": SPECIAL_TOKENS[2],
        "pad_token": SPECIAL_TOKENS[3],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "chat_template": CHAT_TEMPLATE,
    }
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": config}
