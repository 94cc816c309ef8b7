#!/usr/bin/env python3
"""What the server costs beside the bare engine: tokens per second, first token, idle streams.

    .venv/bin/python benchmarks/facade.py                 # 2B-4T shape with random weights
    .venv/bin/python benchmarks/facade.py --embedded      # so fast that the server is what counts

Starts `sterna serve` on free ports and sends it the same greedy requests that the engine gets
directly, in turns: `--streams` at once for the rate (tokens over the time from the first request
to the end of the last), and single prompts of one token for the time to the first token, alone and
after `--prefix` tokens that are cached. The clients run in this process, on the same cores as the
server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from websockets.asyncio.client import connect

# Run as a file, only benchmarks/ is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.server_load import LoadError, Outcome, over_grpc, over_rest
from sterna.v1 import model_admin_pb2, model_admin_pb2_grpc
from sterna_server.bench.measure import make_prompt, open_trial
from sterna_server.bench.plan import DEFAULTS
from sterna_server.bench.result import align
from sterna_server.bench.run import describe_machine
from sterna_server.bench.subject import find_subject
from sterna_service.engine.host import inspect_host
from sterna_service.engine.trial import Trial
from sterna_service.models.synthetic.shapes import match_shape
from tests.support.server_process import ServerProcess

HOME = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
SHAPE = "bitnet-b1.58-2B-4T"
WAYS = ("engine", "gRPC", "REST")

Send = Callable[[list[list[int]], int], Awaitable[Outcome]]


async def measure(trial: Trial, server: ServerProcess, options: argparse.Namespace) -> None:
    def make(number: int, length: int) -> list[int]:
        return make_prompt(trial, number, length)

    async def direct(prompts: list[list[int]], tokens: int) -> Outcome:
        arrivals = await asyncio.to_thread(trial.run, prompts, tokens)
        return Outcome(arrivals.first_token, max(times[-1] for times in arrivals.streams))

    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        ways: dict[str, Send] = {
            "engine": direct,
            "gRPC": lambda prompts, tokens: over_grpc(channel, prompts, tokens),
            "REST": lambda prompts, tokens: over_rest(server.rest_url, prompts, tokens),
        }
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(options.rounds + 1):
            for way, send in ways.items():
                # Found in the prefix cache from the second round on.
                prompts = [make(stream, options.prompt) for stream in range(options.streams)]
                outcome = await send(prompts, options.generate)
                if number:
                    rates[way].append(options.streams * options.generate / outcome.end)
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        cached: dict[str, list[float]] = {way: [] for way in WAYS}
        prefix = make(0, options.prefix)
        for number in range(4 * options.rounds + 1):
            for way, send in ways.items():
                for lead, results in (([], times), (prefix, cached)):
                    outcome = await send([lead + make(1000 + number, 1)], 2)
                    if number:
                        results[way].append(1e3 * outcome.first_token)
    rows = [["", f"tokens/s x {options.streams}", "low .. high", "of engine", "first token ms"]]
    rows[0] += ["low .. high", "more than engine", f"after {options.prefix} cached", "low .. high"]
    for way in WAYS:
        rate, first = statistics.median(rates[way]), statistics.median(times[way])
        row = [way, f"{rate:.1f}", f"{min(rates[way]):.1f} .. {max(rates[way]):.1f}"]
        row += [f"{rate / statistics.median(rates['engine']):.1%}", f"{first:.2f}"]
        row += [f"{min(times[way]):.2f} .. {max(times[way]):.2f}"]
        row += [f"{first - statistics.median(times['engine']):.2f}"]
        row += [f"{statistics.median(cached[way]):.2f}"]
        rows.append([*row, f"{min(cached[way]):.2f} .. {max(cached[way]):.2f}"])
    print("\n".join(align(rows)))


async def measure_idle(server: ServerProcess, count: int, seconds: float) -> None:
    """Processor time of the server while nobody says anything on many connections."""

    async def busy() -> float:
        await asyncio.sleep(1.0)
        begin = processor_seconds(server.process.pid)
        await asyncio.sleep(seconds)
        return (processor_seconds(server.process.pid) - begin) / seconds

    print(f"\nidle, processor time of the server: {await busy():.2%} of a core without streams")
    async with AsyncExitStack() as stack:
        socket_url = server.rest_url.replace("http://", "ws://") + "/v1/ws"
        for _ in range(count):
            await stack.enter_async_context(connect(socket_url))
        print(f"{await busy():.2%} with {count} WebSockets")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.grpc_address))
        stub = model_admin_pb2_grpc.ModelAdminServiceStub(channel)
        calls = [stub.WatchEvents(model_admin_pb2.WatchEventsRequest()) for _ in range(count)]
        await asyncio.gather(*(call.initial_metadata() for call in calls))
        print(f"{await busy():.2%} with {count} gRPC streams, too")
        for call in calls:
            call.cancel()


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", action="store_true", help="measure the embedded model")
    parser.add_argument("--threads", type=int, default=inspect_host().threads)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=32, help="tokens of each prompt (32)")
    parser.add_argument("--generate", type=int, default=64, help="tokens of each answer (64)")
    parser.add_argument("--prefix", type=int, default=2000, help="cached tokens (2000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=200, help="idle streams; 0: none (200)")
    parser.add_argument("--idle-seconds", type=float, default=5.0)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    name = "" if options.embedded else match_shape(SHAPE) or ""
    subject = find_subject("", name, HOME, lambda text: print(text, file=sys.stderr))
    arguments = ["serve", "--port", "0", "--grpc-port", "0", "--threads", str(options.threads)]
    arguments += ["--max-batch", str(options.streams), "--log-level", "warning"]
    if not options.embedded:
        arguments.insert(1, str(HOME / "random" / name))
    print(f"{describe_machine()}; {subject.name}, {options.threads} threads")
    room = options.prompt + options.generate
    with (
        ServerProcess(arguments, home=HOME) as server,
        open_trial(subject.bundle, options.threads, DEFAULTS, options.streams, room) as trial,
    ):
        begin = time.perf_counter()
        asyncio.run(measure(trial, server, options))
        print(f"in {time.perf_counter() - begin:.0f} s")
        if options.idle:
            asyncio.run(measure_idle(server, options.idle, options.idle_seconds))


if __name__ == "__main__":
    try:
        main()
    except LoadError as error:
        raise SystemExit(f"error: {error}") from None
