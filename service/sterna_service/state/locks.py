"""Who uses a conversation, among several servers on one database."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import sqlalchemy as sa

from sterna_service.state.database import Database
from sterna_service.state.faults import refusal_of, unavailable

T = TypeVar("T")


class Locks(Protocol):
    """Names that one server holds at a time. A server that dies holds nothing."""

    async def take(self, name: str) -> bool:
        """Takes a name; false if another server holds it."""
        ...

    async def give_back(self, name: str) -> None:
        """Lets go of a name that was taken."""
        ...

    async def close(self) -> None:
        """Lets go of everything."""
        ...


class NoLocks:
    """For a database that one server uses, whose own book-keeping is enough."""

    async def take(self, name: str) -> bool:
        return True

    async def give_back(self, name: str) -> None:
        return

    async def close(self) -> None:
        return


class PostgresLocks:
    """Advisory locks on one connection, which end with it and so with the process.

    When the connection is lost, so are the locks: what a call then writes is still checked against
    what it read. Needs a connection that stays the same, hence no pooler that gives each
    transaction another one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, "sterna-locks")
        self._connection: sa.Connection | None = None

    async def take(self, name: str) -> bool:
        query = sa.select(sa.func.pg_try_advisory_lock(_number(name)))
        return bool(await self._run(lambda connection: connection.scalar(query)))

    async def give_back(self, name: str) -> None:
        query = sa.select(sa.func.pg_advisory_unlock(_number(name)))
        # A lost connection has let go already.
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._release, query)

    async def close(self) -> None:
        def work() -> None:
            if self._connection is not None:
                self._connection.close()

        with contextlib.suppress(sa.exc.SQLAlchemyError):
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self, work: Callable[[sa.Connection], T]) -> T:
        def connected() -> T:
            if self._connection is not None:
                try:
                    return work(self._connection)
                except sa.exc.DBAPIError as error:
                    self._drop()
                    if not error.connection_invalidated:
                        raise
            self._connection = self._database.exclusive()
            return work(self._connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, connected)
        except sa.exc.SQLAlchemyError as error:
            name = self._database.place.name
            raise refusal_of(error, name) or unavailable(name, "cannot be reached") from error

    def _release(self, query: sa.Select[tuple[bool]]) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute(query)
        except sa.exc.DBAPIError:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()


def locks_of(database: Database) -> Locks:
    """What keeps servers on this database apart."""
    return PostgresLocks(database) if database.place.is_postgres else NoLocks()


def _number(name: str) -> int:
    """64 bits, signed; two names that share them merely exclude each other."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"sterna").digest()
    return int.from_bytes(digest, signed=True)
