"""Runs llama.cpp for peers.py: reads one task a line, answers each with tokens per second.

    llama_worker.py MODEL THREADS STREAMS

    decode 128            one stream decodes 128 tokens
    prefill 512           a prompt of 512 tokens
    batched 16 128 64     16 streams decode 64 tokens each, after 128 that are computed beforehand

Only the arithmetic of llama.cpp is timed: tokens are made up and not sampled. Runs where
`llama_cpp` is installed; imports nothing else of this repository. Any program that answers the same
lines in the same way can take its place.
"""

from __future__ import annotations

import ctypes
import sys
import time

import llama_cpp

UBATCH = 512


class Engine:
    """One context with room for `streams` sequences of `length` tokens."""

    def __init__(self, path: str, threads: int, streams: int, length: int) -> None:
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        if not model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = -(-streams * length // 256) * 256
        params.n_batch = params.n_ubatch = UBATCH
        params.n_seq_max = streams
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise SystemExit("llama.cpp cannot make a context")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(UBATCH, 0, 1)

    def feed(self, rows: list[tuple[int, int]], *, last_only: bool) -> None:
        """Decodes one token for each (sequence, position); logits of all, or of the last alone."""
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (sequence, position) in enumerate(rows):
            batch.token[i] = (31 * position + 7919 * sequence + 1) % self._vocab_size
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = not last_only or i == len(rows) - 1
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self._context)

    def forget(self) -> None:
        llama_cpp.llama_memory_clear(self._memory, False)

    def prompt(self, sequence: int, tokens: int) -> None:
        for begin in range(0, tokens, UBATCH):
            end = min(tokens, begin + UBATCH)
            self.feed([(sequence, position) for position in range(begin, end)], last_only=True)

    def decode(self, streams: int, begin: int, tokens: int) -> float:
        """Tokens per second of all streams, each of which holds `begin` tokens."""
        start = time.perf_counter()
        for position in range(begin, begin + tokens):
            self.feed([(sequence, position) for sequence in range(streams)], last_only=False)
        seconds = time.perf_counter() - start
        for sequence in range(streams):
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, begin, -1)
        return streams * tokens / seconds


def main() -> None:
    path, threads, streams = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    engine = Engine(path, threads, streams, length=1024 if streams == 1 else 256)
    prepared = (0, 0)
    print("ready", flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        sizes = [int(number) for number in numbers]
        wanted = (sizes[0], sizes[1]) if what == "batched" else (0, 0)
        if wanted != prepared or what != "batched":
            engine.forget()
            for sequence in range(wanted[0]):
                engine.prompt(sequence, wanted[1])
            prepared = wanted
        if what == "decode":
            rate = engine.decode(1, 0, sizes[0])
        elif what == "prefill":
            begin = time.perf_counter()
            engine.prompt(0, sizes[0])
            rate = sizes[0] / (time.perf_counter() - begin)
        else:
            rate = engine.decode(*sizes)
        print(rate, flush=True)


if __name__ == "__main__":
    main()
