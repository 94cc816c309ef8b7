import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from sterna.v1 import audio_pb2 as _audio_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecognitionTask(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECOGNITION_TASK_UNSPECIFIED: _ClassVar[RecognitionTask]
    RECOGNITION_TASK_TRANSCRIBE: _ClassVar[RecognitionTask]
    RECOGNITION_TASK_TRANSLATE: _ClassVar[RecognitionTask]
RECOGNITION_TASK_UNSPECIFIED: RecognitionTask
RECOGNITION_TASK_TRANSCRIBE: RecognitionTask
RECOGNITION_TASK_TRANSLATE: RecognitionTask

class RecognitionConfig(_message.Message):
    __slots__ = ("model_id", "task", "language", "prompt", "temperature", "word_timestamps", "voice_activity_filter", "encoding", "sample_rate_hertz", "channel_count", "interim_results")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    WORD_TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    VOICE_ACTIVITY_FILTER_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    task: RecognitionTask
    language: str
    prompt: str
    temperature: float
    word_timestamps: bool
    voice_activity_filter: bool
    encoding: _audio_pb2.AudioEncoding
    sample_rate_hertz: int
    channel_count: int
    interim_results: bool
    def __init__(self, model_id: _Optional[str] = ..., task: _Optional[_Union[RecognitionTask, str]] = ..., language: _Optional[str] = ..., prompt: _Optional[str] = ..., temperature: _Optional[float] = ..., word_timestamps: _Optional[bool] = ..., voice_activity_filter: _Optional[bool] = ..., encoding: _Optional[_Union[_audio_pb2.AudioEncoding, str]] = ..., sample_rate_hertz: _Optional[int] = ..., channel_count: _Optional[int] = ..., interim_results: _Optional[bool] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("text", "start_offset", "end_offset", "probability")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    text: str
    start_offset: _duration_pb2.Duration
    end_offset: _duration_pb2.Duration
    probability: float
    def __init__(self, text: _Optional[str] = ..., start_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., probability: _Optional[float] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("index", "start_offset", "end_offset", "text", "words", "token_ids", "temperature", "average_logprob", "compression_ratio", "no_speech_probability")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_LOGPROB_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_RATIO_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    index: int
    start_offset: _duration_pb2.Duration
    end_offset: _duration_pb2.Duration
    text: str
    words: _containers.RepeatedCompositeFieldContainer[Word]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    temperature: float
    average_logprob: float
    compression_ratio: float
    no_speech_probability: float
    def __init__(self, index: _Optional[int] = ..., start_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., text: _Optional[str] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ..., token_ids: _Optional[_Iterable[int]] = ..., temperature: _Optional[float] = ..., average_logprob: _Optional[float] = ..., compression_ratio: _Optional[float] = ..., no_speech_probability: _Optional[float] = ...) -> None: ...

class RecognitionInfo(_message.Message):
    __slots__ = ("transcription_id", "model_id", "language", "language_probability")
    TRANSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    transcription_id: str
    model_id: str
    language: str
    language_probability: float
    def __init__(self, transcription_id: _Optional[str] = ..., model_id: _Optional[str] = ..., language: _Optional[str] = ..., language_probability: _Optional[float] = ...) -> None: ...

class VoiceActivity(_message.Message):
    __slots__ = ("type", "offset")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_UNSPECIFIED: _ClassVar[VoiceActivity.Type]
        TYPE_BEGIN: _ClassVar[VoiceActivity.Type]
        TYPE_END: _ClassVar[VoiceActivity.Type]
    TYPE_UNSPECIFIED: VoiceActivity.Type
    TYPE_BEGIN: VoiceActivity.Type
    TYPE_END: VoiceActivity.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    type: VoiceActivity.Type
    offset: _duration_pb2.Duration
    def __init__(self, type: _Optional[_Union[VoiceActivity.Type, str]] = ..., offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class InterimText(_message.Message):
    __slots__ = ("text", "end_offset")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    text: str
    end_offset: _duration_pb2.Duration
    def __init__(self, text: _Optional[str] = ..., end_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RecognitionDone(_message.Message):
    __slots__ = ("text", "audio_duration")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_DURATION_FIELD_NUMBER: _ClassVar[int]
    text: str
    audio_duration: _duration_pb2.Duration
    def __init__(self, text: _Optional[str] = ..., audio_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
