"""A GGUF file's metadata as the configuration of a Hugging Face checkpoint."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterna_service.errors import ModelLoadError, Reason
from sterna_service.models.gguf.container import GgufFile


@dataclass(frozen=True, slots=True)
class _Family:
    """What the name of an architecture stands for."""

    architecture: str
    model_type: str
    activation: str
    permuted: bool = False
    """The rows of q and k stand in pairs, for rotary embeddings that interleave."""


_BITNET = _Family("BitNetForCausalLM", "bitnet", "relu2")
_FAMILIES = {
    "bitnet": _Family("BitNetForCausalLM", "bitnet", "silu"),
    "bitnet-25": _BITNET,
    "bitnet-b1.58": _BITNET,
    "llama": _Family("LlamaForCausalLM", "llama", "silu", permuted=True),
    "qwen3": _Family("Qwen3ForCausalLM", "qwen3", "silu"),
}

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
    # BitNet embedding models: a norm inside each linear
    "attn_q_norm_in": "self_attn.q_proj.norm",
    "attn_k_norm_in": "self_attn.k_proj.norm",
    "attn_v_norm_in": "self_attn.v_proj.norm",
    "attn_output_norm_in": "self_attn.o_proj.norm",
    "ffn_gate_norm_in": "mlp.gate_proj.norm",
    "ffn_up_norm_in": "mlp.up_proj.norm",
    "ffn_down_norm_in": "mlp.down_proj.norm",
}
_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LINEARS = frozenset({"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})

_LAYER = re.compile(r"0|[1-9][0-9]{0,4}")

# Tensors that become part of the configuration.
ROPE_FACTORS = "rope_freqs.weight"
LONG_FACTORS = "rope_factors_long.weight"
SHORT_FACTORS = "rope_factors_short.weight"
IGNORED = frozenset({ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS})
TABLES = frozenset({"token_embd.weight", "output.weight"})


class Architecture:
    """The keys of one file.

    Raises:
        ModelLoadError: A key is missing or of the wrong type, or asks for what cannot be done.
    """

    def __init__(self, file: GgufFile) -> None:
        self._file = file
        self.name = self.text("general.architecture")
        family = _FAMILIES.get(self.name)
        if family is None:
            raise self._unsupported(
                f"the architecture {self.name!r:.200} is not supported; supported: "
                + ", ".join(sorted(_FAMILIES))
            )
        self._family = family
        if file.metadata.get("split.count", 1) != 1:
            raise self._unsupported("it is one of several parts; join them with llama-gguf-split")
        for key in file.metadata:
            if key.startswith("prism.hadamard."):
                raise self._unsupported(
                    f"{key}: the model transforms its activations, which is not supported"
                )

    @property
    def permuted(self) -> bool:
        """Whether the rows of q and k have to be put back in order."""
        return self._family.permuted

    @property
    def heads(self) -> int:
        return self._count("attention.head_count")

    @property
    def kv_heads(self) -> int:
        return self._count("attention.head_count_kv", self.heads)

    def config(self, *, group: int = 0) -> dict[str, Any]:
        """A config.json for packed trits, with a scale for each `group` of columns or for all."""
        hidden = self._count("embedding_length")
        head_dim = self._count("attention.key_length", hidden // self.heads)
        rotated = self._count("rope.dimension_count", head_dim)
        if rotated != head_dim:
            raise self._unsupported(f"{rotated} of {head_dim} dimensions of a head are rotated")
        if self._count("attention.value_length", head_dim) != head_dim:
            raise self._unsupported("keys and values have different sizes")
        if self.optional(f"{self.name}.expert_count"):
            raise self._unsupported("mixtures of experts are not supported")
        embedding = self._file.tensors.get("token_embd.weight")
        config: dict[str, Any] = {
            "architectures": [self._family.architecture],
            "model_type": self._family.model_type,
            "hidden_act": self.optional(f"{self.name}.hidden_activation")
            or self._family.activation,
            "hidden_size": hidden,
            "intermediate_size": self._count("feed_forward_length"),
            "num_hidden_layers": self._count("block_count"),
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": head_dim,
            "vocab_size": embedding.shape[0] if embedding else self._count("vocab_size"),
            "max_position_embeddings": self._count("context_length"),
            "rms_norm_eps": self._number("attention.layer_norm_rms_epsilon"),
            "rope_theta": self._number("rope.freq_base", 10_000.0),
            "tie_word_embeddings": "output.weight" not in self._file.tensors,
        }
        scaling = self._rope_scaling(head_dim)
        if scaling is not None:
            config["rope_scaling"] = scaling
        for name in ("bos", "eos"):
            token = self.optional(f"tokenizer.ggml.{name}_token_id")
            if token is not None:
                config[f"{name}_token_id"] = token
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        }
        if group:
            config["quantization_config"]["group_size"] = group
        return config

    def _rope_scaling(self, head_dim: int) -> dict[str, Any] | None:
        """What ggml's keys and tensors say, in the terms of config.json."""
        kind = self.optional(f"{self.name}.rope.scaling.type")
        prefix = f"{self.name}.rope.scaling"
        context = self._count("context_length")
        magnitude = self._number("rope.scaling.attn_factor", 1.0)
        original = self._count("rope.scaling.original_context_length", context)
        factors = self._factors(LONG_FACTORS, head_dim)
        if factors is not None:
            # ggml takes the type from the tensors; the magnitude is always in the file.
            return {
                "rope_type": "longrope",
                "short_factor": self._factors(SHORT_FACTORS, head_dim, required=True),
                "long_factor": factors,
                "original_max_position_embeddings": original,
                "factor": context / original,
                "attention_factor": magnitude,
            }
        constant = self._factors(ROPE_FACTORS, head_dim)
        if constant is not None and any(value != 1.0 for value in constant):
            # Divisors of the frequencies, whatever the length: the scaling of Llama 3.
            if kind not in (None, "none"):
                raise self._unsupported(f"{prefix}.type is {kind!r:.200} beside {ROPE_FACTORS}")
            return {
                "rope_type": "longrope",
                "short_factor": constant,
                "long_factor": constant,
                "original_max_position_embeddings": original,
                "factor": 1.0,
                "attention_factor": 1.0,
            }
        if kind in (None, "none"):
            return None
        if kind not in ("linear", "yarn"):
            raise self._unsupported(
                f"{prefix}.type is {kind!r:.200}; supported: none, linear, yarn, and longrope with "
                f"the tensors {LONG_FACTORS} and {SHORT_FACTORS}"
            )
        factor = self._number("rope.scaling.factor")
        if not 0 < factor < math.inf:
            raise self._invalid(f"{prefix}.factor is {factor}, must be a positive number")
        scaling: dict[str, Any] = {"rope_type": kind, "factor": factor}
        if kind == "yarn":
            scaling["original_max_position_embeddings"] = original
            for key in ("beta_fast", "beta_slow"):
                value = self.optional(f"{prefix}.yarn_{key}")
                if value is not None:
                    scaling[key] = value
            if magnitude != 1.0:
                scaling["attention_factor"] = magnitude * (0.1 * math.log(factor) + 1)
        return scaling

    def _factors(self, name: str, head_dim: int, *, required: bool = False) -> list[float] | None:
        """A tensor of one factor for each frequency; None when there is none."""
        tensor = self._file.tensors.get(name)
        if tensor is None:
            if required:
                raise self._invalid(f"the tensor {name!r:.200} is missing")
            return None
        if tensor.kind.name != "F32" or tensor.shape != (head_dim // 2,):
            raise self._invalid(f"the tensor {name!r:.200} must hold {head_dim // 2} F32 numbers")
        return [_short(float(value)) for value in np.frombuffer(tensor.data, "<f4")]

    def checkpoint_name(self, name: str) -> str:
        """What a tensor is called in a Hugging Face checkpoint."""
        if name in _NAMES:
            return _NAMES[name]
        parts = name.split(".")
        if len(parts) == 4 and parts[0] == "blk" and parts[3] == "weight":
            module = _LAYER_NAMES.get(parts[2])
            if module is not None and _LAYER.fullmatch(parts[1]):
                return f"model.layers.{parts[1]}.{module}.weight"
        raise self._unsupported(f"the tensor {name[:200]!r} is not part of a {self.name} model")

    def text(self, key: str) -> str:
        """A required text."""
        value = self._file.metadata.get(key)
        if not isinstance(value, str):
            raise self._invalid(f"{key} is missing, or is no text")
        return value

    def optional(self, key: str) -> Any:
        """A value of any type; None when there is none."""
        return self._file.metadata.get(key)

    def _count(self, key: str, default: int | None = None) -> int:
        value = self._file.metadata.get(f"{self.name}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
            raise self._invalid(f"{self.name}.{key} is {value!r:.200}, must be a positive number")
        return value

    def _number(self, key: str, default: float | None = None) -> float:
        value = self._file.metadata.get(f"{self.name}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._invalid(f"{self.name}.{key} is {value!r:.200}, must be a number")
        return _short(float(value))

    def _invalid(self, problem: str) -> ModelLoadError:
        return ModelLoadError(f"{self._file.path}: {problem}")

    def _unsupported(self, problem: str) -> ModelLoadError:
        return ModelLoadError(f"{self._file.path}: {problem}", Reason.MODEL_UNSUPPORTED)


def _short(value: float) -> float:
    """The decimal number that somebody wrote: the file holds its nearest 32-bit float."""
    return float(f"{value:.7g}")


def template_override(metadata: Mapping[str, Any]) -> str | None:
    """A chat template that is right where the file's own is known to be wrong.

    Microsoft's file of bitnet-b1.58-2B-4T calls the speakers "Human" and "BITNETAssistant"; the
    model was trained with the names of its Hugging Face repository.
    """
    template = metadata.get("tokenizer.chat_template")
    is_bitnet = metadata.get("general.architecture") in ("bitnet-25", "bitnet-b1.58")
    if is_bitnet and isinstance(template, str) and "BITNETAssistant" in template:
        return (
            "{% for message in messages %}{{ message['role'] | capitalize }}: "
            "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}Assistant: {% endif %}"
        )
    return None
