"""A GGUF file's metadata as the configuration of a Hugging Face checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
}
_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LINEARS = frozenset({"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})

# Rotary constants follow from the configuration.
IGNORED = frozenset({"rope_freqs.weight"})


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
                f"the architecture {self.name!r} is not supported; supported: "
                + ", ".join(sorted(_FAMILIES))
            )
        self._family = family
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

    def config(self, *, ternary: bool) -> dict[str, Any]:
        """A config.json for weights that are packed trits, or floats that stand for trits."""
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
        scaling = self._rope_scaling()
        if scaling is not None:
            config["rope_scaling"] = scaling
        for name in ("bos", "eos"):
            token = self.optional(f"tokenizer.ggml.{name}_token_id")
            if token is not None:
                config[f"{name}_token_id"] = token
        if ternary:
            config["quantization_config"] = {
                "quant_method": "bitnet",
                "linear_class": "autobitlinear",
                "quantization_mode": "offline",
            }
        return config

    def _rope_scaling(self) -> dict[str, Any] | None:
        kind = self.optional(f"{self.name}.rope.scaling.type")
        if kind in (None, "none"):
            return None
        prefix = f"{self.name}.rope.scaling"
        scaling = {"rope_type": kind, "factor": self.optional(f"{prefix}.factor")}
        original = self.optional(f"{prefix}.original_context_length")
        if original is not None:
            scaling["original_max_position_embeddings"] = original
        return scaling

    def checkpoint_name(self, name: str) -> str:
        """What a tensor is called in a Hugging Face checkpoint."""
        if name in _NAMES:
            return _NAMES[name]
        parts = name.split(".")
        if len(parts) == 4 and parts[0] == "blk" and parts[1].isdecimal() and parts[3] == "weight":
            module = _LAYER_NAMES.get(parts[2])
            if module is not None:
                return f"model.layers.{int(parts[1])}.{module}.weight"
        raise self._unsupported(f"the tensor {name!r} is not part of a {self.name} model")

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
            raise self._invalid(f"{self.name}.{key} is {value!r}, must be a positive number")
        return value

    def _number(self, key: str, default: float | None = None) -> float:
        value = self._file.metadata.get(f"{self.name}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._invalid(f"{self.name}.{key} is {value!r}, must be a number")
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
