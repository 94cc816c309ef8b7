"""The core as one object: listen, load a model, serve, stop gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sterna_service.errors import ModelLoadError, ServiceError, StartupError
from sterna_service.kept import Kept
from sterna_service.listening import Addresses, listen
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.events import EventKind
from sterna_service.models.pulls import Pulls
from sterna_service.models.registry import ModelRegistry
from sterna_service.models.store import Store
from sterna_service.options import CoreOptions, check_options
from sterna_service.parts import (
    keep_options,
    loading_options,
    make_collector,
    make_pulls,
    make_registry,
    make_server,
    make_speech,
)
from sterna_service.rpc.server import RpcServer
from sterna_service.speech.runtime import Speech
from sterna_service.telemetry.metrics import CoreMetrics

__all__ = ["Core", "CoreOptions", "start_core"]

_log = logging.getLogger(__name__)

# How long cut-off calls have to send their status, in seconds.
_FAREWELL_SECONDS = 1.0


class Core:
    """A running core. Made by `start_core`; belongs to the event loop that made it."""

    def __init__(
        self,
        server: RpcServer,
        models: ModelRegistry,
        pulls: Pulls,
        kept: Kept,
        speech: Speech | None,
        addresses: Addresses,
        metrics: CoreMetrics,
    ) -> None:
        self._server = server
        self._models = models
        self._pulls = pulls
        self._kept = kept
        self._speech = speech
        self._addresses = addresses
        self.metrics = metrics
        """What the core measures as it works."""
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    @property
    def address(self) -> str:
        """`host:port` of the TCP listener; the Unix address when there is none."""
        return self._addresses.tcp or self.unix_address

    @property
    def unix_address(self) -> str:
        """The Unix socket as a gRPC target: `unix:/path`."""
        return f"unix:{self._addresses.unix_path}"

    @property
    def default_model_id(self) -> str:
        """The model of requests that name none."""
        return self._models.names.default_model_id or ""

    async def stop(self, grace_seconds: float = 30.0) -> None:
        """Stops the core; a second call waits for the first.

        From the first moment on, health is not serving and new work is refused with a hint to try
        elsewhere. Running calls get the grace period to finish, then they fail likewise.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(grace_seconds))
        # A caller that is cancelled does not interrupt the stop that others wait for.
        await asyncio.shield(self._stopping)

    async def wait(self) -> None:
        """Returns when the core has stopped."""
        await self._stopped.wait()

    async def _stop(self, grace_seconds: float) -> None:
        book = self._server.book
        try:
            await self._server.begin_draining()
            self._models.events.add(EventKind.SERVER_DRAINING)
            self._models.events.close()
            _log.info("stopping", extra={"active": book.active, "grace_seconds": grace_seconds})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await book.wait_idle()
            if book.active:
                _log.warning("the grace period is over", extra={"active": book.active})
            await self._pulls.close()
            # Whoever still waits for tokens is told that the server stops.
            await self._models.close()
            if self._speech is not None:
                await self._speech.close()
            await self._server.stop(_FAREWELL_SECONDS)
        finally:
            await self._kept.close()
            self._addresses.remove_socket()
            self._stopped.set()
            _log.info("stopped")


async def start_core(options: CoreOptions) -> Core:
    """Starts a core and returns when its default model can answer, or could be loaded for it.

    It listens from the beginning: until the model is there, health says so and requests get
    MODEL_LOADING.

    Raises:
        StartupError: A setting is out of range, a port is taken, or the model cannot be loaded.
            Nothing is left running.
    """
    check_options(options)
    try:
        loading = loading_options(options)
    except ServiceError as error:
        raise StartupError(error.message) from None
    metrics = CoreMetrics(options.metrics)
    await asyncio.to_thread(Store(options.home.expanduser()).clean_up)
    models = make_registry(options, loading, metrics)
    try:
        sources = [models.names.select_default(options.model)]
        if options.embedding_model:
            sources.append(models.names.select_embedding(options.embedding_model))
    except ModelLoadError as error:
        raise StartupError(str(error)) from None
    kept = await Kept.open(keep_options(options))
    try:
        core = await _assemble(options, models, kept, metrics)
    except BaseException:
        await kept.close()
        raise
    try:
        if options.preload:
            for source in sources:
                await _load(models, source)
    except BaseException:
        await core.stop(grace_seconds=0.0)
        raise
    await core._server.set_ready()
    return core


async def _load(models: ModelRegistry, source: ModelSource) -> None:
    try:
        await models.load_at_start(source)
    except (ModelLoadError, ServiceError) as error:
        raise StartupError(f"cannot load the model {source.model_id}: {error}") from None


async def _assemble(
    options: CoreOptions, models: ModelRegistry, kept: Kept, metrics: CoreMetrics
) -> Core:
    """A core that listens, and has no model yet."""
    pulls = make_pulls(options, models.events)
    speech = make_speech(options, metrics)
    if options.keys and not await kept.keyring.count():
        _log.warning("no API key exists, so nobody can call; `sterna keys create` makes one")
    server = make_server(options, models, pulls, kept, speech, metrics)
    metrics.registry.register(make_collector(server, models, kept, speech))
    addresses = await listen(server, options)
    if speech is not None:
        speech.start()
    kept.start(models.events, addresses.port)
    core = Core(server, models, pulls, kept, speech, addresses, metrics)
    _log.info("listening", extra={"address": core.address, "unix": str(addresses.unix_path)})
    return core
