import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sterna.v1 import chat_pb2 as _chat_pb2
from sterna.v1 import generation_pb2 as _generation_pb2
from sterna.v1 import generation_event_pb2 as _generation_event_pb2
from sterna.v1 import session_pb2 as _session_pb2
from sterna.v1 import stored_answer_pb2 as _stored_answer_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pooling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POOLING_UNSPECIFIED: _ClassVar[Pooling]
    POOLING_MEAN: _ClassVar[Pooling]
    POOLING_LAST_TOKEN: _ClassVar[Pooling]
    POOLING_FIRST_TOKEN: _ClassVar[Pooling]
POOLING_UNSPECIFIED: Pooling
POOLING_MEAN: Pooling
POOLING_LAST_TOKEN: Pooling
POOLING_FIRST_TOKEN: Pooling

class GenerateRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _generation_pb2.GenerationSpec
    def __init__(self, spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("response_id", "create_time", "model_id", "adapter_id", "session_id", "choices", "usage", "prompt_text", "prompt_logprobs")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TEXT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    create_time: _timestamp_pb2.Timestamp
    model_id: str
    adapter_id: str
    session_id: str
    choices: _containers.RepeatedCompositeFieldContainer[_generation_event_pb2.Choice]
    usage: _generation_event_pb2.Usage
    prompt_text: str
    prompt_logprobs: _containers.RepeatedCompositeFieldContainer[_generation_event_pb2.TokenLogprob]
    def __init__(self, response_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model_id: _Optional[str] = ..., adapter_id: _Optional[str] = ..., session_id: _Optional[str] = ..., choices: _Optional[_Iterable[_Union[_generation_event_pb2.Choice, _Mapping]]] = ..., usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ..., prompt_text: _Optional[str] = ..., prompt_logprobs: _Optional[_Iterable[_Union[_generation_event_pb2.TokenLogprob, _Mapping]]] = ...) -> None: ...

class StreamGenerateRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _generation_pb2.GenerationSpec
    def __init__(self, spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ("started", "delta", "progress", "finished", "usage")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    started: _generation_event_pb2.GenerationStarted
    delta: _generation_event_pb2.GenerationDelta
    progress: _generation_event_pb2.GenerationProgress
    finished: _generation_event_pb2.ChoiceFinished
    usage: _generation_event_pb2.Usage
    def __init__(self, started: _Optional[_Union[_generation_event_pb2.GenerationStarted, _Mapping]] = ..., delta: _Optional[_Union[_generation_event_pb2.GenerationDelta, _Mapping]] = ..., progress: _Optional[_Union[_generation_event_pb2.GenerationProgress, _Mapping]] = ..., finished: _Optional[_Union[_generation_event_pb2.ChoiceFinished, _Mapping]] = ..., usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ...) -> None: ...

class TokenizeRequest(_message.Message):
    __slots__ = ("model_id", "text", "chat", "include_pieces")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PIECES_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    text: _generation_pb2.TextPrompt
    chat: _chat_pb2.ChatPrompt
    include_pieces: bool
    def __init__(self, model_id: _Optional[str] = ..., text: _Optional[_Union[_generation_pb2.TextPrompt, _Mapping]] = ..., chat: _Optional[_Union[_chat_pb2.ChatPrompt, _Mapping]] = ..., include_pieces: _Optional[bool] = ...) -> None: ...

class TokenizeResponse(_message.Message):
    __slots__ = ("model_id", "token_ids", "pieces", "prompt_text")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TEXT_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    pieces: _containers.RepeatedCompositeFieldContainer[TokenPiece]
    prompt_text: str
    def __init__(self, model_id: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., pieces: _Optional[_Iterable[_Union[TokenPiece, _Mapping]]] = ..., prompt_text: _Optional[str] = ...) -> None: ...

class TokenPiece(_message.Message):
    __slots__ = ("token_id", "raw_bytes", "text")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    RAW_BYTES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    token_id: int
    raw_bytes: bytes
    text: str
    def __init__(self, token_id: _Optional[int] = ..., raw_bytes: _Optional[bytes] = ..., text: _Optional[str] = ...) -> None: ...

class DetokenizeRequest(_message.Message):
    __slots__ = ("model_id", "token_ids", "skip_special_tokens")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    SKIP_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    skip_special_tokens: bool
    def __init__(self, model_id: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., skip_special_tokens: _Optional[bool] = ...) -> None: ...

class DetokenizeResponse(_message.Message):
    __slots__ = ("model_id", "text")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    text: str
    def __init__(self, model_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("model_id", "inputs", "dimension_count", "instruction", "prompt_name", "truncate")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_NAME_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    inputs: _containers.RepeatedCompositeFieldContainer[EmbedInput]
    dimension_count: int
    instruction: str
    prompt_name: str
    truncate: bool
    def __init__(self, model_id: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[EmbedInput, _Mapping]]] = ..., dimension_count: _Optional[int] = ..., instruction: _Optional[str] = ..., prompt_name: _Optional[str] = ..., truncate: _Optional[bool] = ...) -> None: ...

class StreamEmbedRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: EmbedRequest
    def __init__(self, request: _Optional[_Union[EmbedRequest, _Mapping]] = ...) -> None: ...

class StreamEmbedResponse(_message.Message):
    __slots__ = ("model_id", "embeddings", "pooling", "usage")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    pooling: Pooling
    usage: _generation_event_pb2.Usage
    def __init__(self, model_id: _Optional[str] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., pooling: _Optional[_Union[Pooling, str]] = ..., usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ...) -> None: ...

class EmbedInput(_message.Message):
    __slots__ = ("text", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _generation_pb2.TokenPrompt
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Union[_generation_pb2.TokenPrompt, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("model_id", "embeddings", "pooling", "usage")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    pooling: Pooling
    usage: _generation_event_pb2.Usage
    def __init__(self, model_id: _Optional[str] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., pooling: _Optional[_Union[Pooling, str]] = ..., usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ...) -> None: ...

class ComputeSimilaritiesRequest(_message.Message):
    __slots__ = ("model_id", "texts", "prompt_name")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_NAME_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    prompt_name: str
    def __init__(self, model_id: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., prompt_name: _Optional[str] = ...) -> None: ...

class ComputeSimilaritiesResponse(_message.Message):
    __slots__ = ("model_id", "similarities", "text_count", "usage")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    SIMILARITIES_FIELD_NUMBER: _ClassVar[int]
    TEXT_COUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    similarities: _containers.RepeatedScalarFieldContainer[float]
    text_count: int
    usage: _generation_event_pb2.Usage
    def __init__(self, model_id: _Optional[str] = ..., similarities: _Optional[_Iterable[float]] = ..., text_count: _Optional[int] = ..., usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("session_id", "model_id", "messages", "ttl")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    model_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_chat_pb2.ChatMessage]
    ttl: _duration_pb2.Duration
    def __init__(self, session_id: _Optional[str] = ..., model_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_chat_pb2.ChatMessage, _Mapping]]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id", "include_messages")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    include_messages: bool
    def __init__(self, session_id: _Optional[str] = ..., include_messages: _Optional[bool] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session", "messages")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    messages: _containers.RepeatedCompositeFieldContainer[_chat_pb2.ChatMessage]
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_chat_pb2.ChatMessage, _Mapping]]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[_session_pb2.Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[_session_pb2.Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAnswerRequest(_message.Message):
    __slots__ = ("response_id", "include_previous")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    include_previous: bool
    def __init__(self, response_id: _Optional[str] = ..., include_previous: _Optional[bool] = ...) -> None: ...

class GetAnswerResponse(_message.Message):
    __slots__ = ("answer", "previous")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    answer: _stored_answer_pb2.StoredAnswer
    previous: _containers.RepeatedCompositeFieldContainer[_stored_answer_pb2.StoredAnswer]
    def __init__(self, answer: _Optional[_Union[_stored_answer_pb2.StoredAnswer, _Mapping]] = ..., previous: _Optional[_Iterable[_Union[_stored_answer_pb2.StoredAnswer, _Mapping]]] = ...) -> None: ...

class DeleteAnswerRequest(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class DeleteAnswerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
