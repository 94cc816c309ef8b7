"""The corpus: hand-written content, generated facts, conversations and their mixture.

Pure Python, deterministic for a seed, and needs neither torch nor a tokenizer.
"""
