"""The webhooks of a server: who is told what, and how that went."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sterna_service.errors import Reason, ServiceError, invalid
from sterna_service.models.events import EventKind, EventRecorder
from sterna_service.state.database import Database
from sterna_service.state.outbox import Outbox
from sterna_service.state.webhooks import AttemptRecord, WebhookRecord, WebhookRepository
from sterna_service.webhooks.dispatcher import Dispatcher
from sterna_service.webhooks.message import new_secret
from sterna_service.webhooks.options import WebhookOptions
from sterna_service.webhooks.recorder import Recorder
from sterna_service.webhooks.target import Sender, check_url

_log = logging.getLogger(__name__)

MOST_WEBHOOKS = 1000
# Of deliveries that wait for one webhook. One more, and it has failed for too long.
MOST_OWED = 100_000
ROTATION = timedelta(hours=24)
"""How long the old secret signs beside the new one."""

# What is kept of the attempts.
_OLDEST_ATTEMPT = timedelta(days=30)
_MOST_ATTEMPTS = 1000

_ID = re.compile(r"wh_[0-9a-f]{32}")


class Webhooks:
    """Webhooks from registration to delivery. Belongs to the event loop."""

    def __init__(self, database: Database, options: WebhookOptions) -> None:
        self._options = options
        self._records = WebhookRepository(database)
        self._outbox = Outbox(database)
        sender = Sender(
            allow_private=options.private_targets, timeout_seconds=options.timeout_seconds
        )
        self._dispatcher = Dispatcher(self._outbox, sender, options)
        self._recorder = Recorder(self._outbox, self._dispatcher.wake)

    @property
    def recorder(self) -> EventRecorder:
        """What takes the events."""
        return self._recorder

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Attempts to deliver, by how they ended: `OUTCOMES` of the dispatcher."""
        return self._dispatcher.attempts

    def start(self, port: int | None) -> None:
        """Begins to record and to send, what an earlier server left first.

        `port` is where the core speaks gRPC, if it does so on TCP.
        """
        self._recorder.start(port)
        self._dispatcher.start()

    async def close(self) -> None:
        """Ends both; what did not arrive is sent after the next start."""
        await self._recorder.close()
        await self._dispatcher.close()

    async def create(self, url: str, kinds: Sequence[EventKind]) -> tuple[WebhookRecord, str]:
        """Registers a webhook; returns it with its secret, which nobody is shown again.

        Raises:
            ServiceError: The address is not taken, no event is named, or there are too many.
        """
        if not kinds:
            raise invalid("event_types", "must name at least one event, for example model.started")
        await check_url(url, allow_private=self._options.private_targets)
        names = tuple(dict.fromkeys(kind.value for kind in kinds))
        record = WebhookRecord(f"wh_{uuid.uuid4().hex}", url, names, datetime.now(UTC))
        secret = new_secret()
        if not await self._records.create(record, secret, MOST_WEBHOOKS):
            raise invalid(
                "url", f"cannot be added: there are {MOST_WEBHOOKS} webhooks already; delete one"
            )
        return record, secret

    async def get(self, webhook_id: str) -> WebhookRecord:
        """A webhook. Raises `ServiceError` when there is none."""
        if not webhook_id:
            raise invalid("webhook_id", "is required")
        record = await self._records.get(webhook_id) if _ID.fullmatch(webhook_id) else None
        if record is None:
            raise _not_found(webhook_id)
        return record

    async def page(self, count: int, after: tuple[datetime, str] | None) -> Sequence[WebhookRecord]:
        """At most `count` webhooks, oldest first."""
        return await self._records.page(count, after)

    async def delete(self, webhook_id: str) -> None:
        """Forgets a webhook. Raises `ServiceError` when there is none."""
        await self.get(webhook_id)
        if not await self._records.delete(webhook_id):
            raise _not_found(webhook_id)

    async def rotate(self, webhook_id: str) -> str:
        """Gives a webhook a new secret and returns it. Raises `ServiceError` when there is none."""
        await self.get(webhook_id)
        secret = new_secret()
        if not await self._records.rotate(webhook_id, secret, datetime.now(UTC) + ROTATION):
            raise _not_found(webhook_id)
        return secret

    async def attempts(
        self, webhook_id: str, count: int, before: int | None
    ) -> Sequence[AttemptRecord]:
        """At most `count` attempts, latest first. Raises `ServiceError` without the webhook."""
        await self.get(webhook_id)
        return await self._records.attempts(webhook_id, count, before)

    async def sweep(self, now: datetime) -> None:
        """Removes what is old from the log, and gives up who is owed too much."""
        await self._records.prune(now - _OLDEST_ATTEMPT, _MOST_ATTEMPTS)
        for webhook_id in await self._outbox.give_up_beyond(MOST_OWED, now):
            _log.warning(
                "a webhook is disabled: it is owed too much", extra={"webhook": webhook_id}
            )


def _not_found(webhook_id: str) -> ServiceError:
    shown = webhook_id if len(webhook_id) <= 64 else f"{webhook_id[:64]}…"
    return ServiceError(
        Reason.WEBHOOK_NOT_FOUND,
        f"there is no webhook {shown!r}; list the webhooks to see their ids",
        metadata={"webhook": shown},
    )
