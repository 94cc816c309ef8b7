"""How a model comes into memory: which of its files, by what means, with which options."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sterna_service.encoders.encoder import EncoderOptions, load_encoder
from sterna_service.encoders.files import is_encoder, onnx_in
from sterna_service.encoders.onnx_file import weight_files
from sterna_service.encoders.traits import Pooling
from sterna_service.engine.types import EngineOptions
from sterna_service.errors import ModelLoadError
from sterna_service.inference.loaded_model import load_model
from sterna_service.inference.sampling import RequestDefaults
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.resident import ModelSettings, ServedModel
from sterna_service.models.weight_files import packed_size


@dataclass(frozen=True, slots=True)
class LoadingOptions:
    """What all models of a server are loaded with."""

    engine: EngineOptions = field(default_factory=EngineOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    pooling: Pooling = Pooling.MEAN
    """How language models make vectors, where they do not say it."""
    tokenizers: Mapping[str, Path] = field(default_factory=dict)
    """Directories whose tokenizer a model takes, by the model's id."""
    requests: RequestDefaults = field(default_factory=RequestDefaults)
    """What requests get that leave a field out, where it is not the model's own."""


class ModelLoader:
    """Loads language models and sentence encoders."""

    def __init__(self, home: Path, options: LoadingOptions) -> None:
        self._home = home
        self.options = options

    async def load(self, source: ModelSource, settings: ModelSettings) -> ServedModel:
        """Loads a model.

        Raises:
            ModelLoadError: It cannot be used; nothing is left of it.
        """
        if await asyncio.to_thread(is_encoder, source.path):
            encoder = self.options.encoder
            encoder = replace(encoder, threads=settings.threads or encoder.threads)
            return await load_encoder(source.model_id, source.path, encoder)
        engine = self.options.engine
        engine = replace(
            engine,
            threads=settings.threads or engine.threads,
            head_precision=settings.head_precision or engine.head_precision,
        )
        path = await asyncio.to_thread(checkpoint_of, source.path, self._home)
        model = await load_model(
            source.model_id,
            path,
            self._home,
            engine,
            self.options.pooling,
            tokenizer=self.options.tokenizers.get(source.model_id),
        )
        model.defaults = self.options.requests.over(model.defaults)
        return model


def weights_on_disk(source: ModelSource) -> int:
    """About the memory that a model will take, before it is there, in bytes. Blocks."""
    if source.path.is_file():
        return source.path.stat().st_size
    patterns = ("*.safetensors", "*.gguf")
    files = [file for pattern in patterns for file in source.path.glob(pattern)]
    if is_encoder(source.path):
        onnx = onnx_in(source.path)
        try:
            files = [] if onnx is None else weight_files(onnx, source.path)
        except ModelLoadError:
            # Loading it says why.
            files = []
    return sum(
        packed_size(file) if file.suffix == ".safetensors" else file.stat().st_size
        for file in files
    )
