"""Downloads of repositories that hold an adapter and no model."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.hub import Hub
from sterna_service.models.manifest import compare, read_manifest
from sterna_service.models.pull import pull
from sterna_service.models.store import Store, wanted
from sterna_service.models.stored_adapters import describe_adapter
from tests.support.hub_server import COMMIT, HubServer, hub_server

PIRATE = Path(__file__).parents[2] / "data" / "adapters" / "pirate"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """With what training scripts leave beside an adapter."""
    repository = tmp_path / "repository"
    shutil.copytree(PIRATE, repository)
    for name in ("config.json", "tokenizer.json", "training_args.bin", "optimizer.pt"):
        (repository / name).write_text("{}")
    (repository / "README.md").write_text("a pirate")
    (repository / "checkpoint-10").mkdir()
    shutil.copy(PIRATE / WEIGHTS, repository / "checkpoint-10")
    with hub_server() as server:
        server.repositories["me/pirate"] = repository
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def bring(store: Store, server: HubServer) -> Path:
    client = Hub(server.url, first_pause_seconds=0.01)
    return pull(store, client, "me/pirate", "", lambda _: None, threading.Event())


def test_only_the_adapter_comes(store: Store, hub: HubServer) -> None:
    hub.cuts = [1000, 5000]
    path = bring(store, hub)
    assert hub.ranges
    names = sorted(each.name for each in path.iterdir())
    assert names == [".sterna.json", "README.md", CONFIG, WEIGHTS]
    assert (path / WEIGHTS).read_bytes() == (PIRATE / WEIGHTS).read_bytes()
    manifest = read_manifest(path)
    assert manifest is not None
    assert compare(path, manifest) == []
    catalogue = Catalogue(store.path.parent)
    assert "me/pirate" not in [each.model_id for each in catalogue.sources()]
    (stored,) = catalogue.stored_adapters()
    adapter = describe_adapter(stored)
    assert (adapter.adapter_id, adapter.revision, adapter.rank) == ("me/pirate", COMMIT, 16)
    assert (adapter.base_model, adapter.problem) == ("sterna/tern-nano", "")
    assert adapter.size_bytes == (PIRATE / WEIGHTS).stat().st_size


def test_an_adapter_is_found_by_its_names(store: Store, hub: HubServer) -> None:
    path = bring(store, hub)
    catalogue = Catalogue(store.path.parent)
    for name in ("me/pirate", "pirate", str(path)):
        assert catalogue.adapter_at(name) == path.resolve()
    assert catalogue.adapter_at("irate") is None
    assert catalogue.adapter_at("") is None


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_wrong_checksum(store: Store, hub: HubServer, name: str) -> None:
    hub.wrong_digests = {name}
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not (store.path / "me/pirate").exists()


def test_pickled_weights_are_refused(store: Store, hub: HubServer) -> None:
    repository = hub.repositories["me/pirate"]
    (repository / WEIGHTS).rename(repository / "adapter_model.bin")
    with pytest.raises(ServiceError, match="safe_serialization") as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.ADAPTER_UNSUPPORTED
    assert hub.sent_bytes == 0


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([CONFIG, WEIGHTS, "config.json", "x.bin"], [CONFIG, WEIGHTS]),
        ([CONFIG, WEIGHTS, "LICENSE", "vocab.json"], ["LICENSE", CONFIG, WEIGHTS]),
        # Beside a model it is no use: its weights are enough without it.
        (
            [CONFIG, WEIGHTS, "config.json", "model.safetensors"],
            ["config.json", "model.safetensors"],
        ),
        ([CONFIG, WEIGHTS, "a-i2_s.gguf"], ["a-i2_s.gguf"]),
        ([CONFIG, f"checkpoint-1/{WEIGHTS}"], [CONFIG]),
    ],
)
def test_only_what_is_needed(names: list[str], chosen: list[str]) -> None:
    assert wanted(names) == chosen


def test_an_adapter_with_a_configuration_of_its_model_is_imported(
    store: Store, tmp_path: Path
) -> None:
    """Training scripts save that of the model beside it."""
    saved = tmp_path / "saved"
    shutil.copytree(PIRATE, saved)
    (saved / "config.json").write_text("{}")
    store.take_in("me/mine", saved)
    (stored,) = Catalogue(store.path.parent).stored_adapters()
    assert stored.model_id == "me/mine"
    (saved / WEIGHTS).unlink()
    with pytest.raises(ModelLoadError, match=WEIGHTS):
        store.take_in("me/half", saved)


@pytest.mark.parametrize(
    ("config", "rank", "modules"),
    [
        ({"r": "16", "target_modules": None}, 0, ()),
        ({"r": 2**40, "target_modules": ["b", 3, "a\n\x1b[31m"]}, 0, ("a[31m", "b")),
        ({"r": True, "target_modules": ".*_proj"}, 0, (".*_proj",)),
        ({"r": 4, "target_modules": ["\ud800x" * 500]}, 4, ("x" * 200,)),
    ],
)
def test_what_an_adapter_says_is_not_trusted(
    store: Store, config: dict[str, object], rank: int, modules: tuple[str, ...]
) -> None:
    directory = store.path / "me" / "odd"
    shutil.copytree(PIRATE, directory)
    (directory / CONFIG).write_text(json.dumps(config))
    (stored,) = Catalogue(store.path.parent).stored_adapters()
    adapter = describe_adapter(stored)
    assert (adapter.rank, adapter.modules) == (rank, modules)
