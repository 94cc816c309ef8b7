#!/usr/bin/env python3
"""What the server costs beside the bare engine: tokens per second, first token, processor time.

    .venv/bin/python benchmarks/facade.py                 # 2B-4T shape with random weights
    .venv/bin/python benchmarks/facade.py --embedded      # so fast that the server is what counts

Sends the same greedy requests over four ways: to the engine directly, to the gRPC port of
`sterna serve`, to its REST port, and to a `sterna rest` apart that calls the same gRPC port. Each
round takes the ways one after the other, every second round backwards, and a ratio compares two
ways of one round: what drifts from round to round falls out. `--streams` at once give the rate
(tokens over the time from the first request to the end of the last), and single prompts of one
token the time to the first token, alone and after `--prefix` tokens that are cached.

The client runs in this process, on the same cores as everything else, so its processor time is
listed, too: per token, beside that of the server's event loop, of its other threads (the engine's),
and of the façade apart.
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
from dataclasses import dataclass, field
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
WAYS = ("engine", "gRPC", "REST", "REST apart")

Send = Callable[[list[list[int]], int], Awaitable[Outcome]]


@dataclass(frozen=True)
class Clocks:
    """Processor seconds so far, of each part."""

    loop: float
    others: float
    facade: float
    client: float

    def per_token(self, before: Clocks, tokens: int) -> list[float]:
        """Microseconds of each part, for every token."""
        pairs = zip(vars(before).values(), vars(self).values(), strict=True)
        return [1e6 * (now - then) / tokens for then, now in pairs]


@dataclass
class Way:
    """What was measured of one way. Times are milliseconds."""

    rates: list[float] = field(default_factory=list)
    clocks: list[list[float]] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    cached: list[float] = field(default_factory=list)


class Stand:
    """The processes, and the ways to them."""

    def __init__(self, server: ServerProcess, facade: ServerProcess, trial: Trial) -> None:
        self.server = server
        self.facade = facade
        self._trial = trial

    def ways(self, channel: grpc.aio.Channel) -> dict[str, Send]:
        async def direct(prompts: list[list[int]], tokens: int) -> Outcome:
            arrivals = await asyncio.to_thread(self._trial.run, prompts, tokens)
            return Outcome(arrivals.first_token, max(times[-1] for times in arrivals.streams))

        return {
            "engine": direct,
            "gRPC": lambda prompts, tokens: over_grpc(channel, prompts, tokens),
            "REST": lambda prompts, tokens: over_rest(self.server.rest_url, prompts, tokens),
            "REST apart": lambda prompts, tokens: over_rest(self.facade.rest_url, prompts, tokens),
        }

    def prompt(self, number: int, length: int) -> list[int]:
        return make_prompt(self._trial, number, length)

    def clocks(self) -> Clocks:
        server = thread_seconds(self.server.process.pid)
        loop = server.pop(self.server.process.pid)
        facade = thread_seconds(self.facade.process.pid)
        return Clocks(loop, sum(server.values()), sum(facade.values()), time.process_time())


async def measure(stand: Stand, options: argparse.Namespace) -> dict[str, Way]:
    found = {way: Way() for way in WAYS}
    # Found in the prefix cache from the second round on; the first is not counted.
    prompts = [stand.prompt(stream, options.prompt) for stream in range(options.streams)]
    prefix = stand.prompt(0, options.prefix)
    async with grpc.aio.insecure_channel(stand.server.grpc_address) as channel:
        ways = stand.ways(channel)
        for number in range(options.rounds + 1):
            for way in WAYS if number % 2 else WAYS[::-1]:
                before = stand.clocks()
                outcome = await ways[way](prompts, options.generate)
                tokens = options.streams * options.generate
                if number:
                    found[way].rates.append(tokens / outcome.end)
                    found[way].clocks.append(stand.clocks().per_token(before, tokens))
        for number in range(options.singles + 1):
            for way in WAYS if number % 2 else WAYS[::-1]:
                for lead, results in (([], found[way].first), (prefix, found[way].cached)):
                    prompt = lead + stand.prompt(1000 + number, 1)
                    outcome = await ways[way]([prompt], 2)
                    if number:
                        results.append(1e3 * outcome.first_token)
    return found


def spread(values: list[float], digits: int) -> str:
    """The median, and between which values half of all lie."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} .. {high:.{digits}f})"


def report(found: dict[str, Way], options: argparse.Namespace) -> None:
    """Prints the tables."""
    rows = [["", f"tokens/s x {options.streams}", "% of engine", "% of gRPC"]]
    for way, seen in found.items():
        row = [way, spread(seen.rates, 1)]
        for base in ("engine", "gRPC"):
            pairs = zip(seen.rates, found[base].rates, strict=True)
            row.append(spread([100 * a / b for a, b in pairs], 1) if way != base else "")
        rows.append(row)
    print("\n".join(align(rows)))

    rows = [["\nprocessor us per token", "event loop", "other threads", "facade apart", "client"]]
    for way, seen in found.items():
        parts = zip(*seen.clocks, strict=True)
        rows.append([way, *(f"{statistics.median(part):.0f}" for part in parts)])
    print("\n".join(align(rows)))

    titles = {"first": "alone", "cached": f"after {options.prefix} cached tokens"}
    for name, title in titles.items():
        times: dict[str, list[float]] = {way: getattr(seen, name) for way, seen in found.items()}
        rows = [[f"\nfirst token, {title}", "ms", "more than engine", "more than gRPC"]]
        for way, values in times.items():
            row = [way, spread(values, 2)]
            for base in ("engine", "gRPC"):
                pairs = zip(values, times[base], strict=True)
                row.append(spread([a - b for a, b in pairs], 2) if way != base else "")
            rows.append(row)
        print("\n".join(align(rows)))


async def measure_idle(server: ServerProcess, count: int, seconds: float) -> None:
    """Processor time of the server while nobody says anything on many connections."""

    async def busy() -> float:
        await asyncio.sleep(1.0)
        path = Path(f"/proc/{server.process.pid}/stat")
        begin = processor_seconds(path)
        await asyncio.sleep(seconds)
        return (processor_seconds(path) - begin) / seconds

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


def thread_seconds(process: int) -> dict[int, float]:
    """Processor time of each thread, to the nanosecond: Linux's `schedstat`."""
    return {
        int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{process}/task").iterdir()
    }


def processor_seconds(stat: Path) -> float:
    """Of a process, in user and system mode, in steps of a clock tick."""
    fields = stat.read_text().rpartition(")")[2].split()
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
    parser.add_argument("--prefix", type=int, help="cached tokens (2000, embedded model 900)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of all streams (6)")
    parser.add_argument("--singles", type=int, default=24, help="rounds of single prompts (24)")
    parser.add_argument("--idle", type=int, default=200, help="idle streams; 0: none (200)")
    parser.add_argument("--idle-seconds", type=float, default=5.0)
    options = parser.parse_args()
    if options.prefix is None:
        options.prefix = 900 if options.embedded else 2000
    return options


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
    with ServerProcess(arguments, home=HOME) as server:
        apart = ["rest", "--port", "0", "--core", server.grpc_address, "--log-level", "warning"]
        with (
            ServerProcess(apart, home=HOME) as facade,
            open_trial(subject.bundle, options.threads, DEFAULTS, options.streams, room) as trial,
        ):
            begin = time.perf_counter()
            found = asyncio.run(measure(Stand(server, facade, trial), options))
            report(found, options)
            print(f"\nin {time.perf_counter() - begin:.0f} s")
            if options.idle:
                asyncio.run(measure_idle(server, options.idle, options.idle_seconds))


if __name__ == "__main__":
    try:
        main()
    except LoadError as error:
        raise SystemExit(f"error: {error}") from None
