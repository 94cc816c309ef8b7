"""What a client may send on the socket. Fields that are not here are ignored."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag, TypeAdapter
from pydantic_core import PydanticCustomError

from sterna_rest.generation.fields import INT32_MAX, Items, RequestModel, discriminator_of_type

Modality = Literal["text", "audio"]
MaxTokens = Annotated[int, Field(ge=1, le=INT32_MAX)] | Literal["inf"]


def _modalities(value: list[Modality]) -> list[Modality]:
    if len(value) != 1:
        raise PydanticCustomError("one_modality", 'Input should be ["audio"] or ["text"]')
    return value


Modalities = Annotated[Items[Modality], AfterValidator(_modalities)]


class AudioFormat(RequestModel):
    """Raw samples: signed, 16 bits, little-endian, one channel."""

    type: Literal["audio/pcm"]
    rate: int = Field(24_000, ge=8000, le=48_000, description="Samples per second.")


class Transcription(RequestModel):
    """How speech is recognised."""

    model: str = ""
    language: str = ""
    prompt: str = ""


class TurnDetection(RequestModel):
    """Turns end at a silence."""

    type: Literal["server_vad"]
    create_response: bool = True
    interrupt_response: bool = True


class AudioInput(RequestModel):
    """The microphone."""

    format: AudioFormat | None = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = None


class VoiceId(RequestModel):
    """A voice by its id."""

    id: str


class AudioOutput(RequestModel):
    """The voice."""

    format: AudioFormat | None = None
    voice: str | VoiceId | None = None
    speed: float | None = Field(None, ge=0.25, le=4)


class SessionAudio(RequestModel):
    """Sound in and out."""

    input: AudioInput | None = None
    output: AudioOutput | None = None


class SessionFields(RequestModel):
    """What can be changed about a conversation; what is left out stays."""

    type: Literal["realtime"] = "realtime"
    model: str | None = None
    instructions: str | None = None
    output_modalities: Modalities | None = None
    max_output_tokens: MaxTokens | None = None
    tools: list[object] = Field(default_factory=list, max_length=0)
    audio: SessionAudio | None = None


class Event(RequestModel):
    """What all events have."""

    event_id: str | None = None


class SessionUpdate(Event):
    """Change the conversation."""

    type: Literal["session.update"]
    session: SessionFields


def _decoded(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("base64", "Input should be base64") from None
    return value


class AppendAudio(Event):
    """More from the microphone."""

    type: Literal["input_audio_buffer.append"]
    audio: Annotated[str, AfterValidator(_decoded)]


class CommitAudio(Event):
    """The turn ends here."""

    type: Literal["input_audio_buffer.commit"]


class ClearAudio(Event):
    """Forget what was said since the last turn."""

    type: Literal["input_audio_buffer.clear"]


class TextPart(RequestModel):
    """Text in a message."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class MessageItem(RequestModel):
    """A message of the conversation."""

    type: Literal["message"]
    id: str | None = Field(None, min_length=1, max_length=64)
    role: Literal["system", "user", "assistant"]
    content: Items[TextPart] = Field(min_length=1)


class CreateItem(Event):
    """Add a message to the end of the conversation."""

    type: Literal["conversation.item.create"]
    item: MessageItem


class TruncateItem(Event):
    """Say how much of the last answer was heard."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Literal[0] = 0
    audio_end_ms: int = Field(ge=0, le=INT32_MAX)


class ResponseFields(RequestModel):
    """What is different about one answer."""

    conversation: Literal["auto"] | None = None
    instructions: str | None = None
    output_modalities: Modalities | None = None
    max_output_tokens: MaxTokens | None = None
    tools: list[object] = Field(default_factory=list, max_length=0)
    input: list[object] = Field(default_factory=list, max_length=0)


class CreateResponse(Event):
    """Answer now."""

    type: Literal["response.create"]
    response: ResponseFields | None = None


class CancelResponse(Event):
    """Stop the answer."""

    type: Literal["response.cancel"]
    response_id: str | None = None


_TYPES: dict[str, type[Event]] = {
    "session.update": SessionUpdate,
    "input_audio_buffer.append": AppendAudio,
    "input_audio_buffer.commit": CommitAudio,
    "input_audio_buffer.clear": ClearAudio,
    "conversation.item.create": CreateItem,
    "conversation.item.truncate": TruncateItem,
    "response.create": CreateResponse,
    "response.cancel": CancelResponse,
}
ClientEvent = Annotated[
    Annotated[SessionUpdate, Tag("(session.update)")]
    | Annotated[AppendAudio, Tag("(input_audio_buffer.append)")]
    | Annotated[CommitAudio, Tag("(input_audio_buffer.commit)")]
    | Annotated[ClearAudio, Tag("(input_audio_buffer.clear)")]
    | Annotated[CreateItem, Tag("(conversation.item.create)")]
    | Annotated[TruncateItem, Tag("(conversation.item.truncate)")]
    | Annotated[CreateResponse, Tag("(response.create)")]
    | Annotated[CancelResponse, Tag("(response.cancel)")],
    discriminator_of_type(*_TYPES),
]
CLIENT_EVENT: TypeAdapter[
    SessionUpdate
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | CreateItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
] = TypeAdapter(ClientEvent)
