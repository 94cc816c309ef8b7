"""`BitNetForCausalLM` with quantization in the forward pass, so that training meets it.

The parameters carry the names of the Hugging Face checkpoint. The arithmetic of a linear is that
of an int8 engine: integer activations times ternary codes, then `step * weight_scale`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# bf16: integers in bf16, sums in float32, fast. exact: every integer product is exact and the rest
# is float32, as in the engine. float: the latent weights without any quantization.
Arithmetic = Literal["bf16", "exact", "float"]
ARITHMETICS: tuple[Arithmetic, ...] = ("exact", "bf16", "float")

_SMALLEST = 1e-5


@dataclass(frozen=True)
class ModelConfig:
    """Sizes, with the meaning of their namesakes in config.json."""

    hidden_size: int = 192
    intermediate_size: int = 512
    num_hidden_layers: int = 6
    num_attention_heads: int = 3
    num_key_value_heads: int = 1
    vocab_size: int = 4096
    max_position_embeddings: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


SIZES = {
    # For tests of the whole pipeline.
    "tiny": ModelConfig(64, 64, 1, 1, 1),
    "1m": ModelConfig(128, 384, 4, 2, 1),
    "2m": ModelConfig(192, 512, 4, 3, 1),
    "3m": ModelConfig(192, 512, 6, 3, 1),
    "6m": ModelConfig(256, 768, 6, 4, 2),
    "14m": ModelConfig(384, 1024, 8, 6, 2),
    "30m": ModelConfig(512, 1536, 10, 8, 2),
}


def ternary(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes in {-1, 0, 1} and the scale, which is rounded to bf16 as the file stores it."""
    scale = weight.abs().mean().clamp(min=_SMALLEST).bfloat16().float()
    return (weight / scale).round().clamp(-1, 1), scale


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes of each row, and the step [..., 1] between them; half rounds to even."""
    wide = x.float()
    step = wide.abs().amax(-1, keepdim=True).clamp(min=_SMALLEST) / 127
    return (wide / step).round().clamp(-128, 127), step


class _TernaryProjection(torch.autograd.Function):
    """`x @ w_i^T` for several weights that share the input; outputs side by side.

    The gradient passes both quantizers as if they were the identity.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        codes, step = quantize_rows(x)
        pairs = [ternary(w.detach()) for w in weights]
        matrix = torch.cat([t for t, _ in pairs]).bfloat16()
        scale = torch.cat([s.expand(t.shape[0]) for t, s in pairs])
        narrow = codes.bfloat16()
        ctx.save_for_backward(narrow, step, matrix, scale)
        ctx.rows = [w.shape[0] for w in weights]
        return (F.linear(narrow, matrix).float() * (step * scale)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        codes, step, matrix, scale = ctx.saved_tensors
        wide = gradients[0].float()
        by_input = (wide * scale).bfloat16() @ matrix
        outer = (wide * step).bfloat16().flatten(0, -2)
        by_weight = (outer.t() @ codes.flatten(0, -2)).float()
        return (by_input.to(gradients[0].dtype), *by_weight.split(ctx.rows))


def project(x: Tensor, weights: list[Tensor], arithmetic: Arithmetic) -> Tensor:
    """`x` [..., in] through each weight [out_i, in]; returns [..., sum of out_i]."""
    if arithmetic == "bf16":
        return torch.as_tensor(_TernaryProjection.apply(x, *weights))  # type: ignore[no-untyped-call]
    if arithmetic == "float":
        return F.linear(x, torch.cat(weights))
    codes, step = quantize_rows(x)
    outputs = []
    for weight in weights:
        matrix, scale = ternary(weight)
        outputs.append(F.linear(codes, matrix) * step * scale)
    return torch.cat(outputs, -1)


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


class Linear(nn.Module):
    """Holds the latent weight, and an optional low-rank addition."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * 0.02)
        self.lora: tuple[Tensor, Tensor, float] | None = None

    def add_lora(self, x: Tensor) -> Tensor | float:
        """`scale * x A^T B^T` in float32, or 0 without an adapter."""
        if self.lora is None:
            return 0.0
        a, b, scale = self.lora
        return F.linear(F.linear(x.float(), a), b).to(x.dtype) * scale


def project_all(x: Tensor, linears: list[Linear], arithmetic: Arithmetic) -> Tensor:
    y = project(x, [linear.weight for linear in linears], arithmetic)
    if linears[0].lora is not None:
        y = y + torch.cat([torch.as_tensor(linear.add_lora(x)) for linear in linears], -1)
    return y


class Cache:
    """Keys and values of one layer, [batch, kv heads, tokens, head_dim]."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is not None and self.values is not None:
            keys = torch.cat((self.keys, keys), 2)
            values = torch.cat((self.values, values), 2)
        self.keys, self.values = keys, values
        return keys, values


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.num_key_value_heads * config.head_dim
        self.q_proj = Linear(config.hidden_size, config.hidden_size)
        self.k_proj = Linear(config.hidden_size, width)
        self.v_proj = Linear(config.hidden_size, width)
        self.o_proj = Linear(config.hidden_size, config.hidden_size)
        self.attn_sub_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: Cache | None,
        arithmetic: Arithmetic,
    ) -> Tensor:
        c = self.config
        batch, length, _ = x.shape
        width = c.num_key_value_heads * c.head_dim
        qkv = project_all(x, [self.q_proj, self.k_proj, self.v_proj], arithmetic)
        q, k, v = torch.split(qkv, [c.hidden_size, width, width], -1)
        q = q.view(batch, length, c.num_attention_heads, c.head_dim).transpose(1, 2)
        k = k.view(batch, length, c.num_key_value_heads, c.head_dim).transpose(1, 2)
        v = v.view(batch, length, c.num_key_value_heads, c.head_dim).transpose(1, 2)
        q, k = rotate(q, *rope), rotate(k, *rope)
        if cache is not None:
            k, v = cache.extend(k, v)
        group = c.num_attention_heads // c.num_key_value_heads
        if group > 1:
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        causal = mask is None and length > 1
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        y = y.transpose(1, 2).reshape(batch, length, c.hidden_size)
        return project_all(self.attn_sub_norm(y), [self.o_proj], arithmetic)


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)
        self.ffn_sub_norm = RMSNorm(config.intermediate_size, config.rms_norm_eps)

    def forward(self, x: Tensor, arithmetic: Arithmetic) -> Tensor:
        gate, up = project_all(x, [self.gate_proj, self.up_proj], arithmetic).chunk(2, -1)
        inner = self.ffn_sub_norm(F.relu(gate).square() * up)
        return project_all(inner, [self.down_proj], arithmetic)


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: Cache | None,
        arithmetic: Arithmetic,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, mask, cache, arithmetic)
        return torch.as_tensor(x + self.mlp(self.post_attention_layernorm(x), arithmetic))


class BitNet(nn.Module):
    """The decoder; the output layer is the embedding."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        steps = torch.arange(0, config.head_dim, 2) / config.head_dim
        angles = torch.outer(
            torch.arange(config.max_position_embeddings), 1 / config.rope_theta**steps
        )
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        caches: list[Cache] | None = None,
        arithmetic: Arithmetic = "bf16",
    ) -> Tensor:
        """Final hidden states [batch, tokens, hidden] of `ids` [batch, tokens].

        `mask` [batch, 1, tokens, keys] is true where a query may look; without it, causal.
        """
        kind = torch.bfloat16 if arithmetic == "bf16" else torch.float32
        start = 0
        if caches and caches[0].keys is not None:
            start = caches[0].keys.shape[2]
        end = start + ids.shape[1]
        rope = (self.cos[start:end].to(kind), self.sin[start:end].to(kind))
        x = F.embedding(ids, self.embed_tokens.weight).to(kind)
        for i, layer in enumerate(self.layers):
            x = layer(x, rope, mask, caches[i] if caches else None, arithmetic)
        return torch.as_tensor(self.norm(x))

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits [..., vocabulary]."""
        return F.linear(hidden, self.embed_tokens.weight.to(hidden.dtype)).float()


def document_mask(ids: Tensor, bos_id: int) -> Tensor:
    """[batch, 1, tokens, tokens]: look back, and not beyond the start of one's own document."""
    document = (ids == bos_id).cumsum(1)
    same = document[:, None, :, None] == document[:, None, None, :]
    length = ids.shape[1]
    back = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    return same & back
