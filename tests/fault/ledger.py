"""What a server acknowledged, and whether it still knows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import grpc

from sterna.v1 import inference_pb2, model_admin_pb2
from tests.support.core import PATIENCE


@dataclass
class Ledger:
    """Everything that clients were told, over all lives of the server.

    A call that was cut off may have been done or not; both are right, half of it is not.
    """

    sessions: dict[str, list[str]] = field(default_factory=dict)
    """Conversations that were acknowledged: their id, and the texts of their messages."""
    maybe_longer: dict[str, list[str]] = field(default_factory=dict)
    """Of some: how a turn that was cut off began, which may be stored with its answer."""
    maybe_sessions: dict[str, list[str]] = field(default_factory=dict)
    """Conversations whose creation was cut off."""
    maybe_deleted: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    """Stored answers: id and text."""
    maybe_gone_answers: set[str] = field(default_factory=set)
    webhooks: dict[str, str] = field(default_factory=dict)
    """Webhooks: id and address."""
    maybe_webhooks: set[str] = field(default_factory=set)
    """Addresses of those whose creation was cut off."""
    maybe_gone_webhooks: set[str] = field(default_factory=set)
    events: Counter[str] = field(default_factory=Counter)
    """Events that were acknowledged by the call that made them, by their name."""
    acknowledged: int = 0
    """Calls that succeeded."""
    problems: list[str] = field(default_factory=list)
    """Whatever was not as it should be."""

    def blame(self, problem: str) -> None:
        """Notes that something is lost or wrong."""
        self.problems.append(problem)

    async def compare(self, inference: object, admin: object) -> None:
        """Asks a server that was started again for everything, and settles what was open."""
        found = await _sessions(inference)
        for name, texts in self.sessions.items():
            if name not in found:
                if name not in self.maybe_deleted:
                    self.blame(f"the session {name} is lost")
                continue
            self._compare_texts(name, texts, found[name])
        for name, texts in found.items():
            if name in self.sessions:
                continue
            if name not in self.maybe_sessions:
                self.blame(f"the session {name} is there, and nobody made it or it was deleted")
            elif texts != self.maybe_sessions[name]:
                self.blame(f"the session {name} was made by half: {texts}")
        self.sessions = found
        self.maybe_longer.clear()
        self.maybe_sessions.clear()
        self.maybe_deleted.clear()
        await self._compare_answers(inference)
        await self._compare_webhooks(admin)

    def _compare_texts(self, name: str, texts: list[str], found: list[str]) -> None:
        if found == texts:
            return
        asked = self.maybe_longer.get(name)
        # The turn that was cut off is whole: the question and one answer.
        if asked is not None and found[:-1] == [*texts, *asked]:
            return
        self.blame(f"the session {name} holds {found}, and {texts} was acknowledged")

    async def _compare_answers(self, inference: object) -> None:
        for name, text in list(self.answers.items()):
            request = inference_pb2.GetAnswerRequest(response_id=name)
            try:
                found = await inference.GetAnswer(request, timeout=PATIENCE)  # type: ignore[attr-defined]
            except grpc.aio.AioRpcError as error:
                del self.answers[name]
                if name not in self.maybe_gone_answers:
                    self.blame(f"the answer {name} is lost: {error.details()}")
                continue
            if found.answer.choice.text != text:
                self.blame(f"the answer {name} is {found.answer.choice.text!r}, not {text!r}")
        self.maybe_gone_answers.clear()

    async def _compare_webhooks(self, admin: object) -> None:
        found: dict[str, str] = {}
        token = ""
        while True:
            request = model_admin_pb2.ListWebhooksRequest(page_size=1000, page_token=token)
            answer = await admin.ListWebhooks(request, timeout=PATIENCE)  # type: ignore[attr-defined]
            found |= {each.webhook_id: each.url for each in answer.webhooks}
            token = answer.next_page_token
            if not token:
                break
        for webhook_id, url in self.webhooks.items():
            if webhook_id not in found and webhook_id not in self.maybe_gone_webhooks:
                self.blame(f"the webhook {webhook_id} is lost")
            elif found.get(webhook_id, url) != url:
                self.blame(f"the webhook {webhook_id} has another address")
        for webhook_id, url in found.items():
            if webhook_id not in self.webhooks and url not in self.maybe_webhooks:
                self.blame(f"the webhook {webhook_id} is there, and nobody made it")
        self.webhooks = found
        self.maybe_webhooks.clear()
        self.maybe_gone_webhooks.clear()


async def _sessions(inference: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    token = ""
    while True:
        request = inference_pb2.ListSessionsRequest(page_size=1000, page_token=token)
        answer = await inference.ListSessions(request, timeout=PATIENCE)  # type: ignore[attr-defined]
        for session in answer.sessions:
            ask = inference_pb2.GetSessionRequest(
                session_id=session.session_id, include_messages=True
            )
            whole = await inference.GetSession(ask, timeout=PATIENCE)  # type: ignore[attr-defined]
            texts = ["".join(part.text for part in each.content) for each in whole.messages]
            if len(texts) != session.message_count:
                texts.append(f"(and {session.message_count} messages were promised)")
            found[session.session_id] = texts
        token = answer.next_page_token
        if not token:
            return found
