"""Bundles: packed once, whoever comes first, and again when the checkpoint has changed."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from sterna_service.engine.bundle import Bundle, bundle_name, discard_bundle, ensure_bundle
from sterna_service.errors import ModelLoadError


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / "config.json").write_text('{"hidden_size": 128}')
    (directory / "model.safetensors").write_bytes(b"weights")
    return directory


class Packer:
    """Stands for the engine's packing, which is tested elsewhere; counts its work."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.count = 0
        self._seconds = seconds

    def __call__(self, checkpoint: Path, target: Path) -> None:
        self.count += 1
        time.sleep(self._seconds)
        target.write_bytes(b"packed " + (checkpoint / "model.safetensors").read_bytes())


def test_is_packed_once(weights: Path, tmp_path: Path) -> None:
    pack = Packer()
    first = ensure_bundle(weights, "org/name", tmp_path / "home", pack)
    second = ensure_bundle(weights, "org/name", tmp_path / "home", pack)
    assert first.path == second.path
    assert (first.packed_now, second.packed_now) == (True, False)
    assert pack.count == 1
    assert first.path.read_bytes() == b"packed weights"
    assert first.path.parent == tmp_path / "home" / "bundles"
    assert first.path.name.startswith("org-name-")


def test_a_changed_checkpoint_has_another_name(weights: Path) -> None:
    names = {bundle_name(weights, "m")}
    (weights / "config.json").write_text('{"hidden_size": 256}')
    names.add(bundle_name(weights, "m"))
    (weights / "model.safetensors").write_bytes(b"more weights")
    names.add(bundle_name(weights, "m"))
    os.utime(weights / "model.safetensors", ns=(1, 1))
    names.add(bundle_name(weights, "m"))
    (weights / "model-2.safetensors").write_bytes(b"")
    names.add(bundle_name(weights, "m"))
    assert len(names) == 5


def test_starts_at_the_same_time_pack_once(weights: Path, tmp_path: Path) -> None:
    pack = Packer(seconds=0.05)
    found: list[Bundle] = []

    def start() -> None:
        found.append(ensure_bundle(weights, "m", tmp_path / "home", pack))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pack.count == 1
    assert len({bundle.path for bundle in found}) == 1
    assert [bundle.packed_now for bundle in found].count(True) == 1


def test_an_unwritable_home_leads_to_a_temporary_file(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    home.write_text("a file where the directory should be")
    with caplog.at_level(logging.WARNING):
        bundle = ensure_bundle(weights, "m", home, Packer())
    assert bundle.temporary
    assert bundle.path.read_bytes() == b"packed weights"
    assert "cannot write to" in caplog.text
    bundle.release()
    assert not bundle.path.parent.exists()


def test_a_failed_packing_leaves_nothing_temporary_behind(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home = tmp_path / "home"
    home.write_text("")

    def fail(checkpoint: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise ModelLoadError("damaged")

    with pytest.raises(ModelLoadError, match="damaged"):
        ensure_bundle(weights, "m", home, fail)
    assert not list(tmp_path.glob("sterna-bundle-*"))


def test_a_discarded_bundle_is_packed_again(weights: Path, tmp_path: Path) -> None:
    pack = Packer()
    bundle = ensure_bundle(weights, "m", tmp_path / "home", pack)
    discard_bundle(bundle)
    assert ensure_bundle(weights, "m", tmp_path / "home", pack) == bundle
    assert pack.count == 2


def test_a_directory_without_weights_or_configuration_is_refused(weights: Path) -> None:
    (weights / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"no \*\.safetensors files"):
        bundle_name(weights, "m")
    (weights / "config.json").unlink()
    with pytest.raises(ModelLoadError, match=r"config\.json: no such file"):
        bundle_name(weights, "m")
