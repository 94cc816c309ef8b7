"""Checkpoints and models for the parity tests, made once per process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.checkpoint_presets import GROUPED_PRESETS, PRESETS, TINY_PRESETS
from sterna_service.engine import _native
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from tests.parity.compare import Golden

Array = npt.NDArray[Any]

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "data" / "golden"
EMBEDDED = REPOSITORY / "service" / "sterna_service" / "models" / "embedded"
EMBEDDED_NAME = "embedded"
NAMES = (*TINY_PRESETS, EMBEDDED_NAME)
ALL_NAMES = (*NAMES, *GROUPED_PRESETS)

KV_CACHE_DTYPES = ("f32", "bf16", "int8")

REMEDY = "run tests/golden/make_golden.py again (see tests/golden/README.md)"


class Workbench:
    """Makes checkpoints and opens models below `root`; the same one is made only once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._golden: dict[str, Golden] = {}
        self._models: dict[tuple[str, int], _native.Model] = {}

    def golden(self, name: str) -> Golden:
        if name not in self._golden:
            self._golden[name] = Golden.load(GOLDEN / f"{name}.npz")
        return self._golden[name]

    def checkpoint(self, name: str, seed: int = 0) -> Path:
        """The checkpoint directory that the golden values belong to."""
        digests = self.golden(name).meta["sha256"]
        if name == EMBEDDED_NAME:
            actual = hashlib.sha256((EMBEDDED / "model.safetensors").read_bytes()).hexdigest()
            assert actual == digests["0"], f"the embedded model has changed: {REMEDY}"
            return EMBEDDED
        directory = self.root / f"{name}-{seed}"
        if not directory.exists():
            actual = make_checkpoint(directory, PRESETS[name], seed)
            assert actual == digests[str(seed)], f"{name} has changed: {REMEDY}"
        return directory

    def model(self, name: str, seed: int = 0) -> _native.Model:
        """The engine's model, packed and mapped."""
        seed = 0 if name == EMBEDDED_NAME else seed
        if (name, seed) not in self._models:
            bundle = self.root / f"{name}-{seed}.bundle.safetensors"
            _native.pack_checkpoint(str(self.checkpoint(name, seed)), str(bundle))
            self._models[name, seed] = _native.Model.open(str(bundle))
        return self._models[name, seed]


class NativeModel:
    """The engine's forward pass, behind the interface that the numpy model has, too."""

    def __init__(self, model: _native.Model, kv_cache_dtype: str = "f32") -> None:
        self._model = model
        self._kv_cache_dtype = kv_cache_dtype  # of `logits`

    def linear(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        return _native.testing.linear(self._model, name, np.ascontiguousarray(x))

    def layer(self, index: int, x: Array) -> Array:
        return _native.testing.layer(self._model, index, np.ascontiguousarray(x))

    def logits(self, tokens: list[int]) -> Array:
        return _native.testing.logits(self._model, tokens, kv_cache_dtype=self._kv_cache_dtype)
