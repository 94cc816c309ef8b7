"""What goes into the engine and what comes out, as plain Python values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from sterna_service.engine.adapter import EngineAdapter


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; already validated. The order of application is the engine's."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0
    logit_bias: Sequence[tuple[int, float]] = ()


HeadPrecision = Literal["", "bf16", "int8", "q8_0", "q6_k", "q5_0", "q4_0"]
"""How the output head is held, and with it a tied embedding table; empty: as the checkpoint has
it."""


class Pooling(Enum):
    """How the final states of a prompt's tokens become one vector."""

    MEAN = "mean"
    LAST_TOKEN = "last"


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One prompt and how to continue it. The prompt has at least one token."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    min_tokens: int = 0
    choices: int = 1
    stop_tokens: Sequence[int] = ()
    top_logprobs: int = -1
    """-1: none; 0: of the chosen token; n: also of the n most likely."""
    prompt_logprobs: bool = False
    embedding: Pooling | None = None
    """A vector is wanted instead of an answer; then only the prompt counts."""
    guided: bool = False
    """Each token waits for its mask, see `EngineRun.guide`."""
    adapter: EngineAdapter | None = None
    """What is added to the model's linears; None: the model alone."""


class FinishReason(Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt is computed; comes once, before any token. Durations are in seconds."""

    prompt_tokens: int
    cached_tokens: int
    queue_seconds: float
    prefill_seconds: float
    prompt_logprobs: Sequence[tuple[int, float]] = ()
    prompt_top_logprobs: Sequence[Sequence[tuple[int, float]]] = ()
    """What was most likely in the place of each prompt token; empty for the first."""


@dataclass(frozen=True, slots=True)
class Token:
    """One more token of one choice. Stop tokens are not reported."""

    choice: int
    token: int
    logprob: float = 0.0
    top_logprobs: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A choice is complete; comes once per choice."""

    choice: int
    reason: FinishReason
    stop_token: int | None = None
    """The token that stopped it, with STOP. It was generated but is not reported as a `Token`."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of an embedding request, before `Finished`: [hidden_size], not normalized."""

    values: Sequence[float]


EngineEvent = Started | Token | Embedded | Finished


KvCacheDtype = Literal["f32", "bf16", "int8"]
"""How the KV cache holds its numbers."""

Speculation = Literal["auto", "off", "always"]
"""Whether tokens are guessed ahead, from what a text said before, and verified several in one step:
where it pays, never, or wherever there is something to guess, for measurements. The answers are the
same."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine computes, and how much at a time."""

    threads: int = 0
    """Threads of the engine; 0 takes what the process may use."""
    max_batch: int = 16
    """Sequences that run at the same time."""
    max_queue: int = 64
    """Requests that wait; one more is refused."""
    max_batch_tokens: int = 256
    """Prompt tokens computed in one step."""
    kv_cache_tokens: int = 0
    """Capacity of the KV cache in tokens; 0 lets the engine choose."""
    kv_cache_dtype: KvCacheDtype = "bf16"
    """How the KV cache holds its numbers."""
    prefix_cache: bool = True
    """Whether prompts that begin alike share what was computed."""
    attention_tiles: bool = True
    """Whether rows of a prompt share passes over the KV cache, and threads share long rows."""
    speculation: Speculation = "auto"
    """Whether tokens are guessed ahead and verified together; the answers are the same."""
    max_draft_tokens: int = 8
    """Tokens guessed ahead of one sequence."""
    exact_head_screening: bool = True
    """Whether tokens are chosen from half of the bytes of a large output head; the answers are the
    same."""
    head_precision: HeadPrecision = ""
    """How output heads are held: `bf16`, `int8`, `q8_0`, `q6_k`, `q5_0` or `q4_0`; empty: as the
    checkpoint has it."""
    sparsity: bool = True
    """Whether weights that the zeros of a ReLU² model make superfluous are skipped."""


ENGINE_TOTALS = (
    "prompt_tokens",
    "cached_tokens",
    "generated_tokens",
    "steps",
    "sequence_steps",
    "preemptions",
    "drafted_tokens",
    "accepted_tokens",
)
"""Fields of `EngineStats` that only grow."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot of an engine. Token and step counts are totals since it started."""

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
    """Sequences computed, summed over the steps: by `steps`, the mean size of a batch."""
    preemptions: int
    drafted_tokens: int
    """Guessed ahead, see `Speculation`."""
    accepted_tokens: int
    screened_states: int
    rescored_tokens: int
    """Of these, what came true."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Facts about the weights that an engine runs. `weight_bytes` counts mapped bytes."""

    architecture: str
    vocab_size: int
    hidden_size: int
    context_length: int
    parameter_count: int
    weight_bytes: int
