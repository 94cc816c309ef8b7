import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sterna.v1 import chat_pb2 as _chat_pb2
from sterna.v1 import generation_event_pb2 as _generation_event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AnswerStorage(_message.Message):
    __slots__ = ("store", "previous_response_id", "instructions", "document", "ttl")
    STORE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    store: bool
    previous_response_id: str
    instructions: str
    document: str
    ttl: _duration_pb2.Duration
    def __init__(self, store: _Optional[bool] = ..., previous_response_id: _Optional[str] = ..., instructions: _Optional[str] = ..., document: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StoredAnswer(_message.Message):
    __slots__ = ("response_id", "previous_response_id", "model_id", "create_time", "expire_time", "messages", "choice", "usage", "document")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    previous_response_id: str
    model_id: str
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    messages: _containers.RepeatedCompositeFieldContainer[_chat_pb2.ChatMessage]
    choice: _generation_event_pb2.Choice
    usage: _generation_event_pb2.Usage
    document: str
    def __init__(self, response_id: _Optional[str] = ..., previous_response_id: _Optional[str] = ..., model_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_chat_pb2.ChatMessage, _Mapping]]] = ..., choice: _Optional[_Union[_generation_event_pb2.Choice, _Mapping]] = ..., usage: _Optional[_Union[_generation_event_pb2.Usage, _Mapping]] = ..., document: _Optional[str] = ...) -> None: ...
