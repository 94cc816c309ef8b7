"""Prints hashes of the logits of every tiny model, as JSON, with the kernels of STERNA_KERNELS.

Run as a process of its own, because the kernels are chosen once: python -m tests.parity.fingerprint
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import ALL_NAMES, EMBEDDED_NAME, KV_CACHE_DTYPES, NativeModel, Workbench


def fingerprints(workbench: Workbench) -> dict[str, str]:
    result = {}
    for name in ALL_NAMES:
        golden = workbench.golden(name)
        tokens = golden.values["logits/0/tokens"].tolist()
        for dtype in KV_CACHE_DTYPES:
            logits = NativeModel(workbench.model(name), dtype).logits(tokens)
            result[f"{name} {dtype}"] = hashlib.sha256(logits.tobytes()).hexdigest()
    prompt = workbench.golden(EMBEDDED_NAME).values["greedy/2/prompt"].tolist()
    with open_engine(workbench.model(EMBEDDED_NAME)) as engine:
        request = make_request(1, prompt, temperature=0.8, seed=3, max_tokens=32, top_logprobs=0)
        answer = collect(engine, [request])[1].answer
        result["sampled"] = hashlib.sha256(repr(answer).encode()).hexdigest()
        result["kernels"] = engine.stats().kernels
    return result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(fingerprints(Workbench(Path(temporary)))))
