"""Linear layers behind the pooling, as embeddinggemma has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sterna_service.encoders.traits import DenseSpec
from sterna_service.errors import ModelLoadError, Reason

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """`x W^T + b`, perhaps with tanh around it. W: [outputs, inputs]."""

    weight: Floats
    bias: Floats | None
    tanh: bool

    @property
    def weight_bytes(self) -> int:
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def __call__(self, vectors: Floats) -> Floats:
        """From [texts, inputs] to [texts, outputs]."""
        result: Floats = vectors @ self.weight.T
        if self.bias is not None:
            result += self.bias
        return np.tanh(result) if self.tanh else result


def load_dense(spec: DenseSpec) -> DenseLayer:
    """Reads a layer. Blocks.

    Raises:
        ModelLoadError: A tensor is missing, has another shape, or holds no finite numbers.
    """
    path = spec.directory / "model.safetensors"
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise ModelLoadError(
            f"{path}: reading it needs the extra embeddings: "
            "pip install 'sterna-server[embeddings]'",
            Reason.MODEL_UNSUPPORTED,
        ) from None
    try:
        tensors: Mapping[str, NDArray[Any]] = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{path}: cannot be read ({error})") from None
    wanted = {"linear.weight": (spec.outputs, spec.inputs)}
    if spec.bias:
        wanted["linear.bias"] = (spec.outputs,)  # type: ignore[assignment]
    found = {}
    for name, shape in wanted.items():
        tensor = tensors.get(name)
        if tensor is None or tensor.shape != shape or tensor.dtype.kind != "f":
            raise ModelLoadError(f"{path}: must hold {name} as floats of the shape {list(shape)}")
        found[name] = np.ascontiguousarray(tensor, dtype=np.float32)
        if not np.isfinite(found[name]).all():
            raise ModelLoadError(f"{path}: {name} holds a value that is not finite")
    return DenseLayer(found["linear.weight"], found.get("linear.bias"), spec.tanh)
