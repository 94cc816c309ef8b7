"""The model in plain numpy: an oracle that shares no code with the engine or with transformers.

Read from the checkpoint directory, evaluated in float32 (or float64, to see which side of a
disagreement is nearer to the exact result). Ternary products are integer sums and exact.
Written to be read; a forward pass of a tiny model takes milliseconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.parity.numpy_rotary import Rotary

Array = npt.NDArray[Any]

PROJECTIONS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def read_safetensors(path: Path) -> dict[str, Array]:
    """All tensors of a file; halves become float32, which holds them exactly."""
    data = path.read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    tensors: dict[str, Array] = {}
    for name, entry in json.loads(data[8:header_end]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[header_end + begin : header_end + end]
        if entry["dtype"] == "BF16":
            bits = np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)
            tensors[name] = bits.view(np.float32).reshape(entry["shape"])
        elif entry["dtype"] == "F16":
            halves = np.frombuffer(raw, "<f2").reshape(entry["shape"])
            tensors[name] = halves.astype(np.float32)
        else:
            dtype = {"U8": np.uint8, "F32": np.float32}[entry["dtype"]]
            tensors[name] = np.frombuffer(raw, dtype).reshape(entry["shape"])
    return tensors


def unpack_codes(packed: Array) -> Array:
    """u8 [out / 4, in] -> int8 [out, in] in {-1, 0, 1}: each bit pair holds a quarter of rows."""
    quarters = [((packed >> (2 * place)) & 3).astype(np.int8) - 1 for place in range(4)]
    return np.concatenate(quarters, axis=0)


def quantize_rows(x: Array) -> tuple[Array, Array]:
    """float [t, in] -> (codes [t, in], step [t, 1]) with x ~ codes * step."""
    one = x.dtype.type(1)
    scale = x.dtype.type(127) / np.maximum(
        np.abs(x).max(axis=-1, keepdims=True), x.dtype.type(1e-5)
    )
    return np.clip(np.rint(x * scale), -128, 127), one / scale


def rms_norm(x: Array, weight: Array, eps: Any) -> Array:
    with np.errstate(over="ignore"):
        mean = (x * x).mean(axis=-1, keepdims=True)
    normal: Array = x * (x.dtype.type(1) / np.sqrt(mean + eps))
    return normal * weight


@dataclass(frozen=True)
class TernaryLinear:
    """y = (codes @ ternary.T) * (step * scale)."""

    ternary: Array  # [out, in], in the model's float type
    scale: Any
    norm: Array | None = None  # [in]: an RMSNorm that comes before the rounding
    eps: Any = 0.0

    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """float [t, in] -> (codes [t, in], steps [t, 1], y [t, out])."""
        if self.norm is not None:
            x = rms_norm(x, self.norm, self.eps)
        codes, steps = quantize_rows(x)
        # Sums of integers below 2 ** 24 are exact in float32 in any order.
        return codes, steps, (codes @ self.ternary.T) * (steps * self.scale)


@dataclass(frozen=True)
class GroupedLinear:
    """Ternary as it is, by groups of columns; its input is rounded by groups, or not at all."""

    weight: Array  # [out, in]
    group: int
    rounded: bool

    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """float [t, in] -> (codes [t, in], steps [t, groups], y [t, out])."""
        if not self.rounded:
            return x, np.ones((len(x), 1), x.dtype), x @ self.weight.T
        pieces = [
            quantize_rows(x[:, begin : begin + self.group])
            for begin in range(0, x.shape[1], self.group)
        ]
        values = np.concatenate([codes * step for codes, step in pieces], axis=1)
        return (
            np.concatenate([codes for codes, _ in pieces], axis=1),
            np.concatenate([step for _, step in pieces], axis=1),
            values @ self.weight.T,
        )


class NumpyModel:
    """The supported architectures with ternary projections.

    Models with scales by groups were trained with float activations: `rounded` says whether to
    round them by groups, as the engine does, or to leave them, as the reference library does.
    """

    GROUP = 128
    _ternary_head: GroupedLinear | None = None

    def __init__(
        self,
        directory: Path,
        dtype: type[np.floating[Any]] = np.float32,
        *,
        rounded: bool = True,
    ) -> None:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self.dtype = dtype
        (architecture,) = config["architectures"]
        self.old = architecture == "BitnetForCausalLM"
        self.sub_norms = architecture.lower() == "bitnetforcausallm"
        self.layers = int(config["num_hidden_layers"])
        self.heads = int(config["num_attention_heads"])
        self.kv_heads = int(config["num_key_value_heads"])
        self.head_dim = int(config.get("head_dim") or config["hidden_size"] // self.heads)
        self.relu2 = config["hidden_act"] == "relu2"
        self.eps = dtype(config["rms_norm_eps"])
        self.rotary = Rotary(config, self.head_dim)
        self._quantization = config.get("quantization_config", {})
        self._rounded = rounded
        self._tensors = read_safetensors(directory / "model.safetensors")
        self.prefix = "model." if "model.norm.weight" in self._tensors else ""
        self._linears = {
            f"layers.{index}.{name}": self._load_linear(f"{self.prefix}layers.{index}.{path}")
            for index in range(self.layers)
            for name, path in PROJECTIONS.items()
        }
        self.embedding = self._float(f"{self.prefix}embed_tokens.weight")
        tied = config["tie_word_embeddings"]
        self.head = self.embedding if tied else self._float("lm_head.weight")
        grouped = isinstance(self._linears["layers.0.q"], GroupedLinear)
        if grouped and len(np.unique(np.abs(self.head[:1, : self.GROUP]))) <= 2:
            self._ternary_head = GroupedLinear(self.head, self.GROUP, rounded)

    def _float(self, name: str) -> Array:
        return self._tensors[name].astype(self.dtype)

    def _load_linear(self, name: str) -> TernaryLinear | GroupedLinear:
        weight = self._tensors[f"{name}.weight"]
        own = [key for key in self._tensors if key.startswith(f"{name}.") and "norm" in key]
        norm = self._float(own[0]) if own else None
        if weight.dtype == np.uint8:
            scale = self.dtype(self._tensors[f"{name}.weight_scale"][0])
            ternary = unpack_codes(weight).astype(self.dtype)
            multiply = self._quantization.get("linear_class") == "autobitlinear"
            factor = scale if multiply else self.dtype(1) / scale
            return TernaryLinear(ternary, factor, norm, self.eps)
        if not (self._quantization or self.old or own):
            return GroupedLinear(weight.astype(self.dtype), self.GROUP, self._rounded)
        # Latent floats: the nearest of {-1, 0, 1} after division by the mean magnitude.
        mean = np.maximum(np.abs(weight).mean(dtype=np.float64), 1e-5).astype(np.float32)
        ternary = np.clip(np.rint(weight * (np.float32(1) / mean)), -1, 1)
        return TernaryLinear(ternary.astype(self.dtype), self.dtype(mean), norm, self.eps)

    def linear(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        """Projection `layers.{i}.{q,k,v,o,gate,up,down}`: codes [t, in], steps [t], y [t, out]."""
        codes, steps, y = self._linears[name](x.astype(self.dtype))
        return codes.astype(np.int8), steps[:, 0] if steps.shape[1] == 1 else steps, y

    def _project(self, name: str, x: Array) -> Array:
        return self._linears[name](x)[2]

    def _norm(self, x: Array, name: str) -> Array:
        return rms_norm(x, self._float(f"{self.prefix}{name}.weight"), self.eps)

    def _rotate(self, x: Array) -> Array:
        """Rotary embedding of [heads, t, head_dim] at positions 0 .. t-1, halves paired."""
        cos, sin = self.rotary.angles(x.shape[1])
        cos, sin = cos.astype(self.dtype), sin.astype(self.dtype)
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def _attention(self, index: int, x: Array) -> Array:
        """Causal attention over normalized [t, hidden], up to but without the output projection."""
        tokens = x.shape[0]

        attn = f"layers.{index}.self_attn"

        def split(name: str, heads: int) -> Array:
            flat = self._project(f"layers.{index}.{name}", x)
            return flat.reshape(tokens, heads, self.head_dim).transpose(1, 0, 2)

        def rotated(name: str, heads: int) -> Array:
            states = split(name, heads)
            if f"{self.prefix}{attn}.{name}_norm.weight" in self._tensors:
                states = self._norm(states, f"{attn}.{name}_norm")
            return self._rotate(states)

        query = rotated("q", self.heads)
        group = self.heads // self.kv_heads
        key = np.repeat(rotated("k", self.kv_heads), group, axis=0)
        value = np.repeat(split("v", self.kv_heads), group, axis=0)
        scores = (query @ key.transpose(0, 2, 1)) * self.dtype(self.head_dim**-0.5)
        future = np.triu(np.ones((tokens, tokens), dtype=bool), k=1)
        scores = np.where(future, self.dtype(-np.inf), scores)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed: Array = (weights @ value).transpose(1, 0, 2).reshape(tokens, -1)
        return mixed

    def _mlp(self, index: int, x: Array) -> Array:
        gate = self._project(f"layers.{index}.gate", x)
        up = self._project(f"layers.{index}.up", x)
        active = (np.maximum(gate, 0) ** 2 if self.relu2 else gate / (1 + np.exp(-gate))) * up
        if self.sub_norms:
            name = "ffn_layernorm" if self.old else "ffn_sub_norm"
            active = self._norm(active, f"layers.{index}.mlp.{name}")
        return self._project(f"layers.{index}.down", active)

    def layer(self, index: int, x: Array) -> Array:
        """One decoder layer over [t, hidden] at positions 0 .. t-1."""
        prefix = f"layers.{index}"
        x = x.astype(self.dtype)
        attended = self._attention(index, self._norm(x, f"{prefix}.input_layernorm"))
        if self.sub_norms:
            name = "inner_attn_ln" if self.old else "attn_sub_norm"
            attended = self._norm(attended, f"{prefix}.self_attn.{name}")
        x = x + self._project(f"layers.{index}.o", attended)
        return x + self._mlp(index, self._norm(x, f"{prefix}.post_attention_layernorm"))

    def logits(self, tokens: list[int]) -> Array:
        """[t] -> [t, vocab]."""
        x = self.embedding[np.asarray(tokens)]
        for index in range(self.layers):
            x = self.layer(index, x)
        x = self._norm(x, "norm")
        return x @ self.head.T if self._ternary_head is None else self._ternary_head(x)[2]

    def greedy(self, prompt: list[int], max_tokens: int, stop: frozenset[int]) -> list[int]:
        """The most likely continuation, without the stop token; the lowest id wins a tie."""
        tokens = list(prompt)
        for _ in range(max_tokens):
            best = int(self.logits(tokens)[-1].argmax())
            if best in stop:
                break
            tokens.append(best)
        return tokens[len(prompt) :]
