"""Opens a bundle in a fresh process and answers one token; prints the times as JSON.

Run by speed.py: python benchmarks/start.py BUNDLE THREADS
"""

from __future__ import annotations

import json
import resource
import select
import sys
import time

from sterna_service.engine import _native


def main() -> None:
    bundle, threads = sys.argv[1], int(sys.argv[2])
    begin = time.perf_counter()
    model = _native.Model.open(bundle)
    opened = time.perf_counter()
    options = _native.EngineOptions()
    options.threads = threads
    options.max_batch = 1
    engine = _native.Engine(model, options)
    ready = time.perf_counter()
    request = _native.Request()
    request.id = 1
    request.prompt = [1]
    request.max_tokens = 1
    request.temperature = 0.0
    engine.submit(request)
    finished = first_token = 0.0
    while not finished:
        select.select([engine.outbox_fd()], [], [], 60.0)
        for event in engine.drain_outbox():
            if event.kind == _native.EventKind.TOKEN:
                first_token = time.perf_counter()
            elif event.kind == _native.EventKind.FINISHED:
                finished = time.perf_counter()
    engine.close()
    times = {
        "open_seconds": opened - begin,
        "engine_seconds": ready - opened,
        "first_token_seconds": first_token - ready,
        "total_seconds": first_token - begin,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "weights_mb": model.weight_bytes / 1e6,
    }
    print(json.dumps(times))


if __name__ == "__main__":
    main()
