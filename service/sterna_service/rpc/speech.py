"""SpeechService: speech to text, text to speech, voices, and spoken conversations."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import speech_pb2, speech_pb2_grpc
from sterna_service.dialogue.dialogue import Dialogue
from sterna_service.errors import Reason, ServiceError
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.sessions import Sessions
from sterna_service.models.events import EventKind, EventLog
from sterna_service.models.registry import ModelRegistry
from sterna_service.rpc.calls import current_call, owner_of_call
from sterna_service.rpc.converse import (
    check_scopes,
    converse_event,
    dialogue_config,
    dialogue_inputs,
    generator,
)
from sterna_service.rpc.from_speech import (
    TranscriptBuilder,
    stream_synthesize_event,
    synthesize_event,
    transcribe_event,
    voice_message,
)
from sterna_service.rpc.pages import page_of
from sterna_service.rpc.to_speech import (
    audio_parts,
    first_config,
    live_format,
    recognition_request,
    synthesis_request,
    text_parts,
)
from sterna_service.speech.runtime import Speech
from sterna_service.speech.types import (
    RecognitionDone,
    RecognitionEvent,
    RecognitionStarted,
    SynthesisDone,
    SynthesisEvent,
    SynthesisStarted,
)

Context = ServicerContext[Any, Any]


class SpeechServicer(speech_pb2_grpc.SpeechServiceServicer):
    """Recognition, synthesis, voices, and conversations with `models`; without `speech`, refusals.

    `log` hears what was done.
    """

    def __init__(
        self,
        speech: Speech | None,
        models: ModelRegistry,
        sessions: Sessions,
        harnesses: Harnesses,
        log: EventLog,
    ) -> None:
        self._speech_or_none = speech
        self._models = models
        self._sessions = sessions
        self._harnesses = harnesses
        self._log = log

    async def Transcribe(
        self, request_iterator: AsyncIterator[speech_pb2.TranscribeRequest], context: Context
    ) -> speech_pb2.TranscribeResponse:
        speech, requests = self._speech(), aiter(request_iterator)
        config = recognition_request(await first_config(requests))
        builder = TranscriptBuilder()
        events = speech.recognition.transcribe(config, audio_parts(requests))
        async with contextlib.aclosing(events):
            async for event in events:
                await self._note_recognition(event)
                builder.add(event)
        return builder.build()

    async def StreamTranscribe(
        self, request_iterator: AsyncIterator[speech_pb2.StreamTranscribeRequest], context: Context
    ) -> AsyncGenerator[speech_pb2.StreamTranscribeResponse]:
        speech, requests = self._speech(), aiter(request_iterator)
        config = await first_config(requests)
        request, live = recognition_request(config), live_format(config)
        parts = audio_parts(requests)
        events = (
            speech.recognition.transcribe(request, parts)
            if live is None
            else speech.recognition.listen(request, live, parts)
        )
        async with contextlib.aclosing(events):
            async for event in events:
                await self._note_recognition(event)
                if (response := transcribe_event(event)) is not None:
                    yield response

    async def Synthesize(
        self, request: speech_pb2.SynthesizeRequest, context: Context
    ) -> AsyncGenerator[speech_pb2.SynthesizeResponse]:
        config = synthesis_request(request.config)
        events = self._speech().synthesis.speak(config, request.text)
        async with contextlib.aclosing(events):
            async for event in events:
                _note_synthesis(event)
                if (response := synthesize_event(event)) is not None:
                    yield response

    async def StreamSynthesize(
        self, request_iterator: AsyncIterator[speech_pb2.StreamSynthesizeRequest], context: Context
    ) -> AsyncGenerator[speech_pb2.StreamSynthesizeResponse]:
        speech, requests = self._speech(), aiter(request_iterator)
        config = synthesis_request(await first_config(requests))
        events = speech.synthesis.speak_stream(config, text_parts(requests))
        async with contextlib.aclosing(events):
            async for event in events:
                _note_synthesis(event)
                if (response := stream_synthesize_event(event)) is not None:
                    yield response

    async def Converse(
        self, request_iterator: AsyncIterator[speech_pb2.ConverseRequest], context: Context
    ) -> AsyncGenerator[speech_pb2.ConverseResponse]:
        check_scopes(current_call().caller.key)
        speech, requests = self._speech(), aiter(request_iterator)
        # Callers that wait for this write nothing into a refusal.
        await current_call().greet(context)
        first = await first_config(requests)
        generate = generator(self._models, self._harnesses, first.generation.adapter_id)
        dialogue = Dialogue(speech, self._sessions, owner_of_call(), generate)
        events = dialogue.run(dialogue_config(first), dialogue_inputs(requests))
        async with contextlib.aclosing(events):
            async for event in events:
                yield converse_event(event)

    async def GetVoice(
        self, request: speech_pb2.GetVoiceRequest, context: Context
    ) -> speech_pb2.GetVoiceResponse:
        voice = await self._speech().voices.get(request.voice_id)
        return speech_pb2.GetVoiceResponse(voice=voice_message(voice))

    async def ListVoices(
        self, request: speech_pb2.ListVoicesRequest, context: Context
    ) -> speech_pb2.ListVoicesResponse:
        voices = await self._speech().voices.all()
        page, token = page_of(
            voices, lambda voice: voice.voice_id, request.page_size, request.page_token
        )
        return speech_pb2.ListVoicesResponse(voices=map(voice_message, page), next_page_token=token)

    async def CreateVoice(
        self, request_iterator: AsyncIterator[speech_pb2.CreateVoiceRequest], context: Context
    ) -> speech_pb2.CreateVoiceResponse:
        speech, requests = self._speech(), aiter(request_iterator)
        config = await first_config(requests)
        voice = await speech.voices.create(
            config.voice_id, config.language, config.consent, audio_parts(requests)
        )
        return speech_pb2.CreateVoiceResponse(voice=voice_message(voice))

    async def DeleteVoice(
        self, request: speech_pb2.DeleteVoiceRequest, context: Context
    ) -> speech_pb2.DeleteVoiceResponse:
        await self._speech().voices.delete(request.voice_id)
        return speech_pb2.DeleteVoiceResponse()

    def _speech(self) -> Speech:
        if self._speech_or_none is None:
            raise ServiceError(
                Reason.SPEECH_DISABLED,
                "this server runs without speech; start it with --voice",
            )
        return self._speech_or_none

    async def _note_recognition(self, event: RecognitionEvent) -> None:
        notes = current_call().notes
        if isinstance(event, RecognitionStarted):
            notes["model"] = event.model_id
            notes["transcription_id"] = event.transcription_id
        elif isinstance(event, RecognitionDone):
            notes["audio_seconds"] = round(event.duration, 3)
            self._log.add(
                EventKind.TRANSCRIPTION_COMPLETED,
                model_id=str(notes["model"]),
                transcription_id=str(notes["transcription_id"]),
            )
            # Before the client learns that it is done.
            await self._log.settle()


def _note_synthesis(event: SynthesisEvent) -> None:
    notes = current_call().notes
    if isinstance(event, SynthesisStarted):
        notes["model"] = event.model_id
        notes["synthesis_id"] = event.synthesis_id
    elif isinstance(event, SynthesisDone):
        notes["audio_seconds"] = round(event.duration, 3)
