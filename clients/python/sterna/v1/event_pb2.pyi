import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_STARTED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_STOPPED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_FAILED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_ADDED: _ClassVar[EventType]
    EVENT_TYPE_MODEL_DELETED: _ClassVar[EventType]
    EVENT_TYPE_ADAPTER_LOADED: _ClassVar[EventType]
    EVENT_TYPE_ADAPTER_UNLOADED: _ClassVar[EventType]
    EVENT_TYPE_TRANSCRIPTION_COMPLETED: _ClassVar[EventType]
    EVENT_TYPE_SERVER_DRAINING: _ClassVar[EventType]
    EVENT_TYPE_ADAPTER_ADDED: _ClassVar[EventType]
    EVENT_TYPE_ADAPTER_DELETED: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_MODEL_STARTED: EventType
EVENT_TYPE_MODEL_STOPPED: EventType
EVENT_TYPE_MODEL_FAILED: EventType
EVENT_TYPE_MODEL_ADDED: EventType
EVENT_TYPE_MODEL_DELETED: EventType
EVENT_TYPE_ADAPTER_LOADED: EventType
EVENT_TYPE_ADAPTER_UNLOADED: EventType
EVENT_TYPE_TRANSCRIPTION_COMPLETED: EventType
EVENT_TYPE_SERVER_DRAINING: EventType
EVENT_TYPE_ADAPTER_ADDED: EventType
EVENT_TYPE_ADAPTER_DELETED: EventType

class ServerEvent(_message.Message):
    __slots__ = ("revision", "type", "event_time", "model_id", "adapter_id", "reason", "message", "transcription_id")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    revision: int
    type: EventType
    event_time: _timestamp_pb2.Timestamp
    model_id: str
    adapter_id: str
    reason: str
    message: str
    transcription_id: str
    def __init__(self, revision: _Optional[int] = ..., type: _Optional[_Union[EventType, str]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model_id: _Optional[str] = ..., adapter_id: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., transcription_id: _Optional[str] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("webhook_id", "url", "event_types", "create_time", "disabled", "last_success_time", "last_failure_time")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_TIME_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    url: str
    event_types: _containers.RepeatedScalarFieldContainer[EventType]
    create_time: _timestamp_pb2.Timestamp
    disabled: bool
    last_success_time: _timestamp_pb2.Timestamp
    last_failure_time: _timestamp_pb2.Timestamp
    def __init__(self, webhook_id: _Optional[str] = ..., url: _Optional[str] = ..., event_types: _Optional[_Iterable[_Union[EventType, str]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., disabled: _Optional[bool] = ..., last_success_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_failure_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WebhookDelivery(_message.Message):
    __slots__ = ("delivery_id", "webhook_id", "event_type", "revision", "attempt_time", "attempt_count", "http_status", "message", "next_attempt_time")
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    delivery_id: str
    webhook_id: str
    event_type: EventType
    revision: int
    attempt_time: _timestamp_pb2.Timestamp
    attempt_count: int
    http_status: int
    message: str
    next_attempt_time: _timestamp_pb2.Timestamp
    def __init__(self, delivery_id: _Optional[str] = ..., webhook_id: _Optional[str] = ..., event_type: _Optional[_Union[EventType, str]] = ..., revision: _Optional[int] = ..., attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt_count: _Optional[int] = ..., http_status: _Optional[int] = ..., message: _Optional[str] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
