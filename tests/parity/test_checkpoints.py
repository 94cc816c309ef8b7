"""The random checkpoints are the same everywhere, and well-formed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from scripts.checkpoint_presets import GROUPED_PRESETS, PRESETS, TINY_PRESETS
from sterna_service.engine import _native
from sterna_service.models.synthetic.checkpoint import RandomStream, tensor_plans, to_bfloat16
from tests.parity.fixtures import REPOSITORY, Workbench
from tests.parity.numpy_model import read_safetensors, unpack_codes

SCRIPT = REPOSITORY / "scripts" / "make_tiny_checkpoint.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", [*TINY_PRESETS, *GROUPED_PRESETS])
def test_checkpoint_is_what_the_golden_values_belong_to(name: str, workbench: Workbench) -> None:
    directory = workbench.checkpoint(name)  # compares the SHA-256
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    with safe_open(directory / "model.safetensors", "numpy") as file:
        assert {plan.name for plan in tensor_plans(PRESETS[name])} == set(file.keys())
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    text = "What is the point of that? 42 Zoë 🐦\n"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text
    assert max(ids) < config["vocab_size"]


def test_shards_give_the_same_bundle(workbench: Workbench, tmp_path: Path) -> None:
    """As transformers saves large models: an index, and tensors in several files."""
    whole = workbench.checkpoint("qwen3-groups-untied")
    with safe_open(whole / "model.safetensors", "numpy") as file:
        names = sorted(file.keys())
    raw = (whole / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    (sharded / "config.json").write_bytes((whole / "config.json").read_bytes())
    index = {}
    for number in range(3):
        entries, content = {}, b""
        for name in names[number::3]:
            begin, end = header[name]["data_offsets"]
            place = [len(content), len(content) + end - begin]
            entries[name] = header[name] | {"data_offsets": place}
            content += data[begin:end]
            index[name] = f"model-0000{number + 1}-of-00003.safetensors"
        text = json.dumps(entries).encode()
        path = sharded / f"model-0000{number + 1}-of-00003.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    bundles = [tmp_path / "whole.bundle", tmp_path / "sharded.bundle"]
    for source, bundle in zip((whole, sharded), bundles, strict=True):
        _native.pack_checkpoint(str(source), str(bundle))
    assert bundles[0].read_bytes() == bundles[1].read_bytes()


def test_packed_codes_are_ternary(workbench: Workbench) -> None:
    tensors = read_safetensors(workbench.checkpoint("llama-divide") / "model.safetensors")
    codes = unpack_codes(tensors["model.layers.0.self_attn.k_proj.weight"])
    assert codes.shape == (64, 144)
    values, counts = np.unique(codes, return_counts=True)
    assert values.tolist() == [-1, 0, 1]
    assert counts.min() > 0.25 * codes.size


def test_random_values_have_the_right_moments() -> None:
    values = RandomStream(1, "x").normal(100_000)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert not np.array_equal(values[:10], RandomStream(2, "x").normal(10))
    assert not np.array_equal(values[:10], RandomStream(1, "y").normal(10))
    assert np.array_equal(values[:10], RandomStream(1, "x").normal(10))


def test_bfloat16_rounds_halves_to_even() -> None:
    values = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF], np.uint32)
    assert to_bfloat16(values.view(np.float32)).tolist() == [0x3F80, 0x3F82, 0x3F81, 0x3F80]


def test_command_line(tmp_path: Path) -> None:
    listing = run("--list")
    assert listing.returncode == 0
    assert "bitnet-b1.58-2B-4T" in listing.stdout
    made = run("bitnet-multiply", str(tmp_path / "model"), "--layers", "1")
    assert made.returncode == 0, made.stderr
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == 1
    refused = run("bitnet-7B", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert "bitnet-b1.58-2B-4T" in refused.stderr
    assert not (tmp_path / "other").exists()
