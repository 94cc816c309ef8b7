"""Downloads at awkward moments: disks that fail, hubs that lie, people who change their minds."""

from __future__ import annotations

import asyncio
import errno
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sterna_service.engine.bundle import ensure_bundle
from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.events import EventLog
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.hub import Hub, PullCancelledError, RemoteFile, remote_model
from sterna_service.models.pull import Progress, PullState, pull
from sterna_service.models.pulls import Pulls
from sterna_service.models.store import Store
from tests.support.gguf_writer import gguf_of, i2_s, write_gguf
from tests.support.hub_server import COMMIT, HubServer, hub_server

WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path) -> Iterator[HubServer]:
    shutil.copytree(checkpoint, tmp_path / "repository")
    with hub_server() as server:
        server.repositories["org/model"] = tmp_path / "repository"
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def bring(
    store: Store,
    server: HubServer,
    report: Callable[[Progress], None] = lambda _: None,
    cancelled: threading.Event | None = None,
) -> Path:
    client = Hub(server.url, first_pause_seconds=0.01)
    return pull(store, client, "org/model", "", report, cancelled or threading.Event())


def test_empty_files_are_files(store: Store, hub: HubServer) -> None:
    (hub.repositories["org/model"] / "LICENSE").write_bytes(b"")
    path = bring(store, hub)
    assert (path / "LICENSE").read_bytes() == b""


class FailingDisk:
    """Takes half of the third piece of the weights that is written, and then fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.pieces = 0
        self.number = number
        self.real = Path.open
        monkeypatch.setattr(Path, "open", lambda *args, **kw: self.open(*args, **kw))

    def open(self, path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        stream: Any = self.real(path, mode, *args, **options)
        if path.name != WEIGHTS or mode != "r+b":
            return stream
        write = stream.write

        def fail(data: bytes) -> int:
            self.pieces += 1
            if self.pieces == 3:
                write(data[: len(data) // 2])
                stream.flush()
                raise OSError(self.number, "the disk fails")
            return int(write(data))

        return _Replaced(stream, fail)


class _Replaced:
    def __init__(self, stream: Any, write: Callable[[bytes], int]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.write = write

    def __enter__(self) -> _Replaced:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def test_a_piece_that_was_half_written(
    store: Store, hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk recovers: what lies there must be what was announced."""
    FailingDisk(monkeypatch, errno.EIO)
    path = bring(store, hub)
    assert (path / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()


def test_a_disk_that_fills_up(
    store: Store, hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FailingDisk(monkeypatch, errno.ENOSPC)
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.DISK_FULL
    path = bring(store, hub)
    assert hub.ranges
    assert (path / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()


@pytest.mark.parametrize("step", ["exclusive", "require_space", "install"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, Reason.DISK_FULL), (errno.EACCES, Reason.DOWNLOAD_FAILED)],
)
def test_a_store_that_cannot_be_written(
    store: Store,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    number: int,
    reason: Reason,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "no", str(store.path))

    monkeypatch.setattr(store, step, fail)
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is reason
    assert str(store.path) in caught.value.message


def test_who_cancels_last_gets_no_model(store: Store, hub: HubServer) -> None:
    """All bytes are here already, but nothing is in the store yet."""
    cancelled = threading.Event()

    def report(progress: Progress) -> None:
        if progress.total_bytes and progress.received_bytes == progress.total_bytes:
            cancelled.set()

    with pytest.raises(PullCancelledError):
        bring(store, hub, report, cancelled)
    assert not (store.path / "org/model").exists()
    sent = hub.sent_bytes
    bring(store, hub)
    assert hub.sent_bytes == sent


async def test_who_cancels_too_late_is_told(
    store: Store, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is there: nobody may think that it is not."""
    written, waiting = threading.Event(), threading.Event()
    real = store.install

    def install(*arguments: Any) -> Path:
        path = real(*arguments)
        waiting.set()
        written.wait(30)
        return path

    monkeypatch.setattr(store, "install", install)
    pulls = Pulls(store, Hub(hub.url), EventLog())
    watching = asyncio.create_task(_last(pulls.pull("org/model", "")))
    await asyncio.to_thread(waiting.wait, 30)
    cancelling = asyncio.create_task(pulls.cancel("org/model", ""))
    await asyncio.sleep(0)
    written.set()
    with pytest.raises(ServiceError, match="complete before") as caught:
        await cancelling
    assert caught.value.reason is Reason.PULL_NOT_FOUND
    assert (await watching).state is PullState.COMPLETED
    assert (store.path / "org/model").is_dir()


async def _last(reports: AsyncIterator[Progress]) -> Progress:
    return [each async for each in reports][-1]


def test_what_was_made_of_an_older_version_goes_with_it(
    store: Store, hub: HubServer, checkpoint: Path, tmp_path: Path
) -> None:
    """Else every version would leave its bundles behind."""
    metadata, tensors = gguf_of(checkpoint, i2_s)
    repository = tmp_path / "packed"
    repository.mkdir()
    write_gguf(repository / "tern-i2_s.gguf", metadata, tensors)
    hub.repositories["org/model"] = repository
    path, home = bring(store, hub), store.path.parent
    other = home / "bundles" / f"org--model-other-{'0' * 16}.safetensors"

    def pack(_: Path, target: Path) -> None:
        target.write_bytes(b"a bundle")

    for _ in range(2):
        converted = checkpoint_of(path, home)
        bundle = ensure_bundle(converted, "org--model", home, pack)
        other.write_bytes(b"another model's")
        bring(store, hub)
        assert not bundle.path.exists()
        assert not converted.exists()
        assert other.exists()


def test_who_cancels_while_old_bytes_are_read_need_not_wait(store: Store, hub: HubServer) -> None:
    hub.cuts = [10**9, 0, 0, 0, 0, 0]
    cancelled = threading.Event()
    staged = store.staging("org/model") / COMMIT
    staged.mkdir(parents=True)
    with (staged / WEIGHTS).open("wb") as stream:
        stream.truncate((hub.repositories["org/model"] / WEIGHTS).stat().st_size - 1)

    def report(progress: Progress) -> None:
        if progress.state is PullState.DOWNLOADING and progress.current_file == WEIGHTS:
            cancelled.set()

    with pytest.raises(PullCancelledError):
        bring(store, hub, report, cancelled)
    assert not hub.ranges


def test_an_organisation_that_leads_out_of_the_store(
    store: Store, hub: HubServer, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    store.path.mkdir(parents=True)
    (store.path / "org").symlink_to(outside)
    with pytest.raises(ServiceError) as caught:
        bring(store, hub)
    assert caught.value.reason is Reason.PATH_FORBIDDEN
    assert not list(outside.iterdir())
    with pytest.raises(ServiceError, match="leads out"):
        store.take_in("org/model", hub.repositories["org/model"])


def test_links_in_a_circle_are_no_path(store: Store) -> None:
    store.path.mkdir(parents=True)
    (store.path / "org").symlink_to(store.path / "org")
    catalogue = Catalogue(store.path.parent)
    assert catalogue.at("org/model") is None
    assert catalogue.adapter_at("org/model") is None
    with pytest.raises(ServiceError):
        store.directory("org/model")


def information(**changes: Any) -> Any:
    sibling = {"rfilename": "config.json", "size": 2, "blob_id": "0", "lfs": None} | changes
    return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(**sibling)])


@pytest.mark.parametrize(
    "name", ["a\0.safetensors", "a\n.safetensors", f"{'a' * 300}.safetensors", "", 3, None]
)
def test_names_that_no_file_can_have(name: Any) -> None:
    assert remote_model("org/model", information(rfilename=name), "").files == ()


@pytest.mark.parametrize("size", [-1, 2**60, "12", 1.5, True])
def test_sizes_that_no_file_can_have(size: Any) -> None:
    with pytest.raises(ServiceError, match="size"):
        remote_model("org/model", information(size=size), "")


def test_a_size_that_is_not_told(tmp_path: Path) -> None:
    remote = remote_model("org/model", information(size=None), "")
    client, nothing = Hub("http://127.0.0.1:9"), threading.Event()
    with pytest.raises(ServiceError, match="does not tell the size"):
        client.fetch(remote, remote.files[0], tmp_path / "x", lambda _: None, nothing)
    good = remote_model("org/model", information(), "").files
    assert good == (RemoteFile("config.json", 2, "", "0"),)


def test_an_import_comes_second(store: Store, hub: HubServer) -> None:
    """While one waits for the other, a model of the same name may have come."""
    source = hub.repositories["org/model"]
    store.take_in("me/mine", source)
    (store.path / "me/mine/note").write_text("mine")
    with pytest.raises(ModelLoadError, match="already"):
        store.take_in("me/mine", source)
    assert (store.path / "me/mine/note").exists()
