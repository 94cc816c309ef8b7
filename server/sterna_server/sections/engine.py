"""How the engine runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

HeadPrecision = Literal["", "bf16", "int8", "q8_0", "q6_k", "q5_0", "q4_0"]
KvCacheDtype = Literal["f32", "bf16", "int8"]
Speculation = Literal["auto", "off"]


class EngineSettings(BaseModel):
    """Engine."""

    threads: int = Field(default=0, ge=0, le=1024)
    """Engine threads; 0 takes what the process may use."""
    max_batch: int = Field(default=16, ge=1, le=1024)
    """Sequences that run at the same time."""
    max_queue: int = Field(default=64, ge=0, le=1_000_000)
    """Requests that wait for a place in the batch; one more is refused."""
    max_batch_tokens: int = Field(default=256, ge=1, le=65536)
    """Prompt tokens computed in one step of the engine."""
    kv_cache_tokens: int = Field(default=0, ge=0, le=2**31 - 1)
    """Capacity of the KV cache in tokens; 0 lets the engine choose."""
    kv_cache_dtype: KvCacheDtype = "bf16"
    """How the KV cache holds its numbers."""
    prefix_cache: bool = True
    """Whether prompts that begin alike share what was computed."""
    attention_tiles: bool = True
    """Whether rows of a prompt share passes over the KV cache, and threads share long rows."""
    speculation: Speculation = "auto"
    """Whether tokens are guessed ahead and verified together: `auto` where it pays, or `off`."""
    max_draft_tokens: int = Field(default=8, ge=1, le=64)
    """Tokens guessed ahead of one sequence."""
    exact_head_screening: bool = True
    """Whether tokens are chosen from half of the bytes of a large output head."""
    unembed_quant: HeadPrecision = ""
    """How output heads are held: `bf16`, `int8`, `q8_0`, `q6_k`, `q5_0` or `q4_0`; empty: as the
    checkpoint has it."""
    sparsity: bool = True
    """Whether weights that the zeros of a ReLU² model make superfluous are skipped."""
