"""Requests of every kind that the dashboard tells of, to one server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx

import sterna_service.models
from benchmarks.load import Client
from sterna.v1 import inference_pb2_grpc
from tests.support.speech import recording

_ROUNDS = 3
SECOND, BROKEN = "tests/second", "tests/broken"
FLAGS = (
    "serve", "--port", "0", "--grpc-port", "0", "--threads", "1", "--max-batch", "4",
    "--max-queue", "2", "--kv-cache-tokens", "4096",
)  # fmt: skip
"""Of a server that a few clients fill, so that there is a queue, and refusals."""
_HALF: dict[str, Any] = {"content": b"{", "headers": {"content-type": "application/json"}}
# Asked again, its beginning is found in the cache.
_TEXT = "The tern flies over the sea. The tern flies over the land. The tern flies over the city. "


def store_models(home: Path) -> None:
    """Puts a second model into the store of a home directory, and one that cannot be loaded."""
    embedded = Path(sterna_service.models.__file__).parent / "embedded"
    for model_id in (SECOND, BROKEN):
        shutil.copytree(embedded, home / "models" / model_id)
    weights = home / "models" / BROKEN / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


class Traffic:
    """Chats of several clients at once, and beside them one request of another kind after the
    other. `answers` counts statuses of the latter, by what was asked."""

    def __init__(self, url: str, core: str, *, speech: bool, clients: int = 8) -> None:
        """`url` is of REST and `core` of gRPC; `speech`: the server recognises and makes it."""
        self._url, self._core, self._clients = url, core, clients
        self.answers: Counter[tuple[str, int]] = Counter()
        self._asked: list[tuple[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]]] = [
            ("chat", lambda http: _post(http, "chat/completions", _chat(_TEXT * 3))),
            ("chat", lambda http: _post(http, "chat/completions", _chat(_TEXT * 3))),
            ("completion", lambda http: _post(http, "completions", _completion())),
            ("embeddings", lambda http: _post(http, "embeddings", {"input": ["sea", "land"]})),
            ("similarities", lambda http: _post(http, "similarities", _similarities())),
            ("second", lambda http: _post(http, "chat/completions", _chat("Hi", model=SECOND))),
            ("unknown", lambda http: _post(http, "chat/completions", _chat("Hi", model="none"))),
            ("malformed", lambda http: http.post("/v1/chat/completions", **_HALF)),
            ("range", lambda http: _post(http, "completions", _completion(temperature=9))),
            ("models", lambda http: http.get("/v1/models")),
            ("ready", lambda http: http.get("/readyz")),
            ("stop", lambda http: http.post(f"/v1/models/{SECOND}/stop")),
            ("broken", lambda http: http.post(f"/v1/models/{BROKEN}/start")),
        ]
        if speech:
            self._asked += [("transcription", _transcribe), ("speech", _speak)]

    async def run(self, seconds: float, hook: str) -> None:
        """Asks for so long, and everything a few times. Events of models are told to `hook`."""
        end = time.monotonic() + seconds
        async with (
            httpx.AsyncClient(base_url=self._url, timeout=120) as http,
            grpc.aio.insecure_channel(self._core) as channel,
        ):
            events = ["model.started", "model.stopped"]
            body = {"url": hook, "events": events}
            (await http.post("/v1/webhooks/register", json=body)).raise_for_status()
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            clients = [Client(self._url, stub, seed) for seed in range(self._clients)]
            chats = [asyncio.create_task(client.run()) for client in clients]
            try:
                for round_ in itertools.count():
                    if time.monotonic() > end and round_ >= _ROUNDS:
                        break
                    for name, ask in self._asked:
                        self.answers[name, (await ask(http)).status_code] += 1
                        await asyncio.sleep(0.2)
            finally:
                for task in chats:
                    task.cancel()
                for task in chats:
                    with contextlib.suppress(asyncio.CancelledError):
                        await task


async def _post(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    return await http.post(f"/v1/{path}", json=body)


def _chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 24} | fields


def _completion(**fields: Any) -> dict[str, Any]:
    return {"prompt": _TEXT, "max_tokens": 24, "temperature": 0} | fields


def _similarities() -> dict[str, Any]:
    return {"sentences": ["sea", "land"]}


async def _transcribe(http: httpx.AsyncClient) -> httpx.Response:
    return await http.post("/v1/audio/transcriptions", files={"file": ("a.wav", recording(7))})


async def _speak(http: httpx.AsyncClient) -> httpx.Response:
    body = {"input": "Terns fly far.", "voice": "alba", "response_format": "wav"}
    return await http.post("/v1/audio/speech", json=body)
