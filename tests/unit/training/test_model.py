"""The quantized model, its file and its training loop; skipped where torch is not installed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.windows import Windows

torch = pytest.importorskip("torch")
model_module = pytest.importorskip("training.model")
export_module = pytest.importorskip("training.export")
trainer_module = pytest.importorskip("training.trainer")
adapter_module = pytest.importorskip("training.adapter")
optimizer_module = pytest.importorskip("training.optimizer")

TINY = model_module.ModelConfig(32, 48, 2, 2, 1, 64, 128)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return model_module.BitNet(TINY).eval()


def test_weights_become_three_values_and_a_bf16_scale() -> None:
    weight = torch.randn(8, 16)
    codes, scale = model_module.ternary(weight)
    assert set(codes.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert scale == scale.bfloat16().float()
    assert torch.allclose(scale, weight.abs().mean(), rtol=0.01)


def test_activations_become_int8_with_half_to_even() -> None:
    codes, step = model_module.quantize_rows(torch.tensor([[127.0, 0.5, 1.5, -2.5]]))
    assert step.item() == 1.0
    assert codes.tolist() == [[127.0, 0.0, 2.0, -2.0]]


def test_the_training_arithmetic_is_that_of_integers() -> None:
    x, weight = torch.randn(5, 32), torch.randn(8, 32)
    exact = model_module.project(x, [weight], "exact")
    codes, step = model_module.quantize_rows(x)
    ternary, scale = model_module.ternary(weight)
    by_hand = (codes.to(torch.int64) @ ternary.to(torch.int64).T).float() * step * scale
    assert torch.equal(exact, by_hand)
    assert torch.allclose(model_module.project(x, [weight], "bf16"), exact, rtol=1e-2, atol=1e-3)


def test_gradients_pass_the_rounding() -> None:
    x = torch.randn(5, 32, requires_grad=True)
    weight = torch.randn(8, 32, requires_grad=True)
    model_module.project(x, [weight], "bf16").square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert weight.grad.abs().sum() > 0


def test_a_cache_changes_nothing(model: Any) -> None:
    ids = torch.tensor([[0, 5, 6, 7, 8, 9]])
    whole = model.hidden(ids, arithmetic="exact")
    caches = [model_module.Cache() for _ in model.layers]
    first = model.hidden(ids[:, :4], caches=caches, arithmetic="exact")
    rest = [model.hidden(ids[:, i : i + 1], caches=caches, arithmetic="exact") for i in (4, 5)]
    assert torch.allclose(torch.cat([first, *rest], 1), whole, atol=1e-5)


def test_a_token_sees_only_its_own_document(model: Any) -> None:
    mask = model_module.document_mask
    left = torch.tensor([[0, 5, 6, 0, 7, 8]])
    right = torch.tensor([[0, 9, 9, 0, 7, 8]])
    one = model.hidden(left, mask(left, 0), arithmetic="exact")
    other = model.hidden(right, mask(right, 0), arithmetic="exact")
    assert torch.equal(one[:, 3:], other[:, 3:])
    assert not torch.equal(one[:, 1:3], other[:, 1:3])


def test_packing_keeps_every_code() -> None:
    codes = torch.randint(-1, 2, (12, 7)).float()
    packed = export_module.pack(codes)
    assert packed.shape == (3, 7)
    unpacked = torch.cat([((packed >> (2 * i)) & 3).float() - 1 for i in range(4)])
    assert torch.equal(unpacked, codes)
    with pytest.raises(ValueError, match="multiple of 4 rows"):
        export_module.pack(torch.zeros(6, 4))


def test_the_export_is_complete(model: Any, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    export_module.export(model, tokenizer, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["BitNetForCausalLM"]
    assert config["hidden_size"] == 32
    tensors = export_module.packed_tensors(model)
    assert tensors["model.layers.0.mlp.gate_proj.weight"].shape == (12, 32)
    assert tensors["model.layers.0.mlp.gate_proj.weight_scale"].dtype == torch.bfloat16
    assert tensors["model.embed_tokens.weight"].shape == (64, 32)
    assert len(tensors) == 2 + TINY.num_hidden_layers * (7 * 2 + 4)


def test_an_orthogonalized_step_has_no_preferred_direction() -> None:
    gradient = torch.randn(3, 16, 8) * torch.logspace(0, -1, 8)
    values = torch.linalg.svdvals(optimizer_module.orthogonalized(gradient).float())
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_does(model: Any) -> None:
    ids = torch.tensor([[0, 5, 6, 7]])
    before = model.hidden(ids, arithmetic="exact")
    pairs = adapter_module.attach(model, adapter_module.AdapterOptions(rank=2, alpha=4))
    assert len(pairs) == TINY.num_hidden_layers * 7
    assert torch.equal(model.hidden(ids, arithmetic="exact"), before)
    for _, b in pairs.values():
        b.data.fill_(0.05)
    assert not torch.equal(model.hidden(ids, arithmetic="exact"), before)


def _trainer(directory: Path, total: int) -> Any:
    rng = np.random.default_rng(1)
    tokens = rng.integers(4, 64, (20, 33)).astype(np.uint16)
    tokens[:, 0] = 0
    windows = Windows(tokens, np.full((20, 33), 10, np.uint8))
    options = trainer_module.TrainOptions(
        total_tokens=total,
        decay_tokens=0,
        warmup_tokens=100,
        batch_tokens=128,
        long_every=3,
        threads=1,
        compile=False,
        muon_lr=0.01,
    )
    data = dict.fromkeys(("short", "long", "validation"), windows)
    return trainer_module.Trainer(replace(TINY), data, directory, options)


def test_training_learns_and_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = _trainer(tmp_path / "a", 128 * 20)
    first = unbroken.validate()
    unbroken.run()
    assert unbroken.validate() < first

    _trainer(tmp_path / "b", 128 * 9).run()
    resumed = _trainer(tmp_path / "b", 128 * 20)
    assert resumed.tokens == 128 * 9
    resumed.run()
    pairs = zip(
        unbroken.model.parameters(),
        resumed.model.parameters(),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    records = [json.loads(x) for x in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    assert [r["event"] for r in records if "event" in r] == ["start", "done", "start", "done"]


def test_another_size_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    _trainer(tmp_path, 128).run()
    checkpoint = tmp_path / "checkpoint.pt"
    state = torch.load(checkpoint)
    state["config"]["num_hidden_layers"] = 3
    torch.save(state, checkpoint)
    with pytest.raises(ValueError, match="--run"):
        _trainer(tmp_path, 256)
