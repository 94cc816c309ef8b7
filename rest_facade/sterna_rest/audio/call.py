"""Speech calls to the core that end when the HTTP client leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
from fastapi import UploadFile
from fastapi.requests import HTTPConnection

from sterna.v1.recognition_pb2 import RecognitionConfig
from sterna.v1.speech_pb2 import (
    StreamTranscribeRequest,
    SynthesizeRequest,
    TranscribeRequest,
    TranscribeResponse,
)
from sterna_rest.audio.transcode import audio_parameter
from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError
from sterna_rest.errors.from_core import core_error, reason_of
from sterna_rest.http.request_context import request_context
from sterna_rest.http.upload import file_parts


def speech_error(error: grpc.aio.AioRpcError) -> ApiError:
    """What to raise for a failed call of speech.

    Its queue is short, and a client that finds it full should slow down: 429, and not the 503 of
    a server as a whole.
    """
    told = core_error(error, audio_parameter)
    if reason_of(error) == "QUEUE_FULL":
        return ApiError(429, told.message, code="rate_limit_exceeded", retry_after=told.retry_after)
    return told


class SpeechCalls:
    """Makes the speech calls of one HTTP request."""

    def __init__(self, core: CoreLink, request: HTTPConnection) -> None:
        self._stub = core.speech
        self._options: dict[str, Any] = {
            "timeout": core.options.generation_timeout_seconds,
            "metadata": request_context(request.scope).metadata(),
        }

    async def transcribe(self, config: RecognitionConfig, file: UploadFile) -> TranscribeResponse:
        """The whole transcript. Cancelling this cancels the call. Raises `ApiError`."""

        async def messages() -> AsyncIterator[TranscribeRequest]:
            yield TranscribeRequest(config=config)
            async for part in file_parts(file):
                yield TranscribeRequest(audio=part)

        try:
            return await self._stub.Transcribe(messages(), **self._options)
        except grpc.aio.AioRpcError as error:
            raise speech_error(error) from None

    def transcribe_stream(self, config: RecognitionConfig, file: UploadFile) -> SpeechStream:
        """Starts a transcription. The caller must see to it that it is cancelled or ends."""

        async def messages() -> AsyncIterator[StreamTranscribeRequest]:
            yield StreamTranscribeRequest(config=config)
            async for part in file_parts(file):
                yield StreamTranscribeRequest(audio=part)

        return SpeechStream(self._stub.StreamTranscribe(messages(), **self._options))

    def synthesize(self, message: SynthesizeRequest) -> SpeechStream:
        """Starts a synthesis. The caller must see to it that it is cancelled or ends."""
        return SpeechStream(self._stub.Synthesize(message, **self._options))


class SpeechStream:
    """The events of one streaming call."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        """Ends the call, and with it the work in the core. Harmless when it has ended."""
        self._call.cancel()

    async def first(self) -> Any:
        """The first event. Raises `ApiError`, and cancels the call when this is cancelled."""
        try:
            return await self._read()
        except BaseException:
            self.cancel()
            raise

    async def __aiter__(self) -> AsyncGenerator[Any]:
        while (event := await self._read()) is not None:
            yield event

    async def _read(self) -> Any:
        try:
            event = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise speech_error(error) from None
        return None if event is grpc.aio.EOF else event
