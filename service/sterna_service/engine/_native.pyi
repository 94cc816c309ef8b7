"""Types of the C++ extension. Each name mirrors `native/include/sterna`, where it is documented."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class NativeError(Exception):
    """`code` is the C++ ErrorCode in snake case without the k; `field` may be empty."""

    code: str
    field: str

class EventKind(IntEnum):
    STARTED = 0
    TOKEN = 1
    FINISHED = 2
    FAILED = 3
    EMBEDDED = 4

class FinishReason(IntEnum):
    NONE = 0
    STOP = 1
    LENGTH = 2
    CANCELLED = 3

class Adapter:
    @staticmethod
    def open(directory: str, model: Model, precision: str = "none") -> Adapter:
        """`precision` is "none", "bf16", "int8", "q8_0" or "q4_0"."""

    @property
    def rank(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    @property
    def base_model(self) -> str: ...

class Request:
    id: int
    prompt: list[int]
    max_tokens: int
    min_tokens: int
    choices: int
    stop_tokens: list[int]
    top_logprobs: int
    prompt_logprobs: bool
    embedding: str | None
    """None, "mean" or "last"."""
    guided: bool
    adapter: Adapter | None
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    seed: int
    logit_bias: list[tuple[int, float]]
    def __init__(self) -> None: ...

class Event:
    request_id: int
    kind: EventKind
    choice: int
    token: int
    logprob: float
    top_logprobs: list[tuple[int, float]]
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    queue_seconds: float
    prefill_seconds: float
    prompt_logprobs: list[tuple[int, float]]
    prompt_top_logprobs: list[list[tuple[int, float]]]
    embedding: list[float]
    error_code: str
    error_message: str

class ModelConfig:
    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    tied_embeddings: bool
    weight_group: int
    ternary_embedding: bool
    ternary_head: bool

class Model:
    @staticmethod
    def open(bundle_path: str) -> Model: ...
    @property
    def config(self) -> ModelConfig: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def weight_bytes(self) -> int: ...

class EngineOptions:
    threads: int
    max_batch: int
    max_queue: int
    max_batch_tokens: int
    kv_cache_tokens: int
    kv_cache_dtype: str
    prefix_cache: bool
    attention_tiles: bool
    speculation: str
    """ "off", "auto" or "always"."""
    max_draft_tokens: int
    exact_head_screening: bool
    sparsity: bool
    def __init__(self) -> None: ...

class EngineStats:
    kernels: str
    threads: int
    running: int
    waiting: int
    kv_cache_dtype: str
    kv_cache_bytes: int
    kv_blocks_total: int
    kv_blocks_used: int
    kv_blocks_cached: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    steps: int
    sequence_steps: int
    preemptions: int
    drafted_tokens: int
    accepted_tokens: int
    screened_states: int
    rescored_tokens: int

class Engine:
    def __init__(self, model: Model, options: EngineOptions) -> None: ...
    def submit(self, request: Request) -> None: ...
    def cancel(self, request_id: int, choice: int | None = None) -> None: ...
    def guide(
        self,
        request_id: int,
        choice: int,
        index: int,
        allowed: Buffer,
        forced: Sequence[int] = ...,
    ) -> None: ...
    def outbox_fd(self) -> int: ...
    def drain_outbox(self) -> list[Event]: ...
    def stats(self) -> EngineStats: ...
    def close(self) -> None: ...

def pack_checkpoint(
    checkpoint_dir: str, bundle_path: str, head_layout: str = "auto", head_precision: str = ""
) -> None:
    """`head_layout` is "auto", "plain" or "split"; `head_precision` is "bf16", "int8", "q8_0",
    "q6_k", "q5_0" or "q4_0", or empty: as the checkpoint has it."""

def kernel_names() -> list[str]: ...
def cpu_budget() -> int: ...

class Floors:
    kernels: str
    read_bytes_per_second: float
    int8_macs_per_second: float

def measure_floors(threads: int, bytes: int) -> Floors: ...

class testing:
    """A submodule: single steps of the model, to hold them against other implementations."""

    @staticmethod
    def linear(
        model: Model, name: str, x: NDArray[np.float32]
    ) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]: ...
    @staticmethod
    def sparsity(model: Model, tokens: list[int]) -> dict[str, int]: ...
    @staticmethod
    def layer(
        model: Model, index: int, x: NDArray[np.float32], adapter: Adapter | None = None
    ) -> NDArray[np.float32]: ...
    @staticmethod
    def logits(
        model: Model,
        tokens: list[int],
        threads: int = 0,
        kv_cache_dtype: str = "f32",
        adapter: Adapter | None = None,
    ) -> NDArray[np.float32]: ...
