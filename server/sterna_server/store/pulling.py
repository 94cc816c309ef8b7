"""`sterna pull`: a download with its progress on the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from sterna_server.errors import CommandError
from sterna_server.listing import size_text
from sterna_server.settings import Settings
from sterna_service.errors import ServiceError
from sterna_service.models.hub import Hub, PullCancelledError
from sterna_service.models.pull import Progress, PullState, pull
from sterna_service.models.store import Store


def pull_model(settings: Settings, source: str) -> str:
    """Brings `ORG/NAME` or `ORG/NAME@REVISION` into the store; returns a line that says so.

    Raises:
        CommandError: It cannot be had. What came is kept for the next attempt.
    """
    source, _, revision = source.partition("@")
    hub = Hub(settings.hub_endpoint or None)
    store = Store(settings.home)
    with on_interrupt() as cancelled, _shown() as report:
        try:
            path = pull(store, hub, source, revision, report, cancelled)
        except PullCancelledError:
            raise CommandError(
                f"stopped; what came of {source} is kept, and the same command goes on"
            ) from None
        except ServiceError as error:
            raise CommandError(str(error)) from None
    return f"{source} is in the store: {path}"


@contextmanager
def on_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the download ends between two pieces."""
    cancelled = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        cancelled.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """Shows progress: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _Lines().report


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("asking the hub", total=None)

        def report(progress: Progress) -> None:
            what = progress.current_file or progress.state.value
            bar.update(
                task,
                description=what,
                completed=progress.received_bytes,
                total=progress.total_bytes or None,
            )

        yield report


class _Lines:
    """One line for each tenth, for logs."""

    def __init__(self) -> None:
        self._tenth = -1

    def report(self, progress: Progress) -> None:
        if progress.state is not PullState.DOWNLOADING or not progress.total_bytes:
            return
        tenth = 10 * progress.received_bytes // progress.total_bytes
        if tenth != self._tenth:
            self._tenth = tenth
            total = size_text(progress.total_bytes)
            print(f"{10 * tenth} % of {total}", file=sys.stderr, flush=True)
