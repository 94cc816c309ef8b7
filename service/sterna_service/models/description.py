"""What can be said of a model from its files, without loading it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sterna_service.encoders.encoder import longest_text
from sterna_service.encoders.files import is_encoder, onnx_in
from sterna_service.encoders.onnx_file import read_onnx, weight_files
from sterna_service.encoders.traits import EmbeddingTraits, read_traits
from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json
from sterna_service.inference.chat_template import load_chat_template
from sterna_service.inference.sampling import SamplingDefaults, defaults_from
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.gguf.architecture import Architecture
from sterna_service.models.gguf.container import read_gguf
from sterna_service.models.gguf.convert import gguf_in
from sterna_service.models.manifest import read_manifest
from sterna_service.models.weight_files import parameter_count

_Identity = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a decoder; zero where the configuration does not say."""

    name: str = ""
    vocabulary_size: int = 0
    hidden_size: int = 0
    intermediate_size: int = 0
    layer_count: int = 0
    head_count: int = 0
    kv_head_count: int = 0
    head_size: int = 0
    tied_embeddings: bool = False


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model, for people and for lists. `problem` says why the rest may be missing."""

    source: ModelSource
    family: str = ""
    shape: Shape = field(default_factory=Shape)
    format: str = "safetensors"
    quantization: str = ""
    parameter_count: int = 0
    context_length: int = 0
    template_name: str = ""
    defaults: SamplingDefaults = field(default_factory=SamplingDefaults)
    size_bytes: int = 0
    create_time: datetime | None = None
    revision: str = ""
    """The commit that was pulled; empty when it was not pulled."""
    encoder: bool = False
    """It is a sentence encoder: it makes vectors of texts, and nothing else."""
    embedding: EmbeddingTraits = field(default_factory=EmbeddingTraits)
    """What it says about vectors of texts."""
    problem: str = ""

    @property
    def dimensions(self) -> int:
        """Components of its vectors."""
        dense = self.embedding.dense
        return dense[-1].outputs if dense else self.shape.hidden_size


# Descriptions by model, with what its files were when they were read.
_known: dict[ModelSource, tuple[_Identity, ModelDescription]] = {}
_MOST_KNOWN = 256


def describe(source: ModelSource) -> ModelDescription:
    """Describes a model. Never fails: a damaged one is described by its problem. Blocks.

    What was read once is read again only when a file has changed, come or gone.
    """
    identity = _identity(source.path)
    known = _known.get(source)
    if known is not None and known[0] == identity:
        return known[1]
    description = _describe(source)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[source] = (identity, description)
    return description


def _identity(path: Path) -> _Identity:
    """Name, inode, size and time of every file: whoever writes one changes them."""
    files = []
    with contextlib.suppress(OSError):
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            facts = file.stat()
            files.append((str(file), facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return tuple(files)


def _describe(source: ModelSource) -> ModelDescription:
    size, created = _files(source.path)
    manifest = read_manifest(source.path)
    revision = "" if manifest is None else manifest.revision
    try:
        file = gguf_in(source.path)
        if file is not None:
            return replace(
                _describe_gguf(source, file),
                size_bytes=size,
                create_time=created,
                revision=revision,
            )
        if is_encoder(source.path):
            return replace(
                _describe_encoder(source),
                size_bytes=size,
                create_time=created,
                revision=revision,
            )
        config = read_json(source.path / "config.json")
        generation = source.path / "generation_config.json"
        template = load_chat_template(source.path)
        return ModelDescription(
            source=source,
            family=_text(config.get("model_type")),
            shape=_shape(config),
            quantization=_quantization(config),
            parameter_count=parameter_count(source.path),
            context_length=_count(config.get("max_position_embeddings")),
            template_name="" if template is None else template.name,
            defaults=defaults_from(read_json(generation, missing={}), str(generation)),
            size_bytes=size,
            create_time=created,
            revision=revision,
            embedding=read_traits(source.path),
        )
    except ModelLoadError as error:
        return ModelDescription(
            source=source,
            size_bytes=size,
            create_time=created,
            revision=revision,
            problem=str(error),
        )


def _describe_gguf(source: ModelSource, path: Path) -> ModelDescription:
    file = read_gguf(path)
    config = Architecture(file).config()
    template = file.metadata.get("tokenizer.chat_template")
    kinds = sorted({t.kind.name for t in file.tensors.values() if t.kind.trits is not None})
    return ModelDescription(
        source=source,
        family=_text(config.get("model_type")),
        shape=_shape(config),
        format="gguf",
        quantization=f"ternary {', '.join(kinds)}" if kinds else "none",
        parameter_count=sum(math.prod(tensor.shape) for tensor in file.tensors.values()),
        context_length=_count(config.get("max_position_embeddings")),
        template_name="default" if isinstance(template, str) else "",
    )


def _describe_encoder(source: ModelSource) -> ModelDescription:
    config = read_json(source.path / "config.json")
    traits = read_traits(source.path)
    onnx = onnx_in(source.path)
    if onnx is not None:
        weight_files(onnx, source.path)
        parameters = read_onnx(onnx).parameter_count
    else:
        parameters = parameter_count(source.path)
    return ModelDescription(
        source=source,
        family=_text(config.get("model_type")),
        shape=_shape(config),
        format="safetensors" if onnx is None else "onnx",
        quantization="none",
        parameter_count=parameters,
        context_length=longest_text(traits, config),
        encoder=True,
        embedding=traits,
    )


def _files(path: Path) -> tuple[int, datetime | None]:
    """The bytes of a checkpoint's files, and when the last of them was written."""
    size = 0
    latest = 0.0
    with contextlib.suppress(OSError):
        for file in [path] if path.is_file() else path.rglob("*"):
            facts = file.stat()
            if file.is_file():
                size += facts.st_size
                latest = max(latest, facts.st_mtime)
    return size, datetime.fromtimestamp(latest, UTC) if latest else None


def _shape(config: Mapping[str, Any]) -> Shape:
    architectures = config.get("architectures")
    heads = _count(config.get("num_attention_heads"))
    hidden = _count(config.get("hidden_size"))
    return Shape(
        name=_text(architectures[0]) if isinstance(architectures, list) and architectures else "",
        vocabulary_size=_count(config.get("vocab_size")),
        hidden_size=hidden,
        intermediate_size=_count(config.get("intermediate_size")),
        layer_count=_count(config.get("num_hidden_layers")),
        head_count=heads,
        kv_head_count=_count(config.get("num_key_value_heads")) or heads,
        head_size=_count(config.get("head_dim")) or (hidden // heads if heads else 0),
        tied_embeddings=config.get("tie_word_embeddings") is True,
    )


def _quantization(config: Mapping[str, Any]) -> str:
    declared = config.get("quantization_config")
    if declared is None:
        # Latent weights, or floats that are ternary as they are: reading all of them would tell.
        return "undeclared"
    if not isinstance(declared, dict) or declared.get("quant_method") != "bitnet":
        return "none"
    if declared.get("quantization_mode") == "online":
        return "ternary, quantized on load"
    group = _count(declared.get("group_size"))
    return f"ternary group-{group}" if group else "ternary packed"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    """A count that fits the protocol's 32 bits, or zero."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**31 else 0
