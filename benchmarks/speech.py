#!/usr/bin/env python3
"""What the server costs beside the speech libraries, and what speech costs the language model.

    build/voice-venv/bin/python benchmarks/speech.py --prepare       # makes the models, once
    build/voice-venv/bin/python benchmarks/speech.py [--only first,transcription,...]

The models have the full size of pocket-tts `english` (110 M parameters) and of Whisper `base`, with
random weights: they cost as much as real ones and say nothing. Each round takes the library (in a
process of its own, with the same options and threads) and then the server over REST, every second
round the other way round; the table has medians.

`first`: milliseconds to the first byte of audio, and processing time per second of audio.
`transcription`: seconds for a recording of 11 s.
`streams`: tokens per second of the language model alone, and while speech is made or recognised.
`cancel`: milliseconds until the worker computes no more, after its client left.
`kill`: what a request is told whose worker is killed, and how long the next one takes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx

# Run as a file, only benchmarks/ is on the path.
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# The environment with the libraries has no `sterna` of its own.
os.environ["STERNA_COMMAND"] = sys.executable

from sterna_service.engine.host import inspect_host  # noqa: E402
from tests.support.server_process import ServerProcess  # noqa: E402

HOME = ROOT / "build" / "benchmarks" / "speech-home"
BUNDLE = HOME / "speech" / "synthesis" / "random-english"
WHISPER = HOME / "speech" / "recognition" / "random-base"
RECORDING = ROOT / "tests" / "data" / "speech" / "jfk.mp3"
TEXT = "Terns fly from one end of the world to the other."
LONG = f"{TEXT} " * 60
# Nearly greedy, and without the further tries that follow a poor result: random ones are all poor.
TEMPERATURE = 1e-6
SECTIONS = ("first", "transcription", "streams", "cancel", "kill")


def prepare() -> None:
    """Makes both models; takes a minute and 600 MB."""
    import pocket_tts
    import torch
    import yaml

    from tests.support.tiny_voice import make
    from training.digits.export import export
    from training.digits.model import Recognizer, Shape
    from training.digits.tokens import build_tokenizer

    if not (BUNDLE / "model.safetensors").is_file():
        source = Path(pocket_tts.__file__).parent / "config" / "english.yaml"
        config = yaml.safe_load(source.read_text())
        for name in ("weights_path", "weights_path_without_voice_cloning"):
            config.pop(name, None)
        make(BUNDLE, config)
    if not (WHISPER / "model.bin").is_file():
        torch.manual_seed(1)
        tokenizer = build_tokenizer()
        shape = Shape(tokenizer.get_vocab_size(), width=512, heads=8, layers=6)
        export(Recognizer(shape, classes=11), tokenizer, WHISPER)


class Library:
    """The process that calls a library directly."""

    def __init__(self, kind: str, path: Path, threads: int) -> None:
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, "-m", "benchmarks.speech_library", kind, str(path), str(threads)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def ask(self, **request: Any) -> dict[str, float]:
        """What one call took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))


def threads_of_recognition() -> int:
    """As many as the server gives to it."""
    return max(1, min(4, inspect_host().threads - 1))


@contextlib.asynccontextmanager
async def speaking(http: httpx.AsyncClient, text: str) -> AsyncIterator[httpx.Response]:
    """The answer to a synthesis, whose body is read as it comes."""
    body = {"input": text, "response_format": "pcm", "voice": "alba"}
    async with http.stream("POST", "/v1/audio/speech", json=body) as response:
        response.raise_for_status()
        yield response


async def speak(http: httpx.AsyncClient, text: str) -> dict[str, float]:
    """One synthesis over REST; as `Library.ask`."""
    begin = time.perf_counter()
    first, size = 0.0, 0
    async with speaking(http, text) as response:
        async for part in response.aiter_raw():
            first = first or time.perf_counter() - begin
            size += len(part)
    return {"first": first, "seconds": time.perf_counter() - begin, "audio": size / 48_000}


async def transcribe(http: httpx.AsyncClient) -> dict[str, float]:
    """One transcription over REST."""
    begin = time.perf_counter()
    response = await http.post(
        "/v1/audio/transcriptions",
        files={"file": (RECORDING.name, RECORDING.read_bytes())},
        data={"language": "en", "temperature": str(TEMPERATURE)},
    )
    response.raise_for_status()
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "audio": response.json()["duration"]}


def alternately(rounds: int) -> Iterator[tuple[str, str]]:
    """The order of the two ways in each round."""
    for number in range(rounds):
        yield ("library", "server") if number % 2 == 0 else ("server", "library")


async def side_by_side(rounds: int, library: Any, server: Any) -> dict[str, list[dict[str, float]]]:
    """Both ways, after one round that counts for nothing."""
    library()
    await server()
    results: dict[str, list[dict[str, float]]] = {"library": [], "server": []}
    for order in alternately(rounds):
        for way in order:
            results[way].append(library() if way == "library" else await server())
    return results


def median(results: list[dict[str, float]], value: Any) -> float:
    """The median of something computed from each result."""
    return float(statistics.median(value(each) for each in results))


async def measure_first(http: httpx.AsyncClient, rounds: int) -> None:
    """Time to the first audio, and the pace of synthesis."""
    library = Library("synthesis", BUNDLE, 1)
    try:
        results = await side_by_side(
            rounds, lambda: library.ask(text=TEXT), lambda: speak(http, TEXT)
        )
    finally:
        library.close()
    print("synthesis             first byte   s per s of audio")
    for way, each in results.items():
        first = median(each, lambda r: 1000 * r["first"])
        pace = median(each, lambda r: r["seconds"] / r["audio"])
        print(f"  {way:<18}{first:9.0f} ms   {pace:12.3f}")


async def measure_transcription(http: httpx.AsyncClient, rounds: int) -> None:
    """The time of a transcription."""
    library = Library("recognition", WHISPER, threads_of_recognition())
    try:
        results = await side_by_side(
            rounds,
            lambda: library.ask(path=str(RECORDING), temperature=TEMPERATURE),
            lambda: transcribe(http),
        )
    finally:
        library.close()
    print("transcription         of 11 s of audio")
    for way, each in results.items():
        print(f"  {way:<18}{median(each, lambda r: r['seconds']):9.3f} s")


async def tokens_per_second(http: httpx.AsyncClient, seconds: float) -> float:
    """The rate of one stream of the language model over some time."""
    body = {
        "messages": [{"role": "user", "content": "Tell me a story."}],
        "stream": True,
        "max_tokens": 100_000,
        "ignore_eos": True,
        "temperature": 0,
    }
    count, begin = 0, 0.0
    while not begin or time.perf_counter() - begin < seconds:
        # The embedded model's window is short: one answer after the other.
        async with http.stream(
            "POST", "/v1/chat/completions", json=body | {"max_tokens": 900}
        ) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                begin = begin or time.perf_counter()
                count += 1
                if time.perf_counter() - begin >= seconds:
                    break
    return count / (time.perf_counter() - begin)


async def endlessly(work: Any) -> None:
    """Does the same again and again, until it is cancelled."""
    while True:
        await work()


async def measure_streams(http: httpx.AsyncClient, seconds: float) -> None:
    """What is left to the language model while speech runs."""
    processors = inspect_host().threads
    print(f"language model        {processors} processors")
    alone = await tokens_per_second(http, seconds)
    print(f"  alone             {alone:9.0f} tokens/s")
    kinds = {"synthesis": lambda: speak(http, LONG), "recognition": lambda: transcribe(http)}
    for kind, work in kinds.items():
        task = asyncio.create_task(endlessly(work))
        await asyncio.sleep(1.5)
        rate = await tokens_per_second(http, seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        share = (processors - 1) / processors
        print(f"  with {kind:<12} {rate:9.0f} tokens/s: {rate / alone:.0%}; budget: {share:.0%}")


def workers(server: ServerProcess) -> dict[str, int]:
    """Process ids of the speech workers by kind."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            arguments = path.read_bytes().split(b"\0")
            parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if b"sterna_service.speech.workers" in arguments and parent == server.process.pid:
                found[arguments[3].decode()] = int(path.parent.name)
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process so far."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total / 1e9


async def measure_cancel(http: httpx.AsyncClient, server: ServerProcess, rounds: int) -> None:
    """How long a worker goes on after its client left."""
    times = []
    for _ in range(rounds):
        async with speaking(http, LONG) as response:
            async for _part in response.aiter_raw():
                break
            pid = workers(server)["synthesis"]
        begin = time.perf_counter()
        last, before = begin, cpu_seconds(pid)
        while time.perf_counter() - begin < 0.6:
            await asyncio.sleep(0.004)
            now = cpu_seconds(pid)
            if now - before > 0.0005:
                last = time.perf_counter()
            before = now
        times.append(1000 * (last - begin))
    middle, most = statistics.median(times), max(times)
    print(f"cancelled synthesis   computes {middle:.0f} ms more (most: {most:.0f} ms)")


async def measure_kill(http: httpx.AsyncClient, server: ServerProcess) -> None:
    """What is told when a worker is killed, and how fast it comes back."""
    print("killed worker         request in progress             next request")
    async with speaking(http, LONG) as response:
        try:
            async for _part in response.aiter_raw():
                with contextlib.suppress(KeyError, ProcessLookupError):
                    os.kill(workers(server)["synthesis"], signal.SIGKILL)
            told = "ended as if complete"
        except httpx.RemoteProtocolError:
            told = "broken off"
    again = await speak(http, TEXT)
    print(f"  synthesis           {told:<30}  {again['seconds']:.1f} s, well")
    running = asyncio.create_task(transcribe(http))
    await asyncio.sleep(0.3)
    os.kill(workers(server)["recognition"], signal.SIGKILL)
    try:
        await running
        told = "answered"
    except httpx.HTTPStatusError as error:
        code = error.response.json()["error"]["code"]
        told = f"{error.response.status_code} {code}"
    next_one = await transcribe(http)
    print(f"  recognition         {told:<30}  {next_one['seconds']:.1f} s, well")


async def run(arguments: argparse.Namespace) -> None:
    variables = {
        "STERNA_WHISPER_MODEL": WHISPER.name,
        "STERNA_TTS_MODEL": BUNDLE.name,
        "STERNA_VOICE_KEEP_ALIVE": "-1",
    }
    serve = ["-m", "sterna_server.cli", "serve", "--voice", "--port", "0", "--grpc-port", "0"]
    only = arguments.only.split(",")
    with ServerProcess(serve, home=HOME, **variables) as server:
        async with httpx.AsyncClient(base_url=server.rest_url, timeout=300) as http:
            await speak(http, TEXT)
            await transcribe(http)
            await tokens_per_second(http, 0.5)
            if "first" in only:
                await measure_first(http, arguments.rounds)
            if "transcription" in only:
                await measure_transcription(http, arguments.rounds)
            if "streams" in only:
                await measure_streams(http, arguments.seconds)
            if "cancel" in only:
                await measure_cancel(http, server, arguments.rounds)
            if "kill" in only:
                await measure_kill(http, server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="make the models, and end")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stream")
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",")) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    if arguments.prepare:
        prepare()
        return
    if not (WHISPER / "model.bin").is_file() or not (BUNDLE / "model.safetensors").is_file():
        parser.error("the models are not there yet; run with --prepare first")
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
