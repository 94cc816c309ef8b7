"""Runs a core, a façade, or both on one event loop, from start to graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from sterna_rest.app import create_app
from sterna_server import ports
from sterna_server.composition import core_options, facade_options, remote_core
from sterna_server.errors import CommandError
from sterna_server.exposure import check_exposure
from sterna_server.rest_listener import RestListener, RestListeners
from sterna_server.sections.listeners import listener
from sterna_server.service_manager import ServiceManager
from sterna_server.settings import Settings
from sterna_server.stopping import StopRequest, first_of
from sterna_server.telemetry import Telemetry, metrics_listener
from sterna_service.app import start_core
from sterna_service.errors import StartupError

# When the streams of the core have ended, their last bytes are still on the way to the clients.
FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """What runs and where. Addresses are `host:port`, or `unix:/path` for a core."""

    model_id: str
    """The default model; empty when the core is elsewhere."""
    core_address: str
    rest_address: str = ""
    """Empty when there is no façade."""
    further: Sequence[str] = ()
    """Where else the façade listens."""


async def serve(
    settings: Settings,
    *,
    ready: Callable[[Running], None],
    telemetry: Telemetry | None = None,
    app: FastAPI | None = None,
    unix_path: Path | None = None,
) -> None:
    """Core and façade in one process until a signal. `ready` is called when both can answer.

    `app` is a façade that was built for the core at `unix_path` and that measures in `telemetry`;
    without it one is built here.

    Raises:
        CommandError, StartupError: It could not start; nothing is left running.
    """
    check_exposure(settings, rest=True, grpc=True)
    if settings.port and (settings.host, settings.port) == (settings.grpc_host, settings.grpc_port):
        raise CommandError(
            f"port and grpc_port are both {settings.port}; REST and gRPC need one each"
        )
    telemetry = telemetry or Telemetry(settings)
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.push_async_callback(telemetry.close)
        socket = cleanup.enter_context(
            contextlib.closing(ports.listen(settings.host, settings.port, flag="--port"))
        )
        ports.check_free(settings.grpc_host, settings.grpc_port, flag="--grpc-port")
        unix_path = unix_path or settings.unix_path
        if unix_path is None:
            unix_path = private_directory() / "core.sock"
            cleanup.callback(shutil.rmtree, unix_path.parent, ignore_errors=True)
        core_address = f"unix:{unix_path}"
        if app is None:
            app = create_app(facade_options(settings, telemetry, core_address=core_address))
        facade = RestListeners(
            [
                RestListener(app, socket, linger=FLUSH_SECONDS),
                *_further(settings, telemetry, core_address, FLUSH_SECONDS, cleanup),
            ]
        )
        stop = StopRequest(settings.grace)
        cleanup.enter_context(stop.on_signals())

        metrics = cleanup.enter_context(telemetry.core())
        await cleanup.enter_async_context(metrics_listener(settings, telemetry))
        manager = ServiceManager()
        await cleanup.enter_async_context(manager.watchdog())
        # The façade first: while the model loads it is alive and says that it is not ready.
        await facade.start()
        try:
            options = core_options(
                settings, unix_path=unix_path, telemetry=telemetry, metrics=metrics
            )
            core = await stop.interrupts(start_core(options))
            if core is None:
                return
            try:
                ready(Running(core.default_model_id, core.address, facade.address, facade.further))
                manager.ready(f"{core.default_model_id} on {facade.address} and {core.address}")
                await first_of(stop.wait(), facade.wait(), core.wait())
            finally:
                manager.stopping()
                # From here on the core refuses new work, and the façade says so, until the
                # running streams have ended.
                await core.stop(settings.grace)
        finally:
            await facade.stop()


async def serve_core(settings: Settings, *, ready: Callable[[Running], None]) -> None:
    """A core alone until a signal. Raises as `serve`."""
    check_exposure(settings, rest=False, grpc=True)
    ports.check_free(settings.grpc_host, settings.grpc_port, flag="--grpc-port")
    telemetry = Telemetry(settings)
    stop = StopRequest(settings.grace)
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.push_async_callback(telemetry.close)
        cleanup.enter_context(stop.on_signals())
        metrics = cleanup.enter_context(telemetry.core())
        await cleanup.enter_async_context(metrics_listener(settings, telemetry))
        manager = ServiceManager()
        await cleanup.enter_async_context(manager.watchdog())
        options = core_options(
            settings, unix_path=settings.unix_path, telemetry=telemetry, metrics=metrics
        )
        core = await stop.interrupts(start_core(options))
        if core is None:
            return
        try:
            ready(Running(core.default_model_id, core.address))
            manager.ready(f"{core.default_model_id} on {core.address}")
            await first_of(stop.wait(), core.wait())
        finally:
            manager.stopping()
            await core.stop(settings.grace)


async def serve_rest(settings: Settings, *, ready: Callable[[Running], None]) -> None:
    """A façade alone until a signal, whether or not its core is there. Raises as `serve`."""
    check_exposure(settings, rest=True, grpc=False)
    telemetry = Telemetry(settings)
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.push_async_callback(telemetry.close)
        socket = cleanup.enter_context(
            contextlib.closing(ports.listen(settings.host, settings.port, flag="--port"))
        )
        core_address = remote_core(settings)
        app = create_app(facade_options(settings, telemetry, core_address=core_address))
        # The core goes on, so the façade itself gives its running answers their time.
        facade = RestListeners(
            [
                RestListener(app, socket, linger=settings.grace),
                *_further(settings, telemetry, core_address, settings.grace, cleanup),
            ]
        )
        await cleanup.enter_async_context(metrics_listener(settings, telemetry))
        manager = ServiceManager()
        await cleanup.enter_async_context(manager.watchdog())
        stop = StopRequest(settings.grace)
        with stop.on_signals():
            await facade.start()
            try:
                ready(Running("", core_address, facade.address, facade.further))
                manager.ready(f"{facade.address}, in front of {core_address}")
                await first_of(stop.wait(), facade.wait())
            finally:
                manager.stopping()
                await facade.stop()


def _further(
    settings: Settings,
    telemetry: Telemetry,
    core_address: str,
    linger: float,
    cleanup: contextlib.AsyncExitStack,
) -> Iterator[RestListener]:
    """The listeners beside the first one, each with an application of its own."""
    for text in settings.listen:
        host, port, ollama = listener(text)
        socket = cleanup.enter_context(
            contextlib.closing(ports.listen(host, port, flag="--listen"))
        )
        options = facade_options(settings, telemetry, core_address=core_address, ollama=ollama)
        yield RestListener(create_app(options), socket, linger=linger)


def private_directory() -> Path:
    """A new directory that only this user can enter, for the socket between façade and core."""
    return Path(tempfile.mkdtemp(prefix="sterna-"))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs `main` on an event loop, uvloop where it is installed.

    Raises:
        CommandError: What was asked for could not start.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(main)
        except StartupError as error:
            raise CommandError(str(error)) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        # Optional: the extra `fast`.
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
