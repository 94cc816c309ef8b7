"""A session's settings: what the client set ↔ protocol. Nothing here waits or sends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sterna.v1.audio_pb2 import AUDIO_ENCODING_PCM_S16LE
from sterna.v1.chat_pb2 import ChatPrompt
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.recognition_pb2 import RecognitionConfig
from sterna.v1.speech_pb2 import ConversationConfig, SynthesisConfig
from sterna_rest.audio.languages import language_code
from sterna_rest.chat.transcode import text_message
from sterna_rest.realtime.schemas import (
    AudioInput,
    AudioOutput,
    MaxTokens,
    Modality,
    ResponseFields,
    SessionFields,
    Transcription,
    TurnDetection,
    VoiceId,
)

# What the core's detector does; it takes no other values.
_VOICE_ACTIVITY = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """All settings of a session."""

    model: str = ""
    instructions: str = ""
    modality: Modality = "audio"
    max_output_tokens: MaxTokens = "inf"
    input_rate: int = 24_000
    transcription: Transcription = field(default_factory=Transcription)
    turn_detection: TurnDetection | None = field(
        default_factory=lambda: TurnDetection(type="server_vad")
    )
    voice: str = ""
    speed: float = 1.0
    output_rate: int = 24_000

    def updated(self, fields: SessionFields) -> SessionSettings:
        """With what a client changes."""
        changed = replace(self, model=self.model if fields.model is None else fields.model)
        if fields.instructions is not None:
            changed = replace(changed, instructions=fields.instructions)
        if fields.output_modalities is not None:
            changed = replace(changed, modality=fields.output_modalities[0])
        if fields.max_output_tokens is not None:
            changed = replace(changed, max_output_tokens=fields.max_output_tokens)
        if fields.audio is not None and fields.audio.input is not None:
            changed = changed._hearing(fields.audio.input)
        if fields.audio is not None and fields.audio.output is not None:
            changed = changed._speaking(fields.audio.output)
        return changed

    def for_response(self, fields: ResponseFields) -> SessionSettings:
        """With what is different about one answer."""
        return self.updated(
            SessionFields(
                instructions=fields.instructions,
                output_modalities=fields.output_modalities,
                max_output_tokens=fields.max_output_tokens,
            )
        )

    def config(self) -> ConversationConfig:
        """As the core takes them."""
        spec = GenerationSpec(model_id=self.model, chat=ChatPrompt())
        if self.instructions:
            spec.chat.messages.append(text_message("system", self.instructions))
        if self.max_output_tokens != "inf":
            spec.stop.max_tokens = self.max_output_tokens
        detection = self.turn_detection
        return ConversationConfig(
            recognition=RecognitionConfig(
                model_id=self.transcription.model,
                language=language_code(self.transcription.language),
                prompt=self.transcription.prompt,
                encoding=AUDIO_ENCODING_PCM_S16LE,
                sample_rate_hertz=self.input_rate,
                interim_results=True,
            ),
            generation=spec,
            synthesis=SynthesisConfig(
                voice_id=self.voice,
                encoding=AUDIO_ENCODING_PCM_S16LE,
                sample_rate_hertz=self.output_rate,
                speed=self.speed,
            ),
            interruptible=detection is not None and detection.interrupt_response,
            turns_by_hand=detection is None,
            answer_turns=detection is not None and detection.create_response,
            text_only=self.modality == "text",
        )

    def json(self, session_id: str) -> dict[str, Any]:
        """As the client is told."""
        detection: dict[str, Any] | None = None
        if self.turn_detection is not None:
            detection = {
                "type": "server_vad",
                **_VOICE_ACTIVITY,
                "create_response": self.turn_detection.create_response,
                "interrupt_response": self.turn_detection.interrupt_response,
            }
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": self.model,
            "instructions": self.instructions,
            "output_modalities": [self.modality],
            "max_output_tokens": self.max_output_tokens,
            "tools": [],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": self.input_rate},
                    "transcription": {
                        "model": self.transcription.model or "whisper-1",
                        "language": self.transcription.language,
                        "prompt": self.transcription.prompt,
                    },
                    "turn_detection": detection,
                },
                "output": {
                    "format": {"type": "audio/pcm", "rate": self.output_rate},
                    "voice": self.voice or "alba",
                    "speed": self.speed,
                },
            },
        }

    def _hearing(self, given: AudioInput) -> SessionSettings:
        changed = self
        if given.format is not None:
            changed = replace(changed, input_rate=given.format.rate)
        if given.transcription is not None:
            changed = replace(changed, transcription=given.transcription)
        if "turn_detection" in given.model_fields_set:
            # Null is a value: turns end where the client says.
            changed = replace(changed, turn_detection=given.turn_detection)
        return changed

    def _speaking(self, given: AudioOutput) -> SessionSettings:
        changed = self
        if given.format is not None:
            changed = replace(changed, output_rate=given.format.rate)
        if given.voice is not None:
            voice = given.voice.id if isinstance(given.voice, VoiceId) else given.voice
            changed = replace(changed, voice=voice)
        if given.speed is not None:
            changed = replace(changed, speed=given.speed)
        return changed


_PARAMETERS = {
    "config.generation.model_id": "session.model",
    "config.generation.stop.max_tokens": "session.max_output_tokens",
    "config.recognition.model_id": "session.audio.input.transcription.model",
    "config.recognition.language": "session.audio.input.transcription.language",
    "config.recognition.prompt": "session.audio.input.transcription.prompt",
    "config.recognition.sample_rate_hertz": "session.audio.input.format.rate",
    "config.synthesis.voice_id": "session.audio.output.voice",
    "config.synthesis.speed": "session.audio.output.speed",
    "config.synthesis.sample_rate_hertz": "session.audio.output.format.rate",
    "message": "item",
}


def realtime_parameter(name: str) -> str:
    """The client's name for a field of the protocol."""
    return _PARAMETERS.get(name, name)
