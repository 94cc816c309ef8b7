"""Runs a core, a façade, or both on one event loop, from start to graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI

from sterna_rest.app import create_app
from sterna_server import ports
from sterna_server.composition import core_options, facade_options, remote_core
from sterna_server.connections import ConnectionRules, raise_file_limit
from sterna_server.errors import CommandError
from sterna_server.exposure import check_exposure
from sterna_server.rest_listener import RestListener, RestListeners
from sterna_server.sections.listener import Listener, listener
from sterna_server.service_manager import ServiceManager
from sterna_server.settings import Settings
from sterna_server.stopping import StopRequest, first_of
from sterna_server.telemetry import Telemetry, metrics_listener
from sterna_server.tls import core_tls, grpc_files, rest_files, watching
from sterna_service.app import Core, start_core
from sterna_service.errors import StartupError

# When the streams of the core have ended, their last bytes are still on the way to the clients.
FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """What runs and where. The core's address is `host:port` or `unix:/path`."""

    model_id: str
    """The default model; empty when the core is elsewhere."""
    core_address: str
    rest_url: str = ""
    """Of the façade; empty when there is none."""
    further: Sequence[str] = ()
    """Its further URLs."""
    with_keys: bool = False
    """Whether clients need an API key."""
    with_tls: bool = False
    """Whether the core's port speaks TLS."""


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
    ports.check_differ((settings.host, settings.port), (settings.grpc_host, settings.grpc_port))
    telemetry = telemetry or Telemetry(settings)
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.push_async_callback(telemetry.close)
        if unix_path is None and settings.unix_path is None:
            unix_path = private_directory() / "core.sock"
            cleanup.callback(shutil.rmtree, unix_path.parent, ignore_errors=True)
        unix_path = unix_path or settings.unix_path
        facade = await _open_facade(
            settings, telemetry, f"unix:{unix_path}", FLUSH_SECONDS, cleanup, app
        )
        ports.check_free(settings.grpc_host, settings.grpc_port, flag="--grpc-port")
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
                _spare_collector()
                manager.ready(f"{core.default_model_id} on {facade.url} and {core.address}")
                ready(_running(settings, core, facade))
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
            _spare_collector()
            manager.ready(f"{core.default_model_id} on {core.address}")
            ready(_running(settings, core, None))
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
        core_address = remote_core(settings)
        # The core goes on, so the façade itself gives its running answers their time.
        facade = await _open_facade(settings, telemetry, core_address, settings.grace, cleanup)
        await cleanup.enter_async_context(metrics_listener(settings, telemetry))
        manager = ServiceManager()
        await cleanup.enter_async_context(manager.watchdog())
        stop = StopRequest(settings.grace)
        with stop.on_signals():
            await facade.start()
            try:
                _spare_collector()
                manager.ready(f"{facade.url}, in front of {core_address}")
                ready(_running(settings, None, facade))
                await first_of(stop.wait(), facade.wait())
            finally:
                manager.stopping()
                await facade.stop()


def _spare_collector() -> None:
    """Takes what the start left in memory out of garbage collection.

    Modules, routes and schemas are some 200,000 objects that stay. Going through them for garbage
    would stop every stream for about 0.1 s.
    """
    gc.freeze()
    # How many objects a full collection last found to stay decides when the next one comes.
    gc.collect()


def _running(settings: Settings, core: Core | None, facade: RestListeners | None) -> Running:
    return Running(
        core.default_model_id if core else "",
        core.address if core else remote_core(settings),
        facade.url if facade else "",
        facade.further if facade else (),
        with_keys=settings.auth == "keys",
        with_tls=grpc_files(settings) is not None if core else core_tls(settings) is not None,
    )


async def _open_facade(
    settings: Settings,
    telemetry: Telemetry,
    core_address: str,
    linger: float,
    cleanup: contextlib.AsyncExitStack,
    app: FastAPI | None = None,
) -> RestListeners:
    """Takes the ports of REST. Each listener has an application of its own; `app` is that of the
    first, and is made here when there is none."""
    listeners: list[RestListener] = []
    count = 1 + len(settings.listen)
    most = raise_file_limit(settings.max_connections * count) // count
    rules = ConnectionRules(most, settings.client_timeout)
    watched = []
    main = ("--port", Listener(settings.host, settings.port))
    for flag, each in (main, *(("--listen", listener(text)) for text in settings.listen)):
        socket = cleanup.enter_context(
            contextlib.closing(ports.listen(each.host, each.port, flag=flag))
        )
        files = rest_files(settings, each)
        context = None
        if files is not None:
            context = files.context()
            watched.append((files, context))
        if app is None or listeners:
            app = create_app(
                facade_options(settings, telemetry, core_address=core_address, listener=each)
            )
        listeners.append(RestListener(app, socket, linger=linger, tls=context, rules=rules))
    await cleanup.enter_async_context(watching(watched))
    return RestListeners(listeners)


def private_directory() -> Path:
    """A new directory that only this user can enter, for the socket between façade and core."""
    return Path(tempfile.mkdtemp(prefix="sterna-"))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs `main` on an event loop of uvloop.

    Raises:
        CommandError: What was asked for could not start.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main)
        except StartupError as error:
            raise CommandError(str(error)) from None
