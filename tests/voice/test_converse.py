"""Spoken conversations over gRPC: turns, interruptions, what is kept, and every refusal."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import (
    error_reason_pb2,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    recognition_pb2,
    speech_pb2,
    speech_pb2_grpc,
)
from sterna_service.access.limits import Limits
from sterna_service.app import CoreOptions, start_core
from sterna_service.speech.options import SpeechOptions
from tests.support.core import eventually, refusal
from tests.support.dialogue import SILENCE, Talk, answering, system, talk_config, user
from tests.support.keys import bearer, make_key
from tests.support.speech import until
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def new_session(live: Live, session_id: str) -> Any:
    stub = inference_pb2_grpc.InferenceServiceStub(live.channel)
    await stub.CreateSession(inference_pb2.CreateSessionRequest(session_id=session_id))
    return stub


async def stored(stub: Any, session_id: str) -> list[tuple[int, str]]:
    request = inference_pb2.GetSessionRequest(session_id=session_id, include_messages=True)
    messages = (await stub.GetSession(request)).messages
    return [(each.role, each.content[0].text) for each in messages]


async def test_a_spoken_turn_is_heard_answered_and_spoken(live: Live) -> None:
    talk = Talk(live.stub)
    talk.say(7, 3, 1)
    talk.end()
    await talk.rest()
    kinds = talk.kinds()
    order = ["voice_activity", "segment", "user_turn", "answer_started", "answer_delta", "audio"]
    places = [kinds.index(kind) for kind in order]
    assert places == sorted(places)
    assert kinds[-1] == "turn_done"
    assert [each.type for each in talk.all("voice_activity")] == [1, 2]
    assert talk.all("user_turn")[0].text == "seven three one"
    assert talk.all("turn_done")[0].usage.completion_token_count == 8
    started = talk.all("speech_started")[0]
    assert (started.voice_id, started.sample_rate_hertz) == ("alba", 24_000)
    assert talk.audio_seconds() > 0.5


async def test_answers_begin_before_the_input_ends_and_turns_are_kept(live: Live) -> None:
    stub = await new_session(live, "talk-kept")
    generation = answering(6, session_id="talk-kept", chat=system("You are a tern."))
    talk = Talk(live.stub, talk_config(generation=generation, interruptible=False))
    talk.send(text="Hello!")
    first = await talk.until("turn_done")
    talk.say(4)
    second = await talk.until("turn_done")
    assert second.usage.prompt_token_count > first.usage.prompt_token_count + 6
    assert second.usage.cached_token_count > 0
    talk.end()
    await talk.rest()
    messages = await stored(stub, "talk-kept")
    answers = ["".join(d.text for d in talk.all("answer_delta"))]
    assert [role for role, _ in messages] == [1, 3, 4, 3, 4]
    assert [text for _, text in messages[:2]] == ["You are a tern.", "Hello!"]
    assert messages[3][1] == "four"
    assert messages[2][1] + messages[4][1] == answers[0]


async def test_an_answer_is_stored_once_it_was_played(live: Live) -> None:
    stub = await new_session(live, "talk-played")
    talk = Talk(live.stub, talk_config(generation=answering(3, session_id="talk-played")))
    talk.send(text="Hello!")
    await talk.until("turn_done")

    async def whole() -> bool:
        return len(await stored(stub, "talk-played")) == 2

    await eventually(whole)
    talk.end()
    await talk.rest()


async def test_speech_interrupts_the_answer_and_only_what_was_spoken_is_kept(live: Live) -> None:
    stub = await new_session(live, "talk-barge-in")
    generation = answering(400, session_id="talk-barge-in")
    talk = Talk(live.stub, talk_config(generation=generation))
    talk.send(text="Tell me a very long story.")
    while talk.audio_seconds() < 2.0:
        await talk.until("audio")
    talk.send(config=talk_config(generation=answering(6, session_id="talk-barge-in")))
    talk.say(5)
    interrupted = await talk.until("interrupted")
    answer = " ".join("".join(d.text for d in talk.all("answer_delta")).split())
    assert interrupted.spoken_text
    assert answer.startswith(interrupted.spoken_text)
    assert len(interrupted.spoken_text) < len(answer)
    await talk.until("turn_done")
    assert talk.all("user_turn")[-1].text == "five"
    talk.end()
    await talk.rest()
    messages = await stored(stub, "talk-barge-in")
    assert [text for _, text in messages][1:3] == [interrupted.spoken_text, "five"]
    await until(lambda: not live.speech.synthesizer.requests)


async def test_an_answer_of_which_nothing_was_heard_leaves_its_turn_waiting(live: Live) -> None:
    talk = Talk(live.stub, talk_config(generation=answering(300)))
    talk.send(text="First.")
    await talk.until("answer_started")
    talk.send(interrupt=speech_pb2.Interrupt(played_duration={}))
    assert (await talk.until("interrupted")).spoken_text == ""
    talk.send(config=talk_config(generation=answering(4)))
    talk.send(text="Second.")
    merged = await talk.until("turn_done")
    alone = Talk(live.stub, talk_config(generation=answering(4)))
    alone.send(text="Second.")
    usage = (await alone.until("turn_done")).usage
    assert merged.usage.prompt_token_count > usage.prompt_token_count
    talk.end()
    alone.end()
    await talk.rest()
    await alone.rest()


async def test_the_client_may_say_afterwards_how_much_it_played(live: Live) -> None:
    talk = Talk(live.stub, talk_config(generation=answering(120)))
    talk.send(text="Tell me a long story.")
    while talk.audio_seconds() < 3.0:
        await talk.until("audio")
    talk.send(interrupt=speech_pb2.Interrupt(played_duration={"seconds": 2}))
    long = (await talk.until("interrupted")).spoken_text
    talk.send(interrupt=speech_pb2.Interrupt(played_duration={"seconds": 1}))
    short = (await talk.until("interrupted")).spoken_text
    assert long.startswith(short)
    assert 0 < len(short) < len(long)
    talk.end()
    await talk.rest()


async def test_turns_by_hand_end_where_the_client_says(live: Live) -> None:
    talk = Talk(live.stub, talk_config(turns_by_hand=True, answer_turns=False))
    talk.say(9, silence=False)
    talk.send(clear=speech_pb2.ClearAudio())
    talk.say(2, 4, silence=False)
    talk.send(commit=speech_pb2.CommitAudio())
    talk.send(respond=speech_pb2.Respond())
    assert (await talk.until("user_turn")).text == "two four"
    await talk.until("turn_done")
    talk.send(commit=speech_pb2.CommitAudio())
    assert (await talk.until("user_turn")).text == ""
    talk.end()
    await talk.rest()
    assert talk.kinds().count("turn_done") == 1
    assert not talk.all("voice_activity")


async def test_messages_wait_until_an_answer_is_asked_for(live: Live) -> None:
    talk = Talk(live.stub, talk_config(answer_turns=False, text_only=True))
    talk.send(message=user("My name is Ada."))
    talk.send(text="What is my name?")
    assert (await talk.until("user_turn")).text == "What is my name?"
    talk.send(respond=speech_pb2.Respond())
    await talk.until("turn_done")
    talk.end()
    await talk.rest()
    assert not talk.all("audio")
    assert not talk.all("speech_started")


async def test_with_interruptions_off_turns_are_answered_one_after_the_other(live: Live) -> None:
    talk = Talk(live.stub, talk_config(interruptible=False))
    talk.send(text="One.")
    await talk.until("answer_started")
    talk.send(text="Two.")
    talk.send(text="Three.")
    talk.end()
    await talk.rest()
    assert not talk.all("interrupted")
    # What was said during the first answer is answered as one turn.
    assert talk.kinds().count("turn_done") == 2


async def test_noise_is_no_turn(live: Live) -> None:
    talk = Talk(live.stub)
    talk.send(audio=SILENCE * 2)
    talk.end()
    await talk.rest()
    assert not talk.all("user_turn")
    assert not talk.all("answer_started")


async def test_what_is_wrong_with_one_turn_does_not_end_the_conversation(live: Live) -> None:
    talk = Talk(live.stub)
    talk.send(text=" ")
    assert (await talk.until("turn_failed")).field == "text"
    talk.send(text="word " * 12_000)
    failed = await talk.until("turn_failed")
    assert failed.reason == 13  # CONTEXT_LENGTH_EXCEEDED
    config = talk_config(synthesis=speech_pb2.SynthesisConfig(voice_id="nobody"))
    talk.send(config=config)
    assert "nobody" in (await talk.until("configured")).refused.message
    talk.send(text="Hello!")
    assert (await talk.until("turn_done")).usage.completion_token_count == 8
    talk.end()
    await talk.rest()


async def test_workers_that_are_killed_fail_the_turn_and_come_back(live: Live) -> None:
    talk = Talk(live.stub, talk_config(generation=answering(400)))
    talk.send(text="Tell me a very long story.")
    await talk.until("audio")
    assert live.speech.synthesizer.pid is not None
    os.kill(live.speech.synthesizer.pid, signal.SIGKILL)
    failed = await talk.until("turn_failed")
    assert "synthesis worker" in failed.message
    assert failed.HasField("retry_delay")
    talk.send(config=talk_config())
    talk.say(3, silence=False)
    await talk.until("voice_activity")
    assert live.speech.recognizer.pid is not None
    os.kill(live.speech.recognizer.pid, signal.SIGKILL)
    assert "recognition worker" in (await talk.until("turn_failed")).message
    talk.say(8)
    assert (await talk.until("user_turn")).text == "eight"
    await talk.until("turn_done")
    talk.end()
    await talk.rest()


async def test_a_client_that_leaves_frees_everything(live: Live) -> None:
    talk = Talk(live.stub, talk_config(generation=answering(900)))
    talk.send(audio=SILENCE)
    talk.send(text="Tell me a very long story.")
    await talk.until("audio")
    talk.call.cancel()
    admin = model_admin_pb2_grpc.ModelAdminServiceStub(live.channel)

    async def idle() -> bool:
        answer = await admin.GetServerStatus(model_admin_pb2.GetServerStatusRequest())
        return answer.status.engines[0].running_count == 0

    await until(lambda: not live.speech.synthesizer.requests)
    await until(lambda: not live.speech.recognizer.requests)
    await until(lambda: not live.speech.recognition.listening)
    await eventually(idle)


async def test_a_conversation_without_any_input_is_ended(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(live.speech.options, conversation_idle_seconds=0.2)
    monkeypatch.setattr(live.speech, "options", options)
    talk = Talk(live.stub)
    told = await refusal(talk.rest())
    assert told.reason == "DEADLINE_EXCEEDED"
    assert "nothing came" in told.message


@pytest.mark.parametrize(
    ("config", "reason", "field"),
    [
        (
            {"recognition": recognition_pb2.RecognitionConfig(encoding="AUDIO_ENCODING_MP3")},
            "INVALID_FIELD",
            "config.recognition.encoding",
        ),
        (
            {"recognition": recognition_pb2.RecognitionConfig(sample_rate_hertz=5)},
            "FIELD_OUT_OF_RANGE",
            "config.recognition.sample_rate_hertz",
        ),
        (
            {"synthesis": speech_pb2.SynthesisConfig(speed=9)},
            "FIELD_OUT_OF_RANGE",
            "config.synthesis.speed",
        ),
        (
            {"generation": answering(1, choice_count=2)},
            "FIELD_OUT_OF_RANGE",
            "config.generation.choice_count",
        ),
        (
            {"generation": answering(1, text={"text": "Once"})},
            "INVALID_FIELD",
            "config.generation.prompt",
        ),
        ({"generation": answering(1, session_id="none")}, "SESSION_NOT_FOUND", None),
        ({"synthesis": speech_pb2.SynthesisConfig(voice_id="a/b")}, "VOICE_NOT_FOUND", None),
        (
            {"recognition": recognition_pb2.RecognitionConfig(model_id="base")},
            "SPEECH_WEIGHTS_MISSING",
            None,
        ),
    ],
)
async def test_configurations_that_cannot_be_are_refused(
    live: Live, config: dict[str, Any], reason: str, field: str | None
) -> None:
    talk = Talk(live.stub, talk_config(**config))
    talk.end()
    told = await refusal(talk.rest())
    assert told.reason == reason
    assert told.fields == ([field] if field else [])


async def test_a_spoken_conversation_continues_only_what_its_key_stored(voice_home: Path) -> None:
    options = CoreOptions(
        home=voice_home,
        port=0,
        threads=1,
        speech=SpeechOptions(recognition_model="digits"),
        keys=True,
    )
    core = await start_core(options)
    try:
        mine, others = [bearer(await make_key(voice_home)) for _ in range(2)]
        async with grpc.aio.insecure_channel(core.address) as channel:
            inference = inference_pb2_grpc.InferenceServiceStub(channel)
            create = inference_pb2.CreateSessionRequest(session_id="talk-keys")
            await inference.CreateSession(create, metadata=mine)
            counts = []
            for metadata in (others, mine):
                stub = speech_pb2_grpc.SpeechServiceStub(channel)
                config = talk_config(generation=answering(3, session_id="talk-keys"))
                talk = Talk(stub, config, metadata)
                talk.send(text="Hello!")
                talk.end()
                if metadata is others:
                    assert (await refusal(talk.rest())).reason == "SESSION_NOT_FOUND"
                else:
                    await talk.rest()
                get = inference_pb2.GetSessionRequest(session_id="talk-keys")
                found = await inference.GetSession(get, metadata=mine)
                counts.append(found.session.message_count)
            assert counts == [0, 2]
    finally:
        await core.stop(0)


async def test_each_answer_is_charged_and_counted(voice_home: Path, tmp_path: Path) -> None:
    options = CoreOptions(
        home=voice_home,
        port=0,
        threads=1,
        speech=SpeechOptions(recognition_model="digits"),
        limits=Limits(tokens=60),
        # Others have used the home, too.
        database_url=f"sqlite:///{tmp_path}/state.db",
    )
    core = await start_core(options)
    try:
        async with grpc.aio.insecure_channel(core.address) as channel:
            config = talk_config(generation=answering(60), text_only=True)
            talk = Talk(speech_pb2_grpc.SpeechServiceStub(channel), config)
            talk.send(text="Hello!")
            used = (await talk.until("turn_done")).usage
            talk.send(text="And then?")
            failed = await talk.until("turn_failed")
            assert failed.reason == error_reason_pb2.ERROR_REASON_RATE_LIMITED
            assert "60 tokens per minute" in failed.message
            assert failed.HasField("retry_delay")
            talk.end()
            await talk.rest()
        # The socket has no limits.
        async with grpc.aio.insecure_channel(core.unix_address) as channel:
            admin = model_admin_pb2_grpc.ModelAdminServiceStub(channel)
            request = model_admin_pb2.ListUsageRequest(model_id=core.default_model_id)
            (row,) = (await admin.ListUsage(request)).usage
            assert row.prompt_token_count == used.prompt_token_count
            assert row.completion_token_count == used.completion_token_count == 60
    finally:
        await core.stop(0)


async def test_the_configuration_comes_first(live: Live) -> None:
    async def wrong() -> Any:
        yield speech_pb2.ConverseRequest(text="Hello")

    told = await refusal(live.stub.Converse(wrong(), timeout=10).read())
    assert (told.reason, told.fields) == ("INVALID_FIELD", ["config"])
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
