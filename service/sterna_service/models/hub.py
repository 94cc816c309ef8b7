"""The Hugging Face hub: what a repository holds, and its files byte by byte.

The library finds repositories, speaks for the user's token and tells errors apart. The bytes are
fetched here, because the library drops what an interrupted download has brought.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from sterna_service.errors import Reason, ServiceError
from sterna_service.models.disk import disk_explained, disk_refusal

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

# A transfer that brings nothing in so many attempts has failed.
_MOST_ATTEMPTS = 5
_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1024 * 1024
_LARGEST_FILE = 2**40
_LONGEST_NAME = 255
_UNKNOWN_SIZE = -1
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository; one of the two digests is set when the hub knows it."""

    name: str
    size: int
    """In bytes; below zero where the hub does not tell it."""
    sha256: str = ""
    """Of the content: large files have it."""
    blob_sha1: str = ""
    """Git's own, of a header and the content: small files have it."""

    def digest(self) -> _Hash:
        """An empty digest of the kind that the hub gave."""
        if self.sha256:
            return hashlib.sha256()
        begun = hashlib.sha1(usedforsecurity=False)
        begun.update(f"blob {self.size}\0".encode())
        return begun

    @property
    def expected(self) -> str:
        """The digest that the content must have; empty: unknown."""
        return self.sha256 or self.blob_sha1


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A repository at one commit."""

    source: str
    commit: str
    files: tuple[RemoteFile, ...]


class PullCancelledError(Exception):
    """Somebody does not want the download any more."""


class Hub:
    """A hub. Blocks; use it in a thread."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        first_pause_seconds: float = 0.5,
    ) -> None:
        """Without `endpoint` and `token`, HF_ENDPOINT and HF_TOKEN or their defaults count. The
        pause before another attempt doubles with each one that brought nothing."""
        self._endpoint = endpoint
        self._token = token
        self._first_pause = first_pause_seconds

    def look_up(self, source: str, revision: str, folder: str | None = "") -> RemoteModel:
        """What a repository holds at a branch, tag or commit; empty: its main branch.

        Only files that stand directly in `folder` (its top, if empty) are told; with None, those of
        the top and of the folders right in it.

        Raises:
            ServiceError: There is none, it is not for this user, or the hub does not answer.
        """
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self._endpoint, token=self._token)
        with _explained(source):
            info = api.model_info(
                source, revision=revision or None, files_metadata=True, timeout=_TIMEOUT_SECONDS
            )
        return remote_model(source, info, folder)

    def fetch(
        self,
        remote: RemoteModel,
        file: RemoteFile,
        target: Path,
        received: Callable[[int], None],
        cancelled: threading.Event,
    ) -> None:
        """Brings a file, going on after the bytes that `target` has already, and compares digests.

        `received` is told how many bytes of the file are here, every now and then. A file whose
        digest is wrong is deleted.

        Raises:
            ServiceError: It could not be brought; what came is kept for the next attempt.
            PullCancelledError: Likewise.
        """
        if file.size < 0:
            raise _failed(f"{remote.source}: the hub does not tell the size of {file.name}")
        with disk_explained(remote.source):
            transfer = _Transfer(file, target, received, cancelled)
        attempts = 0
        while not transfer.complete:
            before = transfer.size
            try:
                with _explained(remote.source):
                    self._go_on(remote, transfer)
                if not transfer.complete:
                    raise _failed(f"{file.name}: the hub ended the transfer too early")
            except ServiceError as error:
                attempts = 0 if transfer.size > before else attempts + 1
                if error.reason is not Reason.DOWNLOAD_FAILED or attempts >= _MOST_ATTEMPTS:
                    raise
                pause = error.retry_after or self._first_pause * 2**attempts
                if cancelled.wait(min(pause, 60.0)):
                    raise PullCancelledError from None
        transfer.check()

    def _go_on(self, remote: RemoteModel, transfer: _Transfer) -> None:
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            hf_raise_for_status,
        )

        file = transfer.file
        url = hf_hub_url(remote.source, file.name, revision=remote.commit, endpoint=self._endpoint)
        headers = build_hf_headers(token=self._token)
        # Sizes and ranges are those of the file, not of a compressed form.
        headers["Accept-Encoding"] = "identity"
        if transfer.size:
            headers["Range"] = f"bytes={transfer.size}-"
        with get_session().stream(
            "GET", url, headers=headers, timeout=_TIMEOUT_SECONDS, follow_redirects=True
        ) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            if transfer.size and response.status_code != 206:
                transfer.start_over()
            for chunk in response.iter_raw():
                transfer.take(chunk)


class _Transfer:
    """A file that grows."""

    def __init__(
        self,
        file: RemoteFile,
        target: Path,
        received: Callable[[int], None],
        cancelled: threading.Event,
    ) -> None:
        self.file = file
        self._target = target
        self._received = received
        self._cancelled = cancelled
        self._digest = file.digest()
        self.size = 0
        self.complete = False
        self._read_what_is_there()

    def _read_what_is_there(self) -> None:
        self._target.touch()
        if self._target.stat().st_size > self.file.size:
            self.start_over()
        with self._target.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                self._give_up_if_cancelled()
                self._digest.update(chunk)
                self.size += len(chunk)
        self._note()

    def _give_up_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise PullCancelledError

    def start_over(self) -> None:
        """The server sends the file from its beginning."""
        self._target.write_bytes(b"")
        self._digest, self.size = self.file.digest(), 0

    def take(self, chunk: bytes) -> None:
        self._give_up_if_cancelled()
        if self.size + len(chunk) > self.file.size:
            self.start_over()
            raise _failed(f"{self.file.name}: the hub sends more bytes than it announced")
        # Where it belongs, whatever an attempt that failed has left behind that place.
        with self._target.open("r+b") as stream:
            stream.seek(self.size)
            stream.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._note()

    def check(self) -> None:
        expected = self.file.expected
        if expected and self._digest.hexdigest() != expected:
            self._target.unlink(missing_ok=True)
            raise ServiceError(
                Reason.DIGEST_MISMATCH,
                f"{self.file.name}: what was downloaded does not match the hub's checksum, and "
                "was deleted; pull it again",
                metadata={"file": self.file.name},
            )

    def _note(self) -> None:
        self.complete = self.size == self.file.size
        self._received(self.size)


def remote_model(source: str, info: ModelInfo, folder: str | None) -> RemoteModel:
    """What the hub tells of a repository, less what no file here may be called; `folder` as in
    `Hub.look_up`.

    Raises:
        ServiceError: It tells what cannot be.
    """
    files = []
    for sibling in info.siblings or ():
        # What the hub says is not trusted with a path of this machine.
        if not _can_be_a_name(sibling.rfilename):
            continue
        path = PurePosixPath(sibling.rfilename)
        # What begins with a dot is hidden, or leads upwards.
        if "\\" in str(path) or any(part.startswith((".", "/")) for part in path.parts):
            continue
        if len(path.parts) > 2 if folder is None else str(path.parent) != (folder or "."):
            continue
        size = sibling.size
        if size is None:
            size = _UNKNOWN_SIZE
        elif type(size) is not int or not 0 <= size <= _LARGEST_FILE:
            raise _failed(f"{source}: the hub gives {path.name} a size of {size} bytes")
        sha256 = sibling.lfs.sha256 if sibling.lfs is not None else ""
        files.append(RemoteFile(str(path), size, sha256, "" if sha256 else sibling.blob_id or ""))
    if not _COMMIT.fullmatch(info.sha or ""):
        raise _failed(f"{source}: the hub names no commit")
    return RemoteModel(source, info.sha or "", tuple(files))


def _can_be_a_name(text: object) -> bool:
    return isinstance(text, str) and text.isprintable() and 0 < len(text.encode()) <= _LONGEST_NAME


def _failed(message: str) -> ServiceError:
    return ServiceError(Reason.DOWNLOAD_FAILED, message)


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Turns what the library raises into refusals."""
    from huggingface_hub import errors

    metadata = {"source": source}
    try:
        yield
    except errors.GatedRepoError:
        raise ServiceError(
            Reason.SOURCE_ACCESS_DENIED,
            f"{source} is gated: accept its terms on the hub, and set HF_TOKEN to a token of yours",
            metadata=metadata,
        ) from None
    except errors.RevisionNotFoundError:
        raise ServiceError(
            Reason.SOURCE_NOT_FOUND, f"{source} has no such revision", metadata=metadata
        ) from None
    except errors.RepositoryNotFoundError:
        raise ServiceError(
            Reason.SOURCE_NOT_FOUND,
            f"the hub has no model {source}, or it is private: then set HF_TOKEN to a token that "
            "may read it",
            metadata=metadata,
        ) from None
    except errors.HfHubHTTPError as error:
        raise _http_refusal(source, error) from None
    except (errors.HFValidationError, ValueError) as error:
        raise ServiceError(
            Reason.SOURCE_NOT_FOUND, f"{source}: {error}", metadata=metadata
        ) from None
    except OSError as error:
        raise disk_refusal(source, error) from None
    except Exception as error:
        if not _is_transport_error(error):
            raise
        raise ServiceError(
            Reason.DOWNLOAD_FAILED,
            f"{source}: the connection to the hub failed ({type(error).__name__}: {error})",
            metadata=metadata,
        ) from None


def _http_refusal(source: str, error: Any) -> ServiceError:
    status = error.response.status_code if error.response is not None else 0
    metadata = {"source": source}
    if status in (401, 403):
        return ServiceError(
            Reason.SOURCE_ACCESS_DENIED,
            f"{source}: the hub refuses access ({status}); set HF_TOKEN to a token that may read "
            "it",
            metadata=metadata,
        )
    if status == 404:
        return ServiceError(
            Reason.SOURCE_NOT_FOUND, f"{source}: the hub has no such file", metadata=metadata
        )
    message = f"{source}: the hub answers {status}; try again later, what came is kept"
    wait = None
    if status in _TRY_AGAIN:
        after = error.response.headers.get("retry-after", "")
        wait = float(after) if after.isdecimal() and len(after) < 6 else None
    return ServiceError(Reason.DOWNLOAD_FAILED, message, metadata=metadata, retry_after=wait)


def _is_transport_error(error: Exception) -> bool:
    """Whether the library's HTTP client, whichever it uses, lost the connection."""
    return any(kind.__name__ in ("TransportError", "StreamError") for kind in type(error).__mro__)
