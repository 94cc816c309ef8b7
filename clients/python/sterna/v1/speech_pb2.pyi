import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sterna.v1 import audio_pb2 as _audio_pb2
from sterna.v1 import chat_pb2 as _chat_pb2
from sterna.v1 import error_reason_pb2 as _error_reason_pb2
from sterna.v1 import generation_pb2 as _generation_pb2
from sterna.v1 import generation_event_pb2 as _generation_event_pb2
from sterna.v1 import recognition_pb2 as _recognition_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TranscribeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: _recognition_pb2.RecognitionConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[_recognition_pb2.RecognitionConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class TranscribeResponse(_message.Message):
    __slots__ = ("info", "text", "audio_duration", "segments")
    INFO_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_DURATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    info: _recognition_pb2.RecognitionInfo
    text: str
    audio_duration: _duration_pb2.Duration
    segments: _containers.RepeatedCompositeFieldContainer[_recognition_pb2.Segment]
    def __init__(self, info: _Optional[_Union[_recognition_pb2.RecognitionInfo, _Mapping]] = ..., text: _Optional[str] = ..., audio_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[_recognition_pb2.Segment, _Mapping]]] = ...) -> None: ...

class StreamTranscribeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: _recognition_pb2.RecognitionConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[_recognition_pb2.RecognitionConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class StreamTranscribeResponse(_message.Message):
    __slots__ = ("started", "voice_activity", "interim", "segment", "done")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    VOICE_ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    INTERIM_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    started: _recognition_pb2.RecognitionInfo
    voice_activity: _recognition_pb2.VoiceActivity
    interim: _recognition_pb2.InterimText
    segment: _recognition_pb2.Segment
    done: _recognition_pb2.RecognitionDone
    def __init__(self, started: _Optional[_Union[_recognition_pb2.RecognitionInfo, _Mapping]] = ..., voice_activity: _Optional[_Union[_recognition_pb2.VoiceActivity, _Mapping]] = ..., interim: _Optional[_Union[_recognition_pb2.InterimText, _Mapping]] = ..., segment: _Optional[_Union[_recognition_pb2.Segment, _Mapping]] = ..., done: _Optional[_Union[_recognition_pb2.RecognitionDone, _Mapping]] = ...) -> None: ...

class SynthesisConfig(_message.Message):
    __slots__ = ("model_id", "voice_id", "encoding", "sample_rate_hertz", "speed")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    voice_id: str
    encoding: _audio_pb2.AudioEncoding
    sample_rate_hertz: int
    speed: float
    def __init__(self, model_id: _Optional[str] = ..., voice_id: _Optional[str] = ..., encoding: _Optional[_Union[_audio_pb2.AudioEncoding, str]] = ..., sample_rate_hertz: _Optional[int] = ..., speed: _Optional[float] = ...) -> None: ...

class SynthesizeRequest(_message.Message):
    __slots__ = ("config", "text")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    config: SynthesisConfig
    text: str
    def __init__(self, config: _Optional[_Union[SynthesisConfig, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class SynthesisStarted(_message.Message):
    __slots__ = ("synthesis_id", "model_id", "voice_id", "encoding", "sample_rate_hertz", "channel_count")
    SYNTHESIS_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    synthesis_id: str
    model_id: str
    voice_id: str
    encoding: _audio_pb2.AudioEncoding
    sample_rate_hertz: int
    channel_count: int
    def __init__(self, synthesis_id: _Optional[str] = ..., model_id: _Optional[str] = ..., voice_id: _Optional[str] = ..., encoding: _Optional[_Union[_audio_pb2.AudioEncoding, str]] = ..., sample_rate_hertz: _Optional[int] = ..., channel_count: _Optional[int] = ...) -> None: ...

class SynthesisDone(_message.Message):
    __slots__ = ("audio_duration", "character_count")
    AUDIO_DURATION_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    audio_duration: _duration_pb2.Duration
    character_count: int
    def __init__(self, audio_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., character_count: _Optional[int] = ...) -> None: ...

class SynthesizeResponse(_message.Message):
    __slots__ = ("started", "audio", "done")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    started: SynthesisStarted
    audio: bytes
    done: SynthesisDone
    def __init__(self, started: _Optional[_Union[SynthesisStarted, _Mapping]] = ..., audio: _Optional[bytes] = ..., done: _Optional[_Union[SynthesisDone, _Mapping]] = ...) -> None: ...

class StreamSynthesizeRequest(_message.Message):
    __slots__ = ("config", "text", "flush")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    config: SynthesisConfig
    text: str
    flush: SpeakNow
    def __init__(self, config: _Optional[_Union[SynthesisConfig, _Mapping]] = ..., text: _Optional[str] = ..., flush: _Optional[_Union[SpeakNow, _Mapping]] = ...) -> None: ...

class SpeakNow(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamSynthesizeResponse(_message.Message):
    __slots__ = ("started", "audio", "done")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    started: SynthesisStarted
    audio: bytes
    done: SynthesisDone
    def __init__(self, started: _Optional[_Union[SynthesisStarted, _Mapping]] = ..., audio: _Optional[bytes] = ..., done: _Optional[_Union[SynthesisDone, _Mapping]] = ...) -> None: ...

class ConversationConfig(_message.Message):
    __slots__ = ("recognition", "generation", "synthesis", "interruptible", "turns_by_hand", "answer_turns", "text_only")
    RECOGNITION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIS_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIBLE_FIELD_NUMBER: _ClassVar[int]
    TURNS_BY_HAND_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TURNS_FIELD_NUMBER: _ClassVar[int]
    TEXT_ONLY_FIELD_NUMBER: _ClassVar[int]
    recognition: _recognition_pb2.RecognitionConfig
    generation: _generation_pb2.GenerationSpec
    synthesis: SynthesisConfig
    interruptible: bool
    turns_by_hand: bool
    answer_turns: bool
    text_only: bool
    def __init__(self, recognition: _Optional[_Union[_recognition_pb2.RecognitionConfig, _Mapping]] = ..., generation: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ..., synthesis: _Optional[_Union[SynthesisConfig, _Mapping]] = ..., interruptible: _Optional[bool] = ..., turns_by_hand: _Optional[bool] = ..., answer_turns: _Optional[bool] = ..., text_only: _Optional[bool] = ...) -> None: ...

class ConverseRequest(_message.Message):
    __slots__ = ("config", "audio", "text", "interrupt", "commit", "clear", "message", "respond")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RESPOND_FIELD_NUMBER: _ClassVar[int]
    config: ConversationConfig
    audio: bytes
    text: str
    interrupt: Interrupt
    commit: CommitAudio
    clear: ClearAudio
    message: _chat_pb2.ChatMessage
    respond: Respond
    def __init__(self, config: _Optional[_Union[ConversationConfig, _Mapping]] = ..., audio: _Optional[bytes] = ..., text: _Optional[str] = ..., interrupt: _Optional[_Union[Interrupt, _Mapping]] = ..., commit: _Optional[_Union[CommitAudio, _Mapping]] = ..., clear: _Optional[_Union[ClearAudio, _Mapping]] = ..., message: _Optional[_Union[_chat_pb2.ChatMessage, _Mapping]] = ..., respond: _Optional[_Union[Respond, _Mapping]] = ...) -> None: ...

class Interrupt(_message.Message):
    __slots__ = ("played_duration",)
    PLAYED_DURATION_FIELD_NUMBER: _ClassVar[int]
    played_duration: _duration_pb2.Duration
    def __init__(self, played_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CommitAudio(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClearAudio(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Respond(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: ConversationConfig
    def __init__(self, config: _Optional[_Union[ConversationConfig, _Mapping]] = ...) -> None: ...

class Configured(_message.Message):
    __slots__ = ("refused",)
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    refused: TurnFailed
    def __init__(self, refused: _Optional[_Union[TurnFailed, _Mapping]] = ...) -> None: ...

class UserTurn(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Interrupted(_message.Message):
    __slots__ = ("spoken_text", "played_duration")
    SPOKEN_TEXT_FIELD_NUMBER: _ClassVar[int]
    PLAYED_DURATION_FIELD_NUMBER: _ClassVar[int]
    spoken_text: str
    played_duration: _duration_pb2.Duration
    def __init__(self, spoken_text: _Optional[str] = ..., played_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TurnDone(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: _generation_event_pb2.Usage
    def __init__(self, usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ...) -> None: ...

class TurnFailed(_message.Message):
    __slots__ = ("reason", "message", "field", "retry_delay", "stage")
    class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STAGE_UNSPECIFIED: _ClassVar[TurnFailed.Stage]
        STAGE_INPUT: _ClassVar[TurnFailed.Stage]
        STAGE_RECOGNITION: _ClassVar[TurnFailed.Stage]
        STAGE_ANSWER: _ClassVar[TurnFailed.Stage]
    STAGE_UNSPECIFIED: TurnFailed.Stage
    STAGE_INPUT: TurnFailed.Stage
    STAGE_RECOGNITION: TurnFailed.Stage
    STAGE_ANSWER: TurnFailed.Stage
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    reason: _error_reason_pb2.ErrorReason
    message: str
    field: str
    retry_delay: _duration_pb2.Duration
    stage: TurnFailed.Stage
    def __init__(self, reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stage: _Optional[_Union[TurnFailed.Stage, str]] = ...) -> None: ...

class ConverseResponse(_message.Message):
    __slots__ = ("voice_activity", "interim", "segment", "answer_started", "answer_delta", "speech_started", "audio", "interrupted", "turn_done", "user_turn", "turn_failed", "configured")
    VOICE_ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    INTERIM_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_STARTED_FIELD_NUMBER: _ClassVar[int]
    ANSWER_DELTA_FIELD_NUMBER: _ClassVar[int]
    SPEECH_STARTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTED_FIELD_NUMBER: _ClassVar[int]
    TURN_DONE_FIELD_NUMBER: _ClassVar[int]
    USER_TURN_FIELD_NUMBER: _ClassVar[int]
    TURN_FAILED_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    voice_activity: _recognition_pb2.VoiceActivity
    interim: _recognition_pb2.InterimText
    segment: _recognition_pb2.Segment
    answer_started: _generation_event_pb2.GenerationStarted
    answer_delta: _generation_event_pb2.GenerationDelta
    speech_started: SynthesisStarted
    audio: bytes
    interrupted: Interrupted
    turn_done: TurnDone
    user_turn: UserTurn
    turn_failed: TurnFailed
    configured: Configured
    def __init__(self, voice_activity: _Optional[_Union[_recognition_pb2.VoiceActivity, _Mapping]] = ..., interim: _Optional[_Union[_recognition_pb2.InterimText, _Mapping]] = ..., segment: _Optional[_Union[_recognition_pb2.Segment, _Mapping]] = ..., answer_started: _Optional[_Union[_generation_event_pb2.GenerationStarted, _Mapping]] = ..., answer_delta: _Optional[_Union[_generation_event_pb2.GenerationDelta, _Mapping]] = ..., speech_started: _Optional[_Union[SynthesisStarted, _Mapping]] = ..., audio: _Optional[bytes] = ..., interrupted: _Optional[_Union[Interrupted, _Mapping]] = ..., turn_done: _Optional[_Union[TurnDone, _Mapping]] = ..., user_turn: _Optional[_Union[UserTurn, _Mapping]] = ..., turn_failed: _Optional[_Union[TurnFailed, _Mapping]] = ..., configured: _Optional[_Union[Configured, _Mapping]] = ...) -> None: ...

class Voice(_message.Message):
    __slots__ = ("voice_id", "built_in", "languages", "create_time", "sample_duration", "consent_time", "usable", "engine")
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    BUILT_IN_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_DURATION_FIELD_NUMBER: _ClassVar[int]
    CONSENT_TIME_FIELD_NUMBER: _ClassVar[int]
    USABLE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    voice_id: str
    built_in: bool
    languages: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    sample_duration: _duration_pb2.Duration
    consent_time: _timestamp_pb2.Timestamp
    usable: bool
    engine: str
    def __init__(self, voice_id: _Optional[str] = ..., built_in: _Optional[bool] = ..., languages: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sample_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., consent_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., usable: _Optional[bool] = ..., engine: _Optional[str] = ...) -> None: ...

class GetVoiceRequest(_message.Message):
    __slots__ = ("voice_id",)
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    voice_id: str
    def __init__(self, voice_id: _Optional[str] = ...) -> None: ...

class GetVoiceResponse(_message.Message):
    __slots__ = ("voice",)
    VOICE_FIELD_NUMBER: _ClassVar[int]
    voice: Voice
    def __init__(self, voice: _Optional[_Union[Voice, _Mapping]] = ...) -> None: ...

class ListVoicesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVoicesResponse(_message.Message):
    __slots__ = ("voices", "next_page_token")
    VOICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    voices: _containers.RepeatedCompositeFieldContainer[Voice]
    next_page_token: str
    def __init__(self, voices: _Optional[_Iterable[_Union[Voice, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VoiceConfig(_message.Message):
    __slots__ = ("voice_id", "consent", "language")
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    voice_id: str
    consent: bool
    language: str
    def __init__(self, voice_id: _Optional[str] = ..., consent: _Optional[bool] = ..., language: _Optional[str] = ...) -> None: ...

class CreateVoiceRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: VoiceConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[VoiceConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class CreateVoiceResponse(_message.Message):
    __slots__ = ("voice",)
    VOICE_FIELD_NUMBER: _ClassVar[int]
    voice: Voice
    def __init__(self, voice: _Optional[_Union[Voice, _Mapping]] = ...) -> None: ...

class DeleteVoiceRequest(_message.Message):
    __slots__ = ("voice_id",)
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    voice_id: str
    def __init__(self, voice_id: _Optional[str] = ...) -> None: ...

class DeleteVoiceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
