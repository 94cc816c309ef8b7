"""What clients do to a server until it is killed, and what they were told."""

from __future__ import annotations

import asyncio
import random
import shutil
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf import duration_pb2

from sterna.v1 import (
    chat_pb2,
    event_pb2,
    generation_pb2,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    speech_pb2,
    speech_pb2_grpc,
    stored_answer_pb2,
)
from tests.fault.ledger import Ledger
from tests.fault.shelf import Shelf
from tests.support.core import PATIENCE, chat
from tests.support.hub_server import HubServer
from tests.support.speech import DATA, messages

MODEL = "sterna/tern-nano"
ORGANISATION = "loop"
# So much is kept at most, so that comparing stays quick.
_MOST_SESSIONS = 40
_MOST_ANSWERS = 60
_MOST_WEBHOOKS = 15
_MOST_VOICES = 6
_MODELS = ("m0", "m1", "m2")


class Server:
    """One life of the server."""

    def __init__(self, channel: grpc.aio.Channel, kill: Callable[[], None]) -> None:
        self.inference = inference_pb2_grpc.InferenceServiceStub(channel)
        self.admin = model_admin_pb2_grpc.ModelAdminServiceStub(channel)
        self.speech = speech_pb2_grpc.SpeechServiceStub(channel)
        self.killed = False
        self._kill = kill

    def kill(self) -> None:
        self.killed = True
        self._kill()


@dataclass
class Clients:
    """They write into the same ledger, over all lives of the server."""

    ledger: Ledger
    target_url: str
    """Of webhooks."""
    hub: HubServer
    models: Shelf
    voices: Shelf
    random: random.Random
    _revisions: dict[str, str] = field(default_factory=dict)
    """Of the models whose pull was cut off."""
    _follows: dict[str, str] = field(default_factory=dict)
    """Answers, and the one before each, which it needs to be gone on from."""

    async def repeat(self, server: Server, work: Callable[[Server], Awaitable[None]]) -> None:
        """Does the same again and again until the server is killed."""
        while True:
            try:
                await work(server)
                self.ledger.acknowledged += 1
            except grpc.aio.AioRpcError as error:
                if server.killed:
                    return
                busy = (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE)
                lost_model = error.code() is grpc.StatusCode.FAILED_PRECONDITION
                if error.code() not in busy and not lost_model:
                    self.ledger.blame(f"{work.__name__}: {error.code()}: {error.details()}")
                    return
                # Two of the writers were after the same thing.
                await asyncio.sleep(0.01)

    async def converse(self, server: Server) -> None:
        """Makes a conversation, goes on with one, or deletes one."""
        ledger, choice = self.ledger, self.random.random()
        idle = [name for name in ledger.sessions if name not in ledger.maybe_longer]
        if len(idle) > _MOST_SESSIONS or (idle and choice < 0.1):
            name = self.random.choice(idle)
            ledger.maybe_deleted.add(name)
            ledger.maybe_longer[name] = []
            request = inference_pb2.DeleteSessionRequest(session_id=name)
            await server.inference.DeleteSession(request, timeout=PATIENCE)
            del ledger.sessions[name], ledger.maybe_longer[name]
            ledger.maybe_deleted.discard(name)
        elif not idle or choice < 0.7:
            name = uuid.uuid4().hex
            texts = [f"message {number} of {name}" for number in range(self.random.randint(1, 5))]
            ledger.maybe_sessions[name] = texts
            request_ = inference_pb2.CreateSessionRequest(
                session_id=name,
                messages=[
                    chat_pb2.ChatMessage(
                        role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text=text)]
                    )
                    for text in texts
                ],
            )
            await server.inference.CreateSession(request_, timeout=PATIENCE)
            ledger.sessions[name] = ledger.maybe_sessions.pop(name)
        else:
            await self._answer(server, self.random.choice(idle))

    async def _answer(self, server: Server, name: str) -> None:
        ledger = self.ledger
        question = f"Question {uuid.uuid4().hex}?"
        ledger.maybe_longer[name] = [question]
        spec = chat(question, session_id=name, stop=generation_pb2.StopCriteria(max_tokens=4))
        request = inference_pb2.GenerateRequest(spec=spec)
        try:
            answer = await server.inference.Generate(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError:
            if not server.killed:
                # It was refused: nothing is stored.
                del ledger.maybe_longer[name]
            raise
        ledger.sessions[name] = [*ledger.sessions[name], question, answer.choices[0].text]
        del ledger.maybe_longer[name]

    async def store(self, server: Server) -> None:
        """Has an answer stored, which follows another one or none, or deletes one."""
        await asyncio.sleep(self.random.uniform(0, 0.1))
        ledger = self.ledger
        known = list(ledger.answers)
        if len(known) > _MOST_ANSWERS or (known and self.random.random() < 0.1):
            needed = {self._follows.get(each) for each in known}
            name = self.random.choice([each for each in known if each not in needed])
            ledger.maybe_gone_answers.add(name)
            forget = inference_pb2.DeleteAnswerRequest(response_id=name)
            await server.inference.DeleteAnswer(forget, timeout=PATIENCE)
            del ledger.answers[name]
            ledger.maybe_gone_answers.discard(name)
            return
        follows = self.random.choice(known) if known and self.random.random() < 0.3 else ""
        storage = stored_answer_pb2.AnswerStorage(store=True, previous_response_id=follows)
        spec = chat(
            "What is the capital of France?",
            storage=storage,
            stop=generation_pb2.StopCriteria(max_tokens=3),
        )
        request = inference_pb2.GenerateRequest(spec=spec)
        answer = await server.inference.Generate(request, timeout=PATIENCE)
        ledger.answers[answer.response_id] = answer.choices[0].text
        self._follows[answer.response_id] = follows

    async def hook(self, server: Server) -> None:
        """Registers a webhook or removes one."""
        ledger = self.ledger
        await asyncio.sleep(self.random.uniform(0, 0.05))
        spare = [each for each, url in ledger.webhooks.items() if not url.endswith("/main")]
        if len(spare) > _MOST_WEBHOOKS or (spare and self.random.random() < 0.3):
            name = self.random.choice(spare)
            ledger.maybe_gone_webhooks.add(name)
            request = model_admin_pb2.DeleteWebhookRequest(webhook_id=name)
            await server.admin.DeleteWebhook(request, timeout=PATIENCE)
            del ledger.webhooks[name]
            ledger.maybe_gone_webhooks.discard(name)
        else:
            url = f"{self.target_url}/{uuid.uuid4().hex}"
            ledger.maybe_webhooks.add(url)
            made = await server.admin.CreateWebhook(
                model_admin_pb2.CreateWebhookRequest(
                    url=url, event_types=[event_pb2.EVENT_TYPE_MODEL_DELETED]
                ),
                timeout=PATIENCE,
            )
            ledger.webhooks[made.webhook.webhook_id] = url
            ledger.maybe_webhooks.discard(url)

    async def restart_model(self, server: Server) -> None:
        """Makes events: a model is loaded and unloaded."""
        events = self.ledger.events
        load = model_admin_pb2.LoadModelRequest(model_id=MODEL)
        loaded = await server.admin.LoadModel(load, timeout=PATIENCE)
        if not loaded.already_loaded:
            events["model.started"] += 1
        unload = model_admin_pb2.UnloadModelRequest(
            model_id=MODEL, drain_timeout=duration_pb2.Duration(seconds=30)
        )
        await server.admin.UnloadModel(unload, timeout=PATIENCE)
        events["model.stopped"] += 1

    async def pull(self, server: Server) -> None:
        """Pulls a model, perhaps in place of an older revision, or deletes one."""
        await asyncio.sleep(self.random.uniform(0, 0.05))
        models, name = self.models, self.random.choice(_MODELS)
        model_id = f"{ORGANISATION}/{name}"
        if name in models.kept and self.random.random() < 0.2:
            models.leaving.add(name)
            delete = model_admin_pb2.DeleteModelRequest(model_id=model_id)
            await server.admin.DeleteModel(delete, timeout=PATIENCE)
            models.forget(name)
            return
        if name not in self._revisions or self.random.random() < 0.5:
            # Each revision has other files.
            self._revisions[name] = f"{self.random.getrandbits(160):040x}"
        revision = self._revisions[name]
        (self.hub.repositories[model_id] / "README.md").write_text(f"This is {revision}.\n")
        models.begun.add(name)
        request = model_admin_pb2.PullModelRequest(source=model_id, revision=revision)
        async for told in server.admin.PullModel(request, timeout=PATIENCE):
            if told.HasField("model"):
                models.keep(name, told.model.revision)
                del self._revisions[name]

    async def clone(self, server: Server) -> None:
        """Makes a voice from a recording, or deletes one."""
        voices = self.voices
        if len(voices.kept) > _MOST_VOICES or (voices.kept and self.random.random() < 0.2):
            name = self.random.choice(sorted(voices.kept))
            voices.leaving.add(name)
            delete = speech_pb2.DeleteVoiceRequest(voice_id=name)
            await server.speech.DeleteVoice(delete, timeout=PATIENCE)
            voices.forget(name)
            return
        name = uuid.uuid4().hex
        voices.begun.add(name)
        config = speech_pb2.VoiceConfig(voice_id=name, language="en", consent=True)
        sample = (DATA / "jfk.mp3").read_bytes()
        upload = messages(speech_pb2.CreateVoiceRequest, config, sample)
        made = await server.speech.CreateVoice(upload, timeout=2 * PATIENCE)
        voices.keep(name, str(made.voice))


def make_repositories(hub: HubServer, checkpoint: Path, directory: Path) -> None:
    """Gives the hub the models that are pulled, copies of one."""
    for name in _MODELS:
        shutil.copytree(checkpoint, directory / name)
        hub.repositories[f"{ORGANISATION}/{name}"] = directory / name
