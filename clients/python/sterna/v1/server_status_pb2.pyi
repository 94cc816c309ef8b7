import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sterna.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVER_STATE_UNSPECIFIED: _ClassVar[ServerState]
    SERVER_STATE_STARTING: _ClassVar[ServerState]
    SERVER_STATE_RUNNING: _ClassVar[ServerState]
    SERVER_STATE_DRAINING: _ClassVar[ServerState]
SERVER_STATE_UNSPECIFIED: ServerState
SERVER_STATE_STARTING: ServerState
SERVER_STATE_RUNNING: ServerState
SERVER_STATE_DRAINING: ServerState

class Listener(_message.Message):
    __slots__ = ("protocol", "address", "port")
    class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PROTOCOL_UNSPECIFIED: _ClassVar[Listener.Protocol]
        PROTOCOL_GRPC: _ClassVar[Listener.Protocol]
        PROTOCOL_GRPC_UNIX: _ClassVar[Listener.Protocol]
    PROTOCOL_UNSPECIFIED: Listener.Protocol
    PROTOCOL_GRPC: Listener.Protocol
    PROTOCOL_GRPC_UNIX: Listener.Protocol
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    protocol: Listener.Protocol
    address: str
    port: int
    def __init__(self, protocol: _Optional[_Union[Listener.Protocol, str]] = ..., address: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("name", "version", "description", "features", "model_formats", "python_version", "platform", "start_time", "listeners")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FORMATS_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    description: str
    features: _containers.RepeatedScalarFieldContainer[str]
    model_formats: _containers.RepeatedScalarFieldContainer[str]
    python_version: str
    platform: str
    start_time: _timestamp_pb2.Timestamp
    listeners: _containers.RepeatedCompositeFieldContainer[Listener]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., model_formats: _Optional[_Iterable[str]] = ..., python_version: _Optional[str] = ..., platform: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., listeners: _Optional[_Iterable[_Union[Listener, _Mapping]]] = ...) -> None: ...

class CpuStatus(_message.Message):
    __slots__ = ("kernel", "available_kernels", "budget_thread_count", "host_thread_count", "host_usage_percent", "process_usage_percent")
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_KERNELS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_THREAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    HOST_THREAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    HOST_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    kernel: str
    available_kernels: _containers.RepeatedScalarFieldContainer[str]
    budget_thread_count: int
    host_thread_count: int
    host_usage_percent: float
    process_usage_percent: float
    def __init__(self, kernel: _Optional[str] = ..., available_kernels: _Optional[_Iterable[str]] = ..., budget_thread_count: _Optional[int] = ..., host_thread_count: _Optional[int] = ..., host_usage_percent: _Optional[float] = ..., process_usage_percent: _Optional[float] = ...) -> None: ...

class MemoryStatus(_message.Message):
    __slots__ = ("process_resident_bytes", "host_total_bytes", "host_available_bytes", "limit_bytes")
    PROCESS_RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    process_resident_bytes: int
    host_total_bytes: int
    host_available_bytes: int
    limit_bytes: int
    def __init__(self, process_resident_bytes: _Optional[int] = ..., host_total_bytes: _Optional[int] = ..., host_available_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ...) -> None: ...

class EngineStatus(_message.Message):
    __slots__ = ("model_id", "state", "kernel", "thread_count", "running_count", "waiting_count", "batch_capacity", "queue_capacity", "kv_block_count", "kv_block_used_count", "kv_block_cached_count", "prompt_token_count", "cached_token_count", "generated_token_count", "step_count", "preemption_count", "memory_bytes", "load_time", "last_use_time", "drafted_token_count", "accepted_token_count", "kv_cache_dtype", "kv_cache_bytes")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    THREAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    BATCH_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCK_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCK_USED_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCK_CACHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    PREEMPTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    DRAFTED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_DTYPE_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    state: _model_pb2.ModelState
    kernel: str
    thread_count: int
    running_count: int
    waiting_count: int
    batch_capacity: int
    queue_capacity: int
    kv_block_count: int
    kv_block_used_count: int
    kv_block_cached_count: int
    prompt_token_count: int
    cached_token_count: int
    generated_token_count: int
    step_count: int
    preemption_count: int
    memory_bytes: int
    load_time: _timestamp_pb2.Timestamp
    last_use_time: _timestamp_pb2.Timestamp
    drafted_token_count: int
    accepted_token_count: int
    kv_cache_dtype: str
    kv_cache_bytes: int
    def __init__(self, model_id: _Optional[str] = ..., state: _Optional[_Union[_model_pb2.ModelState, str]] = ..., kernel: _Optional[str] = ..., thread_count: _Optional[int] = ..., running_count: _Optional[int] = ..., waiting_count: _Optional[int] = ..., batch_capacity: _Optional[int] = ..., queue_capacity: _Optional[int] = ..., kv_block_count: _Optional[int] = ..., kv_block_used_count: _Optional[int] = ..., kv_block_cached_count: _Optional[int] = ..., prompt_token_count: _Optional[int] = ..., cached_token_count: _Optional[int] = ..., generated_token_count: _Optional[int] = ..., step_count: _Optional[int] = ..., preemption_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., load_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., drafted_token_count: _Optional[int] = ..., accepted_token_count: _Optional[int] = ..., kv_cache_dtype: _Optional[str] = ..., kv_cache_bytes: _Optional[int] = ...) -> None: ...

class ServerStatus(_message.Message):
    __slots__ = ("state", "uptime", "model_available_count", "model_loaded_count", "cpu", "memory", "engines", "active_call_count", "call_count", "failed_call_count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_AVAILABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_LOADED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    state: ServerState
    uptime: _duration_pb2.Duration
    model_available_count: int
    model_loaded_count: int
    cpu: CpuStatus
    memory: MemoryStatus
    engines: _containers.RepeatedCompositeFieldContainer[EngineStatus]
    active_call_count: int
    call_count: int
    failed_call_count: int
    def __init__(self, state: _Optional[_Union[ServerState, str]] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., model_available_count: _Optional[int] = ..., model_loaded_count: _Optional[int] = ..., cpu: _Optional[_Union[CpuStatus, _Mapping]] = ..., memory: _Optional[_Union[MemoryStatus, _Mapping]] = ..., engines: _Optional[_Iterable[_Union[EngineStatus, _Mapping]]] = ..., active_call_count: _Optional[int] = ..., call_count: _Optional[int] = ..., failed_call_count: _Optional[int] = ...) -> None: ...
