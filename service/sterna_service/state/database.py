"""The database in which the core keeps what outlives it.

SQLite, in a file of its own or in memory, or PostgreSQL. The work is done by threads of its own,
so that it does not block the event loop: one thread writes to SQLite, so that it does not contend
with itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from sterna_service.errors import StartupError
from sterna_service.state.faults import is_locked, may_repeat, refusal_of, unavailable
from sterna_service.state.migrate import migrate
from sterna_service.state.place import POSTGRES_THREADS, Place, make_engine, place_of

_log = logging.getLogger(__name__)

# How long work waits for its turn before it is refused.
_MOST_WAIT_SECONDS = 15.0
_MOST_REPEATS = 5

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Database:
    """An open database with the present schema. Belongs to the event loop.

    It recovers by itself: when it is full, locked or away, work is refused with STATE_UNAVAILABLE
    or DISK_FULL, and the next work tries again.
    """

    def __init__(self, place: Place, engine: sa.Engine) -> None:
        self.place = place
        self._engine = engine
        self._file_id = _file_id(place)
        self._problem = ""
        if place.is_postgres:
            self._writers = self._readers = ThreadPoolExecutor(POSTGRES_THREADS, "sterna-state")
        else:
            self._writers = ThreadPoolExecutor(1, "sterna-state")
            # In memory there is one connection only.
            in_memory = place.url is None
            self._readers = self._writers if in_memory else ThreadPoolExecutor(1, "sterna-read")

    @classmethod
    async def open(cls, where: Path | str) -> Database:
        """Opens a file or what a URL names, and brings its schema up to date; see `place_of`.

        Raises:
            StartupError: It is no database, cannot be reached, or a newer version wrote it.
        """
        return await asyncio.to_thread(_open_blocking, where)

    @property
    def is_lasting(self) -> bool:
        """Whether it outlives this process."""
        return self.place.url is not None

    async def run(self, work: Work[T]) -> T:
        """Runs `work` in a transaction, which is undone if it raises.

        Raises:
            ServiceError: The database is full, locked or away. Nothing was written, or nobody
                knows whether it was.
        """
        return await self._submit(self._writers, work, reading=False)

    async def read(self, work: Work[T]) -> T:
        """As `run`, for work that changes nothing, and so need not wait for who writes."""
        return await self._submit(self._readers, work, reading=True)

    async def close(self) -> None:
        """Finishes what was begun and closes the connections. A second call does nothing."""
        for threads in (self._writers, self._readers):
            await asyncio.to_thread(threads.shutdown)
        self._engine.dispose()

    def exclusive(self) -> sa.Connection:
        """A connection of its own that commits each statement, for a thread of the caller. Blocks.

        Raises:
            sa.exc.DBAPIError: There is none.
        """
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Or what its session holds would outlive it in the pool.
        connection.detach()
        return connection

    async def _submit(self, threads: ThreadPoolExecutor, work: Work[T], *, reading: bool) -> T:
        future: Future[T] = threads.submit(self._run_blocking, work, reading)
        waiting = asyncio.wrap_future(future)
        # Nobody may be left to ask how it ended.
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([waiting], timeout=_MOST_WAIT_SECONDS)
        if not waiting.done() and future.cancel():
            raise unavailable(self.place.name, "is busy")
        return await waiting

    def _run_blocking(self, work: Work[T], reading: bool) -> T:
        repeats = 0
        while True:
            try:
                self._check_file()
                with (
                    self._engine.connect().execution_options(sterna_reading=reading) as connection,
                    connection.begin(),
                ):
                    result = work(connection)
                if not reading:  # reading may work while nothing can be written
                    self._note_success()
                return result
            except sa.exc.DBAPIError as error:
                if may_repeat(error) and repeats < _MOST_REPEATS:
                    repeats += 1
                    continue
                raise self._refusal(error) from error
            except sa.exc.SQLAlchemyError as error:
                raise self._refusal(error) from error

    def _refusal(self, error: sa.exc.SQLAlchemyError) -> Exception:
        refusal = refusal_of(error, self.place.name)
        if refusal is None:
            return error
        problem = str(error).partition("\n")[0][:300]
        # Once for each way to fail: many calls meet the same one.
        if problem != self._problem:
            _log.warning(
                "the database fails", extra={"database": self.place.name, "problem": problem}
            )
        self._problem = problem
        return refusal

    def _note_success(self) -> None:
        if self._problem:
            self._problem = ""
            _log.info("the database works again", extra={"database": self.place.name})

    def _check_file(self) -> None:
        """A file that was taken away must not be written to unseen; one that came back is used."""
        if self.place.path is None:
            return
        now = _file_id(self.place)
        if now is None:
            raise unavailable(self.place.name, "is gone; put it back, or restart the server")
        if now != self._file_id:
            _log.warning("another database file took the place", extra={"path": self.place.name})
            self._engine.dispose()
            with self._engine.begin() as connection:
                try:
                    migrate(connection, self.place.name)
                except StartupError as error:
                    raise unavailable(self.place.name, f"cannot be used: {error}") from None
            self._file_id = now


def _open_blocking(where: Path | str) -> Database:
    place = place_of(where)
    engine = make_engine(place)
    try:
        _migrate_blocking(engine, place)
    except sa.exc.DBAPIError as error:
        engine.dispose()
        problem = " ".join(str(error.orig).split())[:300]
        remedy = (
            "check that the server runs and that database_url is right"
            if place.is_postgres
            else "move the file away to begin with an empty one"
        )
        raise StartupError(
            f"{place.name}: not usable as the server's database ({problem}); {remedy}"
        ) from None
    except BaseException:
        engine.dispose()
        raise
    return Database(place, engine)


def _migrate_blocking(engine: sa.Engine, place: Place) -> None:
    deadline = time.monotonic() + _MOST_WAIT_SECONDS
    while True:
        try:
            with engine.begin() as connection:
                migrate(connection, place.name)
            return
        except sa.exc.OperationalError as error:
            # Two that make the same new file do not wait for each other, whatever its timeout.
            if not is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _file_id(place: Place) -> tuple[int, int] | None:
    if place.path is None:
        return None
    try:
        facts = place.path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
