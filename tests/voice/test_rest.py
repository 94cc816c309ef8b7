"""The audio endpoints through the official client and through plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from tests.support.speech import DATA, coded, paused, recording, spoken, until, wav
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

THREE = wav(spoken([7, 3, 1]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(live: Live) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{live.url}/v1", api_key="unused", max_retries=0, timeout=120
    ) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.url, timeout=120) as client:
        yield client


async def transcription(http: httpx.AsyncClient, data: Any = THREE, **form: Any) -> Any:
    return await http.post("/v1/audio/transcriptions", files={"file": ("a.wav", data)}, data=form)


async def test_json_through_the_official_client(api: openai.AsyncOpenAI) -> None:
    answer = await api.audio.transcriptions.create(
        file=("three.wav", THREE), model="whisper-1", language="en"
    )
    assert answer.text == "seven three one"


async def test_verbose_json_with_words(api: openai.AsyncOpenAI) -> None:
    answer = await api.audio.transcriptions.create(
        file=("three.wav", THREE),
        model="whisper-1",
        language="english",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert answer.language == "english"
    assert answer.words is not None
    assert [word.word for word in answer.words] == ["seven", "three", "one"]
    assert answer.segments is not None
    assert answer.segments[0].id == 0
    assert float(answer.duration) == pytest.approx(len(spoken([7, 3, 1])) / 16_000, abs=0.01)


async def test_the_superset_body(http: httpx.AsyncClient) -> None:
    body = (await transcription(http, language="en", model="whisper-digits")).json()
    assert body["text"] == "seven three one"
    assert body["language"] == "en"
    assert body["segments"][0].keys() == {"start", "end", "text"}
    assert body["usage"] == {"type": "duration", "seconds": 2}


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("text", "text/plain", "seven three one\n"),
        ("srt", "text/plain", "1\n00:00:0"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:0"),
    ],
)
async def test_text_formats(http: httpx.AsyncClient, form: str, kind: str, begins: str) -> None:
    answer = await transcription(http, language="en", response_format=form)
    assert answer.headers["content-type"].startswith(kind)
    assert answer.text.startswith(begins)
    assert "seven three one" in answer.text


async def test_a_streamed_transcript(api: openai.AsyncOpenAI) -> None:
    stream = await api.audio.transcriptions.create(
        file=("three.wav", THREE), model="whisper-1", language="en", stream=True
    )
    events = [event async for event in stream]
    deltas = "".join(e.delta for e in events if e.type == "transcript.text.delta")
    assert deltas == "seven three one"
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == deltas


async def test_a_translation(api: openai.AsyncOpenAI) -> None:
    answer = await api.audio.translations.create(file=("three.wav", THREE), model="whisper-1")
    assert answer.text


@pytest.mark.parametrize(
    ("form", "status", "param"),
    [
        ({"temperature": "2"}, 422, "temperature"),
        ({"response_format": "xml"}, 422, "response_format"),
        ({"model": "nope"}, 404, "model"),
        ({"model": "base"}, 503, None),
        ({"language": "klingon"}, 400, "language"),
        ({"timestamp_granularities[]": "word"}, 400, "timestamp_granularities[]"),
        ({"stream": "true", "response_format": "srt"}, 400, "stream"),
    ],
)
async def test_bad_forms(
    http: httpx.AsyncClient, form: dict[str, str], status: int, param: str | None
) -> None:
    answer = await transcription(http, **form)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


async def test_missing_weights_name_the_command_and_are_not_tried_again(
    http: httpx.AsyncClient,
) -> None:
    answer = await transcription(http, model="base")
    assert "sterna pull --voice base" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


async def test_the_name_of_a_file_decides_nothing(http: httpx.AsyncClient) -> None:
    for name in ("a.wav", "a.txt", "../../etc/passwd", "a"):
        files = {"file": (name, coded("mp3", spoken([7, 3, 1])), "image/png")}
        answer = await http.post("/v1/audio/transcriptions", files=files, data={"language": "en"})
        assert answer.json()["text"] == "seven three one"


async def test_uploads_that_are_too_large_or_no_audio(live: Live, http: httpx.AsyncClient) -> None:
    assert (await transcription(http, bytes(101 * 1024 * 1024))).status_code == 413
    answer = await transcription(http, b"no audio")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "audio_unreadable")
    answer = await http.post("/v1/audio/transcriptions", data={"model": "whisper-1"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


async def test_an_upload_that_stalls_is_answered(live: Live) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    async with asyncio.timeout(60):
        head = await reader.readline()
    writer.close()
    assert head.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("form", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
async def test_speech_in_every_format(api: openai.AsyncOpenAI, form: Any) -> None:
    import av

    answer = await api.audio.speech.create(
        model="tts-1", voice="alba", input="Hello there.", response_format=form
    )
    if form == "pcm":
        assert len(answer.content) % 3840 == 0
        return
    with av.open(io.BytesIO(answer.content)) as container:
        seconds = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
    assert seconds > 0.5


async def test_speech_is_wav_by_default_and_takes_a_speed(http: httpx.AsyncClient) -> None:
    body = {"input": "Hello there.", "speed": 2, "voice": {"id": "marius"}}
    answer = await http.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"] == "audio/wav"
    assert "content-length" not in answer.headers
    assert answer.content.startswith(b"RIFF\xff\xff\xff\xff")


async def test_speech_as_events(http: httpx.AsyncClient) -> None:
    body = {"input": "Hello there.", "stream_format": "sse", "response_format": "mp3"}
    answer = await http.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert events[-1]["type"] == "speech.audio.done"
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert audio.startswith(b"\xff\xf3")


async def test_tts_is_a_whole_wav(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/tts", json={"text": "Hello world"})
    assert answer.headers["content-length"] == str(len(answer.content))
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getnframes() * 2 + 44 == len(answer.content)
        assert file.getframerate() == 24_000


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": ""}, 422, "input"),
        ({"input": "..."}, 400, "input"),
        ({"input": "x" * 4097}, 422, "input"),
        ({"input": "Hi", "speed": 9}, 422, "speed"),
        ({"input": "Hi", "voice": "alloy"}, 404, None),
        ({"input": "Hi", "voice": "../alba"}, 404, None),
        ({"input": "Hi", "voice": {"id": "https://example.org/a.wav"}}, 404, None),
        ({"input": "Hi", "model": "../english"}, 404, "model"),
        ({"input": "Hi", "voice": 5}, 400, "voice"),
        ({"input": "Hi", "response_format": "midi"}, 422, "response_format"),
    ],
)
async def test_bad_bodies(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = await http.post("/v1/audio/speech", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


async def test_a_full_queue_is_429(live: Live, http: httpx.AsyncClient) -> None:
    worker = live.speech.synthesizer
    (await http.post("/v1/audio/speech", json={"input": "Hello."})).raise_for_status()
    body = {"input": "Terns fly from one end of the world to the other. " * 80}
    async with asyncio.TaskGroup() as group:
        with paused(worker):
            waiting = [
                group.create_task(http.post("/v1/audio/speech", json=body)) for _ in range(3)
            ]
            await until(lambda: worker.requests == 3)
            answer = await http.post("/v1/audio/speech", json={"input": "Hi"})
        for task in waiting:
            task.cancel()
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert answer.headers["retry-after"]
    # Clients that left took their work with them.
    await until(lambda: not worker.requests)


async def test_a_voice_from_registration_to_deletion(http: httpx.AsyncClient) -> None:
    sample = {"file": ("jfk.mp3", (DATA / "jfk.mp3").read_bytes())}
    form = {"voice_id": "mine", "consent": "true", "language": "english"}
    made = await http.post("/v1/voices", files=sample, data=form)
    assert made.status_code == 200, made.text
    assert made.json()["type"] == "custom"
    assert made.json()["languages"] == ["en"]
    assert made.json()["consent_at"]
    listed = (await http.get("/v1/voices")).json()
    assert listed["voices"][0] == "alba"
    assert "mine" in listed["voices"]
    assert (await http.get("/v1/voices/mine")).json() == made.json()
    spoken_ = await http.post("/v1/audio/speech", json={"input": "Hi", "voice": "mine"})
    assert spoken_.status_code == 200
    assert (await http.post("/v1/voices", files=sample, data=form)).status_code == 409
    assert (await http.delete("/v1/voices/mine")).json()["deleted"] is True
    assert (await http.delete("/v1/voices/mine")).status_code == 404
    assert (await http.delete("/v1/voices/alba")).status_code == 400
    assert (await http.delete("/v1/voices/a%2Fb")).status_code == 404


async def test_a_recording_that_is_no_voice(http: httpx.AsyncClient) -> None:
    sample = {"file": ("one.wav", recording(1))}
    answer = await http.post("/v1/voices", files=sample, data={"voice_id": "short"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "voice_sample_unusable")
