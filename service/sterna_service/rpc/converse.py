"""Messages of `SpeechService.Converse` as what `sterna_service.dialogue` takes and tells, and the
generation that it answers with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

from google.protobuf.message import Message

from sterna.v1 import (
    audio_pb2,
    generation_pb2,
    inference_pb2,
    recognition_pb2,
    speech_pb2,
)
from sterna_service.access.keys import ApiKey
from sterna_service.access.scopes import Scope
from sterna_service.dialogue.fields import renamed
from sterna_service.dialogue.types import (
    Audio,
    Clear,
    Commit,
    Configured,
    DialogueConfig,
    DialogueEvent,
    DialogueInput,
    Generate,
    Interrupt,
    Interrupted,
    Refused,
    Respond,
    Stage,
    Text,
    TurnDone,
    TurnFailed,
    UserTurn,
)
from sterna_service.errors import Reason, ServiceError, invalid
from sterna_service.inference.events import Delta, GenerationEvent, Started, Usage
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.spec import GenerationSpec
from sterna_service.models.registry import ModelRegistry
from sterna_service.rpc.calls import Call, current_call
from sterna_service.rpc.from_events import duration, stream_response, usage_message
from sterna_service.rpc.from_speech import (
    interim_text,
    segment_message,
    synthesis_started,
    voice_activity,
)
from sterna_service.rpc.to_chat import message_of
from sterna_service.rpc.to_spec import generation_spec, seconds_of
from sterna_service.rpc.to_speech import live_format, recognition_request, synthesis_request
from sterna_service.speech.types import Activity, AudioPart, Interim, Segment, SynthesisStarted
from sterna_service.telemetry.record import tokens_of
from sterna_service.telemetry.spans import kind_of

M = TypeVar("M", bound=Message)

_STAGES = {
    Stage.INPUT: speech_pb2.TurnFailed.STAGE_INPUT,
    Stage.RECOGNITION: speech_pb2.TurnFailed.STAGE_RECOGNITION,
    Stage.ANSWER: speech_pb2.TurnFailed.STAGE_ANSWER,
}


def check_scopes(key: ApiKey | None) -> None:
    """Raises `ServiceError` when a key allows speech, but not the answers in between."""
    if key is not None and Scope.INFERENCE not in key.scopes:
        raise ServiceError(
            Reason.PERMISSION_DENIED,
            "this API key does not allow Converse, which needs the scopes inference and speech; it "
            f"has {', '.join(sorted(key.scopes))}",
            metadata={"scope": "inference and speech"},
        )


def generator(models: ModelRegistry, harnesses: Harnesses, adapter_id: str) -> Generate:
    """What answers the turns of a conversation, with the model that their specification names."""

    async def generate(spec: GenerationSpec) -> AsyncGenerator[GenerationEvent]:
        with renamed("spec", "config.generation"):
            lease = await models.acquire(spec.model_id, adapter_id)
            with lease as model:
                call = current_call()
                call.notes["model"] = model.model_id
                if spec.keep_alive is not None:
                    lease.keep(spec.keep_alive)
                run = harnesses.generate(model, replace(spec, adapter=lease.adapter), lease.harness)
                async with contextlib.aclosing(_measured(call, model.model_id, run)) as events:
                    async for event in events:
                        yield event

    return generate


async def _measured(
    call: Call, model_id: str, run: AsyncGenerator[GenerationEvent]
) -> AsyncGenerator[GenerationEvent]:
    """The events of one turn, which is measured, held to the tokens that are left, and charged by
    itself. Raises `ServiceError`."""
    turn = call.record.turn("chat", model_id)
    visit = call.caller.visit
    reason = ""
    prompt = cached = completion = 0
    try:
        if visit is not None:
            await visit.limiter.check_tokens(visit)
        async with contextlib.aclosing(run) as events:
            async for event in events:
                if isinstance(event, Started):
                    turn.started(event.queue_seconds, event.prefill_seconds)
                    prompt, cached = event.prompt_tokens, event.cached_tokens
                elif isinstance(event, Delta):
                    completion += len(event.token_ids)
                elif isinstance(event, Usage):
                    turn.used(tokens_of(event, 1))
                    prompt, cached = event.prompt_tokens, event.cached_tokens
                    completion = event.completion_tokens
                yield event
    except BaseException as error:
        reason = kind_of(error)
        raise
    finally:
        turn.end(reason)
        call.note_tokens(prompt, cached, completion)
        if visit is not None:
            await visit.limiter.charge(visit, prompt + completion)


def dialogue_config(config: speech_pb2.ConversationConfig) -> DialogueConfig:
    """How to hold a conversation. Raises `ServiceError`."""
    recognition = recognition_pb2.RecognitionConfig()
    recognition.CopyFrom(config.recognition)
    if recognition.encoding == audio_pb2.AUDIO_ENCODING_UNSPECIFIED:
        recognition.encoding = audio_pb2.AUDIO_ENCODING_PCM_S16LE
    spec = generation_pb2.GenerationSpec()
    spec.CopyFrom(config.generation)
    if spec.WhichOneof("prompt") is None:
        spec.chat.SetInParent()
    synthesis = speech_pb2.SynthesisConfig()
    synthesis.CopyFrom(config.synthesis)
    if synthesis.encoding == audio_pb2.AUDIO_ENCODING_UNSPECIFIED:
        synthesis.encoding = audio_pb2.AUDIO_ENCODING_PCM_S16LE
    with renamed("config", "config.recognition"):
        live = live_format(recognition)
        request = recognition_request(recognition)
    assert live is not None
    with renamed("config", "config.synthesis"):
        spoken = None if config.text_only else synthesis_request(synthesis)
    with renamed("spec", "config.generation"):
        generation = generation_spec(inference_pb2.StreamGenerateRequest(spec=spec))
    return DialogueConfig(
        recognition=request,
        live=replace(live, by_hand=config.turns_by_hand),
        generation=generation,
        synthesis=spoken,
        interruptible=config.interruptible if config.HasField("interruptible") else True,
        answer_turns=config.answer_turns if config.HasField("answer_turns") else True,
    )


async def dialogue_inputs(
    requests: AsyncIterator[speech_pb2.ConverseRequest],
) -> AsyncIterator[DialogueInput]:
    """What comes after the first message. Raises `ServiceError` for what is no input at all."""
    async for request in requests:
        match request.WhichOneof("payload"):
            case "audio":
                yield Audio(request.audio)
            case "text":
                yield Text(request.text)
            case "interrupt":
                known = request.interrupt.HasField("played_duration")
                played = seconds_of(request.interrupt.played_duration) if known else None
                yield Interrupt(played)
            case "commit":
                yield Commit()
            case "clear":
                yield Clear()
            case "message":
                yield _or_refused(lambda message: message_of(message, "message"), request.message)
            case "respond":
                yield _or_refused(_respond, request.respond)
            case "config":
                asked = _or_refused(dialogue_config, request.config)
                yield replace(asked, is_config=True) if isinstance(asked, Refused) else asked
            case _:
                raise invalid("payload", "is required in every message")


def converse_event(event: DialogueEvent) -> speech_pb2.ConverseResponse:
    """One event of a conversation."""
    response = speech_pb2.ConverseResponse
    match event:
        case Activity():
            return response(voice_activity=voice_activity(event))
        case Interim():
            return response(interim=interim_text(event))
        case Segment():
            return response(segment=segment_message(event))
        case UserTurn():
            return response(user_turn=speech_pb2.UserTurn(text=event.text))
        case Started() | Delta():
            told = stream_response(event)
            assert told is not None
            if isinstance(event, Started):
                return response(answer_started=told.started)
            return response(answer_delta=told.delta)
        case SynthesisStarted():
            return response(speech_started=synthesis_started(event))
        case AudioPart():
            return response(audio=event.data)
        case Interrupted():
            return response(
                interrupted=speech_pb2.Interrupted(
                    spoken_text=event.spoken_text, played_duration=duration(event.played)
                )
            )
        case TurnDone():
            return response(turn_done=speech_pb2.TurnDone(usage=usage_message(event.usage)))
        case TurnFailed():
            return response(turn_failed=_turn_failed(event.error, event.stage))
        case Configured():
            configured = speech_pb2.Configured()
            if event.error is not None:
                configured.refused.CopyFrom(_turn_failed(event.error, Stage.INPUT))
            return response(configured=configured)


def _or_refused(convert: Callable[[M], DialogueInput], message: M) -> DialogueInput:
    try:
        return convert(message)
    except ServiceError as error:
        return Refused(error)


def _respond(message: speech_pb2.Respond) -> Respond:
    return Respond(dialogue_config(message.config) if message.HasField("config") else None)


def _turn_failed(error: ServiceError, stage: Stage) -> speech_pb2.TurnFailed:
    failed = speech_pb2.TurnFailed(
        reason=f"ERROR_REASON_{error.reason.value}",
        message=error.message,
        field=error.field or "",
        stage=_STAGES[stage],
    )
    if error.retry_after is not None:
        failed.retry_delay.CopyFrom(duration(error.retry_after))
    return failed
