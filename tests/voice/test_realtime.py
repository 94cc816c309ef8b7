"""Spoken conversations over `/v1/realtime`, through the official client; every event is checked
against the client's own types."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
import websockets
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from tests.support.dialogue import PATIENCE, SILENCE
from tests.support.speech import spoken, until
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
HEARING = {
    "format": {"type": "audio/pcm", "rate": 8000},
    "transcription": {"language": "en"},
}


class Client:
    """A connection of the official client, with everything that came."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def next(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            raw = json.loads(await self.connection.recv_bytes())
        assert raw["event_id"]
        # Strict about what the client's types require; rates beside 24000 are an extension.
        checked = json.loads(json.dumps(raw).replace('"rate": 8000', '"rate": 24000'))
        self.events.append(SERVER_EVENT.validate_python(checked))
        return self.events[-1]

    async def until(self, kind: str) -> Any:
        while (event := await self.next()).type != kind:
            assert event.type != "error", event
        return event

    def all(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    async def say(self, *digits: int, silence: bool = True) -> None:
        audio = spoken(digits) + (SILENCE if silence else b"")
        for begin in range(0, len(audio), 4000):
            part = base64.b64encode(audio[begin : begin + 4000]).decode()
            await self.connection.input_audio_buffer.append(audio=part)

    async def update(self, **session: Any) -> Any:
        await self.connection.session.update(session={"type": "realtime", **session})
        return await self.until("session.updated")

    async def write(self, text: str) -> Any:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.connection.conversation.item.create(item=item)
        return await self.until("conversation.item.done")


@asynccontextmanager
async def connected(live: Live, **session: Any) -> AsyncIterator[Client]:
    api = openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="unused")
    async with api.realtime.connect(model="") as connection:
        client = Client(connection)
        created = await client.until("session.created")
        assert created.session.output_modalities == ["audio"]
        if session:
            await client.update(**session)
        yield client


async def test_a_spoken_turn(live: Live) -> None:
    short = {"max_output_tokens": 8, "audio": {"input": HEARING}}
    async with connected(live, instructions="You are a tern.", **short) as client:
        await client.say(7, 3, 1)
        done = await client.until("response.done")
    kinds = [event.type for event in client.events]
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    places = [kinds.index(kind) for kind in order]
    assert places == sorted(places)
    heard = client.all("conversation.item.input_audio_transcription.completed")[0]
    assert heard.transcript == "seven three one"
    assert heard.item_id == client.all("input_audio_buffer.speech_started")[0].item_id
    assert done.response.status == "completed"
    assert done.response.usage.output_tokens == 8
    said = "".join(e.delta for e in client.all("response.output_audio_transcript.delta"))
    assert done.response.output[0].content[0].transcript == said
    audio = b"".join(
        base64.b64decode(event.delta) for event in client.all("response.output_audio.delta")
    )
    assert len(audio) % 3840 == 0
    assert len(audio) > 24_000


async def test_text_in_and_text_out(live: Live) -> None:
    async with connected(live, output_modalities=["text"], max_output_tokens=6) as client:
        await client.write("Hello!")
        await client.connection.response.create()
        first = await client.until("response.done")
        text = "".join(e.delta for e in client.all("response.output_text.delta"))
        assert first.response.output[0].content[0].text == text
        assert not client.all("response.output_audio.delta")
        await client.write("And again!")
        await client.connection.response.create(
            response={"max_output_tokens": 2, "instructions": "Be brief."}
        )
        second = await client.until("response.done")
        assert second.response.usage.output_tokens == 2
        assert second.response.usage.input_tokens > first.response.usage.input_tokens


async def test_speech_interrupts_and_the_client_says_what_it_played(live: Live) -> None:
    async with connected(live, audio={"input": HEARING}) as client:
        await client.write("Tell me a very long story about a bird.")
        await client.connection.response.create()
        for _ in range(8):
            await client.until("response.output_audio.delta")
        await client.say(5, silence=False)
        done = await client.until("response.done")
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "turn_detected"
        cut = await client.until("conversation.item.truncated")
        item_id = done.response.output[0].id
        assert cut.item_id == item_id
        await client.connection.conversation.item.truncate(
            item_id=item_id, content_index=0, audio_end_ms=100
        )
        assert (await client.until("conversation.item.truncated")).audio_end_ms == 100
    await until(lambda: not live.speech.synthesizer.requests)


async def test_an_answer_is_cancelled(live: Live) -> None:
    async with connected(live) as client:
        await client.write("Tell me a very long story about a bird.")
        await client.connection.response.create()
        await client.until("response.output_audio.delta")
        await client.connection.response.cancel()
        done = await client.until("response.done")
        assert done.response.status_details.reason == "client_cancelled"


async def test_push_to_talk(live: Live) -> None:
    hearing = {**HEARING, "turn_detection": None}
    async with connected(live, max_output_tokens=4, audio={"input": hearing}) as client:
        await client.say(2, silence=False)
        await client.connection.input_audio_buffer.clear()
        await client.until("input_audio_buffer.cleared")
        await client.say(7, 1, silence=False)
        await client.connection.input_audio_buffer.commit()
        await client.connection.response.create()
        done = await client.until("response.done")
        assert done.response.status == "completed"
        heard = client.all("conversation.item.input_audio_transcription.completed")[0]
        assert heard.transcript == "seven one"
        assert heard.item_id == client.all("input_audio_buffer.committed")[0].item_id
        assert not client.all("input_audio_buffer.speech_started")


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "nonsense"}, "invalid_type", None),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
        ({"type": "input_audio_buffer.append", "audio": "!"}, "invalid_type", "audio"),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
        (
            {"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": 1},
            "item_not_truncatable",
            "item_id",
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"voice": "nobody"}}}},
            "voice_not_found",
            None,
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"speed": 9}}}},
            "invalid_value",
            "session.audio.output.speed",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            },
            "invalid_value",
            "session.audio.input.format.type",
        ),
    ],
)
async def test_what_is_wrong_is_told_and_the_conversation_goes_on(
    live: Live, event: dict[str, Any], code: str, param: str | None
) -> None:
    async with connected(live, max_output_tokens=2) as client:
        await client.connection.send_raw(json.dumps({**event, "event_id": "mine"}))
        told = await client.next()
        assert told.type == "error"
        assert told.error.code == code
        if param is not None:
            assert told.error.param.endswith(param)
        await client.write("Hello!")
        await client.connection.response.create()
        assert (await client.until("response.done")).response.status == "completed"


async def test_a_model_that_is_not_there_ends_the_connection_with_an_error(live: Live) -> None:
    url = live.url.replace("http", "ws")
    async with websockets.connect(f"{url}/v1/realtime?model=nope") as socket:
        created = json.loads(await socket.recv())
        assert created["type"] == "session.created"
        message = {"type": "message", "role": "user"}
        content = [{"type": "input_text", "text": "Hi"}]
        item = {"type": "conversation.item.create", "item": {**message, "content": content}}
        await socket.send(json.dumps(item))
        await socket.send(json.dumps({"type": "response.create"}))
        kinds = [json.loads(await socket.recv()) for _ in range(8)]
        errors = [event["error"] for event in kinds if event["type"] == "error"]
        assert errors[0]["code"] == "model_not_found"


async def test_pages_of_other_servers_are_turned_away(live: Live) -> None:
    url = live.url.replace("http", "ws")
    with pytest.raises(websockets.exceptions.InvalidStatus):
        async with websockets.connect(f"{url}/v1/realtime", origin="https://example.org"):  # type: ignore[arg-type]
            pass


async def test_a_client_that_leaves_frees_everything(live: Live) -> None:
    async with connected(live, audio={"input": HEARING}) as client:
        await client.say(1)
        await client.until("response.output_audio.delta")
        assert live.speech.recognition.listening == 1
    await until(lambda: not live.speech.synthesizer.requests)
    await until(lambda: not live.speech.recognition.listening)
