"""Downloads from a hub that is real in its protocol and bad in its manners."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.hub import Hub, PullCancelledError
from sterna_service.models.manifest import compare, read_manifest
from sterna_service.models.pull import Progress, PullState, pull
from sterna_service.models.store import Store, wanted
from tests.support.hub_server import COMMIT, TOKEN, HubServer, hub_server
from tests.support.tiny_bert import make_weights
from tests.support.tiny_encoder import make_encoder


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path) -> Iterator[HubServer]:
    repository = tmp_path / "repository"
    shutil.copytree(checkpoint, repository)
    (repository / "pytorch_model.bin").write_bytes(b"not wanted")
    (repository / "LICENSE").write_text("free")
    with hub_server() as server:
        server.repositories["org/model"] = repository
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def bring(
    store: Store,
    server: HubServer,
    source: str = "org/model",
    revision: str = "",
    token: str | None = None,
    cancelled: threading.Event | None = None,
) -> tuple[Path, list[Progress]]:
    seen: list[Progress] = []
    client = Hub(server.url, token, first_pause_seconds=0.01)
    path = pull(store, client, source, revision, seen.append, cancelled or threading.Event())
    return path, seen


def test_a_model_comes_whole(store: Store, hub: HubServer, checkpoint: Path) -> None:
    path, seen = bring(store, hub)
    assert path == store.path / "org/model"
    assert (path / "model.safetensors").read_bytes() == (
        checkpoint / "model.safetensors"
    ).read_bytes()
    assert not (path / "pytorch_model.bin").exists()
    assert (path / "LICENSE").exists()
    manifest = read_manifest(path)
    assert manifest is not None
    assert (manifest.source, manifest.revision) == ("org/model", COMMIT)
    assert compare(path, manifest) == []
    assert "org/model" in [each.model_id for each in Catalogue(store.path.parent).sources()]
    assert not list((store.path / ".incoming").glob("*/*/*"))
    states = [progress.state for progress in seen]
    assert (states[0], states[-1]) == (PullState.RESOLVING, PullState.COMPLETED)
    last = seen[-1]
    assert last.received_bytes == last.total_bytes > 0
    assert last.received_file_count == last.file_count
    amounts = [progress.received_bytes for progress in seen]
    assert amounts == sorted(amounts)


def test_cut_connections_are_taken_up_again(store: Store, hub: HubServer, checkpoint: Path) -> None:
    size = (checkpoint / "model.safetensors").stat().st_size
    hub.cuts = [size // 4, size // 4, size // 8]
    path, _ = bring(store, hub)
    assert (path / "model.safetensors").stat().st_size == size
    assert len(hub.ranges) == 3
    # Nothing came twice.
    others = sum(file.stat().st_size for file in path.iterdir() if file.suffix != ".safetensors")
    assert hub.sent_bytes < size + others


def test_a_later_attempt_goes_on(store: Store, hub: HubServer, checkpoint: Path) -> None:
    size = (checkpoint / "model.safetensors").stat().st_size
    hub.cuts = [size // 2, 0, 0, 0, 0, 0]
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.DOWNLOAD_FAILED
    assert not (store.path / "org/model").exists()
    sent = hub.sent_bytes
    _, seen = bring(store, hub)
    assert seen[1].received_bytes >= size // 2
    assert hub.sent_bytes - sent <= size - size // 2
    assert hub.ranges[-1] == f"bytes={size // 2}-"


def test_a_server_without_ranges(store: Store, hub: HubServer, checkpoint: Path) -> None:
    hub.ignores_ranges = True
    hub.cuts = [1000]
    path, _ = bring(store, hub)
    expected = (checkpoint / "model.safetensors").read_bytes()
    assert (path / "model.safetensors").read_bytes() == expected


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_checksum(store: Store, hub: HubServer, name: str) -> None:
    hub.wrong_digests = {name}
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert caught.value.metadata["file"] == name
    assert not (store.path / "org/model").exists()
    assert not list((store.path / ".incoming").rglob(name))
    hub.wrong_digests = set()
    bring(store, hub)


def test_busy_hubs_are_asked_again(store: Store, hub: HubServer) -> None:
    hub.refusals = [429, 429, 429]
    path, _ = bring(store, hub)
    assert (path / "config.json").exists()


def test_what_the_hub_does_not_have(store: Store, hub: HubServer) -> None:
    for source, revision in (("org/nobody", ""), ("org/model", "v9")):
        with pytest.raises(ServiceError) as caught:
            bring(store, hub, source, revision)
        assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    path, _ = bring(store, hub, revision="v1")
    assert path.is_dir()


def test_tokens(store: Store, hub: HubServer) -> None:
    hub.private = {"org/model"}
    with pytest.raises(ServiceError, match="HF_TOKEN") as caught:
        bring(store, hub, token="hf_wrong")
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    hub.private, hub.gated = set(), {"org/model"}
    with pytest.raises(ServiceError, match="gated") as caught:
        bring(store, hub, token="hf_wrong")
    assert caught.value.reason is Reason.SOURCE_ACCESS_DENIED
    bring(store, hub, token=TOKEN)
    assert hub.tokens[-1] == TOKEN


def test_a_full_disk(store: Store, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("sterna_service.models.store.shutil.disk_usage", lambda _: usage)
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.DISK_FULL
    assert int(caught.value.metadata["needed_bytes"]) > 1000
    assert hub.sent_bytes == 0


def test_a_dead_hub(store: Store) -> None:
    server = HubServer(url="http://127.0.0.1:9")
    with pytest.raises(ServiceError) as caught:
        bring(store, server)
    assert caught.value.reason is Reason.DOWNLOAD_FAILED


@pytest.mark.parametrize(
    "source", ["../x", "a/..", "/etc/passwd", "model", "a/b/c", "a/b\n", "http://x/y", ""]
)
def test_sources_that_are_no_ids(store: Store, hub: HubServer, source: str) -> None:
    with pytest.raises(ServiceError) as caught:
        bring(store, hub, source)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert not hub.tokens


def test_names_that_lead_elsewhere_are_left_out(store: Store, hub: HubServer) -> None:
    hub.extra_files = ["../evil.json", "sub/config.json", "/etc/x.safetensors", ".sterna.json"]
    path, _ = bring(store, hub)
    assert not (path.parent / "evil.json").exists()
    assert compare(path, read_manifest(path)) == []  # type: ignore[arg-type]


def test_nothing_to_serve(store: Store, hub: HubServer, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    hub.repositories["org/empty"] = empty
    with pytest.raises(ServiceError) as caught:
        bring(store, hub, "org/empty")
    assert caught.value.reason is Reason.MODEL_UNSUPPORTED


def test_a_newer_version_takes_the_place(store: Store, hub: HubServer) -> None:
    path, _ = bring(store, hub)
    (hub.repositories["org/model"] / "generation_config.json").write_text('{"top_k": 7}')
    bring(store, hub)
    assert "7" in (path / "generation_config.json").read_text()
    assert [each.name for each in path.parent.iterdir()] == ["model"]


def test_a_cancelled_download(store: Store, hub: HubServer) -> None:
    hold = hub.hold = threading.Event()
    cancelled = threading.Event()

    def give_up() -> None:
        cancelled.set()
        hold.set()

    threading.Timer(0.3, give_up).start()
    with pytest.raises(PullCancelledError):
        bring(store, hub, cancelled=cancelled)
    assert not (store.path / "org/model").exists()
    hub.hold = None
    bring(store, hub)


def test_two_processes_do_not_bring_the_same(store: Store, hub: HubServer) -> None:
    with store.exclusive("org/model"), pytest.raises(ServiceError, match="another process"):
        bring(store, hub)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a.gguf", "b-TQ2_0.gguf", "c-i2_s.gguf"], ["c-i2_s.gguf"]),
        (["b-TQ1_0.gguf", "a-Q8_0.gguf"], ["b-TQ1_0.gguf"]),
        (["b.gguf", "a.gguf"], ["a.gguf"]),
        (["x.gguf", "model.safetensors"], ["model.safetensors"]),
        (["LICENSE.txt", "x.py", "tokenizer.json"], ["LICENSE.txt", "tokenizer.json"]),
    ],
)
def test_only_what_is_needed(names: list[str], chosen: list[str]) -> None:
    assert wanted(names) == chosen


def test_a_sentence_encoder_comes_with_one_graph(
    store: Store, hub: HubServer, tmp_path: Path
) -> None:
    repository = make_encoder(tmp_path / "encoder", make_weights(), external=True)
    (repository / "onnx" / "model_quantized.onnx").write_bytes(b"not wanted")
    (repository / "openvino").mkdir()
    (repository / "openvino" / "model.bin").write_bytes(b"not wanted")
    (repository / "model.safetensors").write_bytes(b"not wanted")
    (repository / "1_Pooling" / "more").mkdir()
    (repository / "1_Pooling" / "more" / "config.json").write_text("{}")
    hub.repositories["org/encoder"] = repository
    # A folder that would lead out of the model's.
    hub.extra_files = ["../1_Pooling/config.json", "/2_Dense/config.json", "..\\config.json"]
    hub.cuts = [100, 100]
    path, _ = bring(store, hub, "org/encoder")
    assert hub.ranges
    names = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    assert names == [
        ".sterna.json",
        "1_Pooling/config.json",
        "config.json",
        "modules.json",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    manifest = read_manifest(path)
    assert manifest is not None
    assert compare(path, manifest) == []
    (path / "onnx" / "model.onnx_data").write_bytes(b"changed")
    assert [line.partition(":")[0] for line in compare(path, manifest)] == ["onnx/model.onnx_data"]
    sources = [source.model_id for source in Catalogue(store.path.parent).sources()]
    assert "org/encoder" in sources
