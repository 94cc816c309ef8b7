"""What the server says about its models and itself. Fields are documented in the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sterna.types import (
    Harness,
    ModelCapability,
    ModelState,
    Pooling,
    SearchProvider,
    ServerState,
    WeightPrecision,
)


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What a request gets that leaves a sampling field out; None: the protocol's default."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    seed: int | None
    logit_bias: dict[int, float]


@dataclass(frozen=True, slots=True)
class ModelArchitecture:
    """The shape of a decoder."""

    name: str
    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    layer_count: int
    head_count: int
    kv_head_count: int
    head_size: int
    tied_embeddings: bool


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter."""

    adapter_id: str
    model_id: str
    state: ModelState
    state_message: str
    path: str
    rank: int
    precision: WeightPrecision
    memory_bytes: int
    load_time: datetime | None


@dataclass(frozen=True, slots=True)
class StoredAdapter:
    """A LoRA adapter in the server's store, for models to be loaded with."""

    adapter_id: str
    base_model: str
    rank: int
    target_modules: tuple[str, ...]
    size_bytes: int
    revision: str
    create_time: datetime | None
    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class EmbeddingTraits:
    """How a model makes vectors of texts."""

    pooling: Pooling
    dimension_count: int
    max_token_count: int
    prompt_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server has."""

    model_id: str
    aliases: tuple[str, ...]
    family: str
    architecture: ModelArchitecture
    format: str
    quantization: str
    parameter_count: int
    context_length: int
    template_name: str
    default_sampling: SamplingDefaults
    capabilities: tuple[ModelCapability, ...]
    path: str
    size_bytes: int
    create_time: datetime | None
    owner: str
    revision: str
    built_in: bool
    default_model: bool
    pinned: bool
    state: ModelState
    state_message: str
    load_time: datetime | None
    last_use_time: datetime | None
    memory_bytes: int
    keep_alive: timedelta | None
    harness: Harness
    search_provider: SearchProvider
    head_precision: WeightPrecision
    adapters: tuple[Adapter, ...]
    embedding: EmbeddingTraits
    default_embedding_model: bool
    default_adapter_id: str


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The answer to a load."""

    model: Model
    recompiled: bool
    already_loaded: bool


class ListenerProtocol(StrEnum):
    """What is spoken at an address."""

    UNSPECIFIED = "unspecified"
    GRPC = "grpc"
    GRPC_UNIX = "grpc_unix"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that the server listens on."""

    protocol: ListenerProtocol
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ServerDetails:
    """What does not change while the server runs."""

    name: str
    version: str
    description: str
    features: tuple[str, ...]
    model_formats: tuple[str, ...]
    python_version: str
    platform: str
    start_time: datetime
    listeners: tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server is."""

    info: ServerDetails
    state: ServerState
    model_available_count: int
    default_model_id: str
    default_embedding_model_id: str


@dataclass(frozen=True, slots=True)
class CpuStatus:
    """The processor."""

    kernel: str
    available_kernels: tuple[str, ...]
    budget_thread_count: int
    host_thread_count: int
    host_usage_percent: float
    process_usage_percent: float


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """The memory."""

    process_resident_bytes: int
    host_total_bytes: int
    host_available_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A loaded model at work."""

    model_id: str
    state: ModelState
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
    load_time: datetime | None
    last_use_time: datetime | None
    drafted_token_count: int = 0
    accepted_token_count: int = 0
    kv_cache_dtype: str = ""
    kv_cache_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How the server does."""

    state: ServerState
    uptime: timedelta
    model_available_count: int
    model_loaded_count: int
    cpu: CpuStatus
    memory: MemoryStatus
    engines: tuple[EngineStatus, ...]
    active_call_count: int
    call_count: int
    failed_call_count: int
