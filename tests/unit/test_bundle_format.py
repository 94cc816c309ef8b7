"""A bundle is an ordinary safetensors file: any library reads it, and it says what it should."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import safetensors

import sterna_service.models
from sterna_service.engine import _native

EMBEDDED = Path(sterna_service.models.__file__).parent / "embedded"

# Bundle name -> module of a layer in the checkpoint.
LINEARS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "embedded.safetensors"
    _native.pack_checkpoint(str(EMBEDDED), str(path))
    return path


def raw_tensors(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    tensors = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in tensors}


def float32(bf16: bytes) -> npt.NDArray[np.float32]:
    return (np.frombuffer(bf16, np.uint16).astype(np.uint32) << 16).view(np.float32)


def unpack_checkpoint(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """[rows / 4, cols] bytes to [rows, cols] trits: a byte holds one row of each quarter."""
    quarters = [(packed >> shift) & 3 for shift in (0, 2, 4, 6)]
    return np.concatenate(quarters).astype(np.int8) - 1


def unpack_tiles(tiles: npt.NDArray[np.uint8], rows: int, cols: int) -> npt.NDArray[np.int8]:
    """[row_tiles, col_blocks, 64]: byte 4 r + j, bits 2 s, holds row r, column 4 s + j."""
    row_tiles, col_blocks, _ = tiles.shape
    block = tiles.reshape(row_tiles, col_blocks, 16, 4)
    codes = np.stack([(block >> (2 * s)) & 3 for s in range(4)], axis=3)  # [.., r, s, j]
    matrix = codes.reshape(row_tiles, col_blocks, 16, 16).transpose(0, 2, 1, 3)
    trits = matrix.reshape(row_tiles * 16, col_blocks * 16).astype(np.int8) - 1
    assert not trits[rows:].any()
    assert not trits[:, cols:].any()
    return trits[:rows, :cols]


def test_metadata_describe_the_bundle(bundle: Path) -> None:
    with safetensors.safe_open(bundle, framework="np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "sterna-bundle"
    assert metadata["version"] == "1"
    source = json.loads((EMBEDDED / "config.json").read_text())
    config = json.loads(metadata["config"])
    for key in ("architectures", "vocab_size", "hidden_size", "rope_theta", "hidden_act"):
        assert config[key] == source[key]


def test_every_tensor_is_aligned(bundle: Path) -> None:
    content = bundle.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    assert (8 + length) % 64 == 0
    assert len(header) > 50
    for name, entry in header.items():
        if not name.startswith("_padding."):
            assert entry["data_offsets"][0] % 64 == 0, name


def test_weights_are_those_of_the_checkpoint(bundle: Path) -> None:
    source = raw_tensors(EMBEDDED / "model.safetensors")
    packed = raw_tensors(bundle)
    layers = json.loads((EMBEDDED / "config.json").read_text())["num_hidden_layers"]
    assert packed["embed_tokens"] == source["model.embed_tokens.weight"]
    for layer in range(layers):
        for name, module in LINEARS.items():
            prefix = f"model.layers.{layer}.{module}"
            _, shape, data = source[f"{prefix}.weight"]
            trits = unpack_checkpoint(np.frombuffer(data, np.uint8).reshape(shape))
            dtype, tile_shape, tile_data = packed[f"layers.{layer}.{name}.tiles"]
            assert dtype == "U8"
            tiles = np.frombuffer(tile_data, np.uint8).reshape(tile_shape)
            assert np.array_equal(unpack_tiles(tiles, *trits.shape), trits)
            scale = np.frombuffer(packed[f"layers.{layer}.{name}.scale"][2], np.float32)
            assert scale == float32(source[f"{prefix}.weight_scale"][2])


def test_norms_are_widened(bundle: Path) -> None:
    source = raw_tensors(EMBEDDED / "model.safetensors")
    packed = raw_tensors(bundle)
    for name, module in (
        ("norm", "model.norm"),
        ("layers.0.input_norm", "model.layers.0.input_layernorm"),
        ("layers.1.ffn_sub_norm", "model.layers.1.mlp.ffn_sub_norm"),
    ):
        dtype, _, data = packed[name]
        assert dtype == "F32"
        expected = float32(source[f"{module}.weight"][2])
        assert np.array_equal(np.frombuffer(data, np.float32), expected)


def test_the_engine_reads_what_it_wrote(bundle: Path) -> None:
    model = _native.Model.open(str(bundle))
    assert model.config.vocab_size == 4096
    assert 0 < model.weight_bytes <= bundle.stat().st_size


def test_a_damaged_bundle_is_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(bundle.read_bytes()[:-1])
    with pytest.raises(_native.NativeError, match="truncated") as refusal:
        _native.Model.open(str(damaged))
    assert refusal.value.code == "checkpoint_invalid"
    assert refusal.value.field == "layers.3.down.tiles"
    assert str(damaged) in str(refusal.value)
