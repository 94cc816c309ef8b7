"""What outlives the core: the database, and whatever is kept in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sterna_service.access.keyring import Keyring
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.stored_answers import Answers
from sterna_service.models.events import EventLog
from sterna_service.state.answers import SqlAnswerRepository
from sterna_service.state.database import Database
from sterna_service.state.keys import SqlKeyRepository
from sterna_service.state.locks import locks_of
from sterna_service.state.sessions import SqlSessionRepository
from sterna_service.state.sweeper import Sweeper
from sterna_service.telemetry.usage import Usage
from sterna_service.webhooks.options import WebhookOptions
from sterna_service.webhooks.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """Where things are kept, and for how long without use."""

    where: Path | str
    """A file, or a database URL."""
    session_ttl: timedelta
    answer_ttl: timedelta
    webhooks: WebhookOptions


class Kept:
    """The kept things of one core. Belongs to the event loop."""

    def __init__(self, database: Database, options: KeepOptions) -> None:
        self.database = database
        self._locks = locks_of(database)
        self.sessions = Sessions(
            SqlSessionRepository(database), options.session_ttl, locks=self._locks
        )
        self.answers = Answers(SqlAnswerRepository(database), options.answer_ttl)
        self.keyring = Keyring(SqlKeyRepository(database))
        self.webhooks = Webhooks(database, options.webhooks)
        self.usage = Usage(database)
        self._sweeper = Sweeper(
            {
                "sessions": self.sessions.purge,
                "answers": self.answers.purge,
                "webhooks": self.webhooks.sweep,
            }
        )

    @classmethod
    async def open(cls, options: KeepOptions) -> Kept:
        """Opens the database.

        Raises:
            StartupError: It cannot be used.
        """
        return cls(await Database.open(options.where), options)

    def start(self, events: EventLog, port: int | None) -> None:
        """Begins to record `events` and to send webhooks; `port` is where the core speaks gRPC."""
        self.webhooks.start(port)
        events.record_in(self.webhooks.recorder)
        self.usage.book.start()
        self._sweeper.start()

    async def close(self) -> None:
        """Writes what waits, and closes the database."""
        try:
            await self._sweeper.close()
            await self.webhooks.close()
            await self.usage.book.close()
            await self.keyring.close()
            await self._locks.close()
        finally:
            await self.database.close()
