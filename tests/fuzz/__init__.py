"""Fuzzers of the readers that are Python; those that are C++ are in native/fuzz."""

# An input of the tokenizer's fuzzer is these files in a row, with separators between them.
TEXT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "tokenizer.json",
)
TEXT_SEPARATOR = b"\0"
