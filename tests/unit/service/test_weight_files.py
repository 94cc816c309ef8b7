"""What is said of a checkpoint before it is loaded: parameters, quantization, memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from sterna_service.engine import _native
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.description import describe
from sterna_service.models.loading import weights_on_disk
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import Shape

SIZES = (256, 512, 2, 4, 2, 64, 320)


@pytest.mark.parametrize(
    ("shape", "quantization"),
    [
        (Shape("bitnet", "multiply", *SIZES), "ternary packed"),
        (Shape("bitnet", "online-f32", *SIZES), "ternary, quantized on load"),
        (Shape("qwen3", "packed-groups", *SIZES), "ternary group-128"),
        (Shape("qwen3", "groups", *SIZES, ternary_tables=False), "undeclared"),
    ],
)
def test_what_a_model_will_be(tmp_path: Path, shape: Shape, quantization: str) -> None:
    make_checkpoint(tmp_path / "model", shape, 1)
    source = ModelSource("a/model", tmp_path / "model")
    described = describe(source)
    assert (described.problem, described.quantization) == ("", quantization)
    _native.pack_checkpoint(str(source.path), str(tmp_path / "bundle"))
    model = _native.Model.open(str(tmp_path / "bundle"))
    assert described.parameter_count == model.parameter_count
    # Floats that become ternary are counted as what they become.
    assert model.weight_bytes * 0.95 <= weights_on_disk(source) <= model.weight_bytes * 1.1


def test_a_damaged_file_counts_as_it_is(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, Shape("bitnet", "multiply", *SIZES), 1)
    weights = tmp_path / "model.safetensors"
    for raw in (b"", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]"):
        weights.write_bytes(raw)
        source = ModelSource("a/model", tmp_path)
        assert weights_on_disk(source) == len(raw)
        assert describe(source).problem
