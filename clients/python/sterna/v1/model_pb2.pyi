import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sterna.v1 import generation_pb2 as _generation_pb2
from sterna.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_UNLOADED: _ClassVar[ModelState]
    MODEL_STATE_LOADING: _ClassVar[ModelState]
    MODEL_STATE_LOADED: _ClassVar[ModelState]
    MODEL_STATE_UNLOADING: _ClassVar[ModelState]
    MODEL_STATE_FAILED: _ClassVar[ModelState]

class ModelCapability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_CAPABILITY_UNSPECIFIED: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_COMPLETION: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_CHAT: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_TOOLS: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_EMBEDDING: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_TRANSCRIPTION: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_SPEECH: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_INFILL: _ClassVar[ModelCapability]
    MODEL_CAPABILITY_SEARCH: _ClassVar[ModelCapability]

class WeightPrecision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEIGHT_PRECISION_UNSPECIFIED: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_NONE: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_BF16: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_INT8: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_Q8_0: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_Q6_K: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_Q5_0: _ClassVar[WeightPrecision]
    WEIGHT_PRECISION_Q4_0: _ClassVar[WeightPrecision]
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_UNLOADED: ModelState
MODEL_STATE_LOADING: ModelState
MODEL_STATE_LOADED: ModelState
MODEL_STATE_UNLOADING: ModelState
MODEL_STATE_FAILED: ModelState
MODEL_CAPABILITY_UNSPECIFIED: ModelCapability
MODEL_CAPABILITY_COMPLETION: ModelCapability
MODEL_CAPABILITY_CHAT: ModelCapability
MODEL_CAPABILITY_TOOLS: ModelCapability
MODEL_CAPABILITY_EMBEDDING: ModelCapability
MODEL_CAPABILITY_TRANSCRIPTION: ModelCapability
MODEL_CAPABILITY_SPEECH: ModelCapability
MODEL_CAPABILITY_INFILL: ModelCapability
MODEL_CAPABILITY_SEARCH: ModelCapability
WEIGHT_PRECISION_UNSPECIFIED: WeightPrecision
WEIGHT_PRECISION_NONE: WeightPrecision
WEIGHT_PRECISION_BF16: WeightPrecision
WEIGHT_PRECISION_INT8: WeightPrecision
WEIGHT_PRECISION_Q8_0: WeightPrecision
WEIGHT_PRECISION_Q6_K: WeightPrecision
WEIGHT_PRECISION_Q5_0: WeightPrecision
WEIGHT_PRECISION_Q4_0: WeightPrecision

class ModelArchitecture(_message.Message):
    __slots__ = ("name", "vocabulary_size", "hidden_size", "intermediate_size", "layer_count", "head_count", "kv_head_count", "head_size", "tied_embeddings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    INTERMEDIATE_SIZE_FIELD_NUMBER: _ClassVar[int]
    LAYER_COUNT_FIELD_NUMBER: _ClassVar[int]
    HEAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_HEAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    HEAD_SIZE_FIELD_NUMBER: _ClassVar[int]
    TIED_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    layer_count: int
    head_count: int
    kv_head_count: int
    head_size: int
    tied_embeddings: bool
    def __init__(self, name: _Optional[str] = ..., vocabulary_size: _Optional[int] = ..., hidden_size: _Optional[int] = ..., intermediate_size: _Optional[int] = ..., layer_count: _Optional[int] = ..., head_count: _Optional[int] = ..., kv_head_count: _Optional[int] = ..., head_size: _Optional[int] = ..., tied_embeddings: _Optional[bool] = ...) -> None: ...

class EmbeddingTraits(_message.Message):
    __slots__ = ("pooling", "dimension_count", "max_token_count", "prompt_names")
    POOLING_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_NAMES_FIELD_NUMBER: _ClassVar[int]
    pooling: _inference_pb2.Pooling
    dimension_count: int
    max_token_count: int
    prompt_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pooling: _Optional[_Union[_inference_pb2.Pooling, str]] = ..., dimension_count: _Optional[int] = ..., max_token_count: _Optional[int] = ..., prompt_names: _Optional[_Iterable[str]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("model_id", "aliases", "family", "architecture", "format", "quantization", "parameter_count", "context_length", "template_name", "default_sampling", "capabilities", "path", "size_bytes", "create_time", "owner", "revision", "built_in", "default_model", "pinned", "state", "state_message", "load_time", "last_use_time", "memory_bytes", "keep_alive", "harness", "search_provider", "head_precision", "adapters", "embedding", "default_embedding_model", "default_adapter_id")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_NAME_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    BUILT_IN_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    HARNESS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    HEAD_PRECISION_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ADAPTER_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    family: str
    architecture: ModelArchitecture
    format: str
    quantization: str
    parameter_count: int
    context_length: int
    template_name: str
    default_sampling: _generation_pb2.SamplingParams
    capabilities: _containers.RepeatedScalarFieldContainer[ModelCapability]
    path: str
    size_bytes: int
    create_time: _timestamp_pb2.Timestamp
    owner: str
    revision: str
    built_in: bool
    default_model: bool
    pinned: bool
    state: ModelState
    state_message: str
    load_time: _timestamp_pb2.Timestamp
    last_use_time: _timestamp_pb2.Timestamp
    memory_bytes: int
    keep_alive: _duration_pb2.Duration
    harness: _generation_pb2.Harness
    search_provider: _generation_pb2.SearchProvider
    head_precision: WeightPrecision
    adapters: _containers.RepeatedCompositeFieldContainer[Adapter]
    embedding: EmbeddingTraits
    default_embedding_model: bool
    default_adapter_id: str
    def __init__(self, model_id: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., family: _Optional[str] = ..., architecture: _Optional[_Union[ModelArchitecture, _Mapping]] = ..., format: _Optional[str] = ..., quantization: _Optional[str] = ..., parameter_count: _Optional[int] = ..., context_length: _Optional[int] = ..., template_name: _Optional[str] = ..., default_sampling: _Optional[_Union[_generation_pb2.SamplingParams, _Mapping]] = ..., capabilities: _Optional[_Iterable[_Union[ModelCapability, str]]] = ..., path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., owner: _Optional[str] = ..., revision: _Optional[str] = ..., built_in: _Optional[bool] = ..., default_model: _Optional[bool] = ..., pinned: _Optional[bool] = ..., state: _Optional[_Union[ModelState, str]] = ..., state_message: _Optional[str] = ..., load_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., memory_bytes: _Optional[int] = ..., keep_alive: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., harness: _Optional[_Union[_generation_pb2.Harness, str]] = ..., search_provider: _Optional[_Union[_generation_pb2.SearchProvider, str]] = ..., head_precision: _Optional[_Union[WeightPrecision, str]] = ..., adapters: _Optional[_Iterable[_Union[Adapter, _Mapping]]] = ..., embedding: _Optional[_Union[EmbeddingTraits, _Mapping]] = ..., default_embedding_model: _Optional[bool] = ..., default_adapter_id: _Optional[str] = ...) -> None: ...

class Adapter(_message.Message):
    __slots__ = ("adapter_id", "model_id", "state", "state_message", "path", "rank", "precision", "memory_bytes", "load_time")
    ADAPTER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    adapter_id: str
    model_id: str
    state: ModelState
    state_message: str
    path: str
    rank: int
    precision: WeightPrecision
    memory_bytes: int
    load_time: _timestamp_pb2.Timestamp
    def __init__(self, adapter_id: _Optional[str] = ..., model_id: _Optional[str] = ..., state: _Optional[_Union[ModelState, str]] = ..., state_message: _Optional[str] = ..., path: _Optional[str] = ..., rank: _Optional[int] = ..., precision: _Optional[_Union[WeightPrecision, str]] = ..., memory_bytes: _Optional[int] = ..., load_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StoredAdapter(_message.Message):
    __slots__ = ("adapter_id", "base_model", "rank", "target_modules", "size_bytes", "revision", "create_time", "path", "problem")
    ADAPTER_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    TARGET_MODULES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    adapter_id: str
    base_model: str
    rank: int
    target_modules: _containers.RepeatedScalarFieldContainer[str]
    size_bytes: int
    revision: str
    create_time: _timestamp_pb2.Timestamp
    path: str
    problem: str
    def __init__(self, adapter_id: _Optional[str] = ..., base_model: _Optional[str] = ..., rank: _Optional[int] = ..., target_modules: _Optional[_Iterable[str]] = ..., size_bytes: _Optional[int] = ..., revision: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., path: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...
