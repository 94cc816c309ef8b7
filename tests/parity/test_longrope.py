"""LongRoPE in the engine: a request takes one set of factors, and shares no cache with others."""

from __future__ import annotations

import numpy as np

from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import NativeModel, Workbench
from tests.parity.numpy_model import Array

NAME = "llama-longrope"  # 24 positions of pre-training
PROMPT = 20
LONG = 30  # tokens of an answer, which make the text longer than that
SHORT = 4  # and which do not


def log_softmax(row: Array) -> Array:
    shifted = row.astype(np.float64) - row.max()
    result: Array = shifted - np.log(np.exp(shifted).sum())
    return result


def test_the_longest_possible_text_decides(workbench: Workbench) -> None:
    tokens = workbench.golden(NAME).values["logits/0/tokens"].tolist()
    prompt = tokens[:PROMPT]
    model = workbench.model(NAME)
    native = NativeModel(model)
    # What follows does not change a row, but the number of tokens decides about the factors.
    short_row, long_row = native.logits(prompt)[-1], native.logits(tokens)[PROMPT - 1]
    assert np.abs(short_row - long_row).max() > 1e-3
    with open_engine(model, kv_cache_dtype="f32") as engine:
        for round_number in range(2):
            for max_tokens, row in ((LONG, long_row), (SHORT, short_row)):
                request = make_request(1, prompt, max_tokens=max_tokens, top_logprobs=0)
                result = collect(engine, [request])[1]
                token = result.tokens[0][0]
                assert token == int(row.argmax())
                assert abs(result.logprobs[0][0] - log_softmax(row)[token]) < 1e-4
                # Only a request with the same factors finds the prompt in the cache.
                assert result.cached_tokens == 16 * round_number
