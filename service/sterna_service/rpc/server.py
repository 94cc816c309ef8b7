"""The gRPC server: its services, its health, its schema, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from sterna.v1 import (
    access_pb2,
    access_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    speech_pb2,
    speech_pb2_grpc,
)
from sterna_service.errors import StartupError
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.stored_answers import Answers
from sterna_service.models.pulls import Pulls
from sterna_service.models.registry import ModelRegistry
from sterna_service.network.certificates import CertificateFiles
from sterna_service.rpc.access import AccessServicer
from sterna_service.rpc.calls import CallBook
from sterna_service.rpc.gate import Gate
from sterna_service.rpc.inference import InferenceServicer
from sterna_service.rpc.interceptor import CallInterceptor
from sterna_service.rpc.model_admin import Endpoint, ModelAdminServicer
from sterna_service.rpc.speech import SpeechServicer
from sterna_service.rpc.tls import server_credentials
from sterna_service.speech.runtime import Speech
from sterna_service.telemetry.metrics import CoreMetrics
from sterna_service.telemetry.spans import Tracing
from sterna_service.telemetry.usage import Usage
from sterna_service.webhooks.webhooks import Webhooks

_ACCESS = access_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name
_INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name
_ADMIN = model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"].full_name
_SPEECH = speech_pb2.DESCRIPTOR.services_by_name["SpeechService"].full_name

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one call may take."""

    max_call_seconds: float
    max_message_bytes: int
    handshake_seconds: float
    """How long a new connection may take until it speaks gRPC."""


class RpcServer:
    """A grpc.aio server over a registry of models, speech, and the stored conversations."""

    def __init__(
        self,
        models: ModelRegistry,
        pulls: Pulls,
        speech: Speech | None,
        sessions: Sessions,
        answers: Answers,
        webhooks: Webhooks,
        harnesses: Harnesses,
        metrics: CoreMetrics,
        tracing: Tracing | None,
        limits: ServerLimits,
        gate: Gate,
        usage: Usage,
        *,
        with_reflection: bool,
    ) -> None:
        self.book = CallBook()
        self._with_speech = speech is not None
        self._endpoints: list[Endpoint] = []
        self._server = grpc.aio.server(
            interceptors=(
                CallInterceptor(
                    self.book, gate, usage.book, metrics, tracing, limits.max_call_seconds
                ),
            ),
            options=_options(limits),
        )
        inference = InferenceServicer(models, sessions, answers, harnesses)
        admin = ModelAdminServicer(
            models, pulls, webhooks, usage, harnesses, self.book, lambda: self._endpoints
        )
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(inference, self._server)
        model_admin_pb2_grpc.add_ModelAdminServiceServicer_to_server(admin, self._server)
        speaker = SpeechServicer(speech, models, sessions, harnesses, models.events)
        speech_pb2_grpc.add_SpeechServiceServicer_to_server(speaker, self._server)
        access_pb2_grpc.add_AccessServiceServicer_to_server(AccessServicer(gate), self._server)
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            names = (_ACCESS, _INFERENCE, _ADMIN, _SPEECH, health, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    def listen_tcp(self, host: str, port: int, certificates: CertificateFiles | None) -> int:
        """Listens on a TCP address, port 0 meaning any free one; returns the port.

        With `certificates` it speaks TLS.

        Raises:
            StartupError: The address cannot be had, or the certificates cannot be used.
        """
        credentials = None if certificates is None else server_credentials(certificates)
        shown = f"[{host}]" if ":" in host else host
        port = self._listen(
            f"{shown}:{port}", "choose another port, or stop what listens there", credentials
        )
        self._endpoints.append(Endpoint(f"{shown}:{port}", port))
        return port

    def listen_unix(self, path: Path) -> None:
        """Listens on a Unix socket.

        Raises:
            StartupError: The socket cannot be made.
        """
        self._listen(f"unix:{path}", "choose another path")
        self._endpoints.append(Endpoint(str(path), 0))

    async def start(self) -> None:
        """Starts to answer. Inference is not serving until `set_ready`."""
        await self._health.set("", _SERVING)
        await self._health.set(_ADMIN, _SERVING)
        await self._health.set(_INFERENCE, _NOT_SERVING)
        await self._health.set(_SPEECH, _SERVING if self._with_speech else _NOT_SERVING)
        await self._server.start()

    async def set_ready(self) -> None:
        """Says that the default model answers."""
        await self._health.set(_INFERENCE, _SERVING)

    async def begin_draining(self) -> None:
        """Reports that nothing is served any more, and refuses new work from now on."""
        self.book.draining = True
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Closes the listeners; calls that still run are cut off after the grace period."""
        await self._server.stop(grace_seconds)

    def _listen(
        self, target: str, remedy: str, credentials: grpc.ServerCredentials | None = None
    ) -> int:
        try:
            if credentials is None:
                port = self._server.add_insecure_port(target)
            else:
                port = self._server.add_secure_port(target, credentials)
        except RuntimeError:
            port = 0
        if port == 0:
            raise StartupError(f"cannot listen on {target} for gRPC: {remedy}")
        return port


def _options(limits: ServerLimits) -> list[tuple[str, int]]:
    return [
        # Two servers on one port would silently share it otherwise.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # A connection that says nothing is closed.
        ("grpc.server_handshake_timeout_ms", round(limits.handshake_seconds * 1000)),
        # Headers of a call; those of this protocol are far smaller.
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.absolute_max_metadata_size", 32 * 1024),
        # Calls of one connection at the same time: those of a façade come over one.
        ("grpc.max_concurrent_streams", 10_000),
        # Clients may ping a silent connection as often as every ten seconds: answers can be slow.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Notice clients whose machine vanished without a word.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
