"""Sends what is owed: at once, and again after pauses until it arrives or is given up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sterna_service.errors import ServiceError
from sterna_service.state.outbox import Delivery, Outbox, Outcome
from sterna_service.webhooks.message import headers_of
from sterna_service.webhooks.options import WebhookOptions
from sterna_service.webhooks.target import MOST_CONNECTIONS, Answer, Sender

_log = logging.getLogger(__name__)

# Attempts to one webhook at the same time: a slow one must leave room to the others.
MOST_EACH = 4

# Other servers may share the database, and one may have died: look again after so many seconds.
_LONGEST_NAP = 30.0
_SHORTEST_NAP = 0.01
# After the database failed.
_REST_SECONDS = 2.0
# What is under way when the server stops may take so long to end.
_FAREWELL_SECONDS = 2.0

_GONE = 410


OUTCOMES = ("delivered", "retried", "given_up")
"""How an attempt may end: it arrived, it is made again, or it was the last one."""


class Dispatcher:
    """Takes deliveries from the outbox and makes attempts. Belongs to the event loop."""

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        options: WebhookOptions,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._options = options
        self._clock = clock
        self._news = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self.attempts: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
        """Attempts of this process, by how they ended."""

    def start(self) -> None:
        """Begins to send."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Says that something may be due."""
        self._news.set()

    async def close(self) -> None:
        """Takes nothing more, and gives what is under way a moment to end. What it does not
        finish is sent again by whoever uses the database next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=_FAREWELL_SECONDS)
        for attempt in self._attempts:
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        await self._sender.close()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                nap = await self._take()
                if self._failing:
                    _log.info("webhooks go on: the database is back")
                self._failing = False
            except ServiceError as error:
                if not self._failing:
                    _log.warning("webhooks wait for the database", extra={"why": error.message})
                self._failing = True
                nap = _REST_SECONDS
            except Exception:
                # One odd row or a bug must not end all deliveries.
                _log.exception("webhooks stumbled")
                nap = _LONGEST_NAP
            if nap > 0:
                # Not wait_for: before Python 3.12 it may lose that this task was cancelled.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(nap):
                        await self._news.wait()

    async def _take(self) -> float:
        """Begins the attempts that are due; returns the seconds until more may be."""
        now = self._clock()
        free = MOST_CONNECTIONS - len(self._attempts)
        claim = await self._outbox.claim(
            now,
            lease=self._options.lease,
            latest=self._options.longest_wait,
            most=free,
            most_each=MOST_EACH,
            without=self._busy.keys(),
        )
        for delivery in claim.deliveries:
            self._busy[delivery.webhook_id] += 1
            attempt = asyncio.create_task(self._attempt(delivery))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)
        if free == 0 or claim.next_time is None:
            return _LONGEST_NAP  # an end of an attempt wakes it
        if claim.deliveries:
            return 0.0
        left = (claim.next_time - self._clock()).total_seconds()
        return min(max(left, _SHORTEST_NAP), _LONGEST_NAP)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            await self._deliver(delivery)
        except ServiceError as error:
            # It stays claimed for a while, and then it is sent again.
            _log.warning(
                "what came of a webhook's delivery could not be noted",
                extra={"delivery": delivery.delivery_id, "why": error.message},
            )
        except Exception:
            _log.exception("a delivery failed", extra={"delivery": delivery.delivery_id})
        finally:
            self._busy[delivery.webhook_id] -= 1
            if not self._busy[delivery.webhook_id]:
                del self._busy[delivery.webhook_id]
            self._news.set()

    async def _deliver(self, delivery: Delivery) -> None:
        now = self._clock()
        headers = headers_of(delivery.delivery_id, delivery.secrets, delivery.body, now)
        answer = await self._sender.post(delivery.url, headers, delivery.body)
        outcome = self._judge(delivery, answer)
        await self._outbox.finish(delivery, outcome, now)
        extra = {
            "webhook": delivery.webhook_id,
            "delivery": delivery.delivery_id,
            "event": delivery.event_type,
            "attempt": delivery.attempt_count + 1,
            "status": answer.status,
        }
        failed = "given_up" if outcome.next_attempt_time is None else "retried"
        self.attempts[failed if outcome.message else "delivered"] += 1
        if not outcome.message:
            _log.info("webhook told", extra=extra)
        else:
            _log.warning("webhook not told", extra={**extra, "why": outcome.message})

    def _judge(self, delivery: Delivery, answer: Answer) -> Outcome:
        """What follows from an answer."""
        if 200 <= answer.status < 300:
            return Outcome(answer.status, "")
        message = answer.message or f"the target answered {answer.status}"
        if answer.status == _GONE:
            return Outcome(_GONE, f"{message}: the webhook is disabled", disable=True)
        if 300 <= answer.status < 400:
            message += ", and redirects are not followed"
        delays = self._options.retry_delays
        if delivery.attempt_count >= len(delays):
            return Outcome(
                answer.status, f"{message}; this was the last attempt", disable_unless_alive=True
            )
        # Targets that failed together are not asked again together.
        delay = delays[delivery.attempt_count] * random.uniform(0.8, 1.2)
        return Outcome(answer.status, message, self._clock() + timedelta(seconds=delay))
