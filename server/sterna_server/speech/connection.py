"""A core that recognises and speaks: the one that was named, or one of this process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from sterna import AsyncClient
from sterna.v1 import speech_pb2_grpc
from sterna_rest.errors.from_core import core_error
from sterna_server.calling import call_arguments
from sterna_server.composition import core_options
from sterna_server.errors import CommandError
from sterna_server.serving import private_directory
from sterna_server.settings import Settings
from sterna_service.app import start_core
from sterna_service.errors import StartupError

Result = TypeVar("Result")


class Speech:
    """The calls of a connection; `options` go with every one of them."""

    def __init__(self, client: AsyncClient) -> None:
        self.stub: Any = speech_pb2_grpc.SpeechServiceStub(client.channel)
        self.options: dict[str, Any] = {"metadata": client.metadata, "timeout": 3600.0}


def run(settings: Settings, work: Callable[[Speech], Awaitable[Result]]) -> Result:
    """The result of `work` on a core.

    Raises:
        CommandError: The core cannot be had, or refuses.
    """

    async def main() -> Result:
        async with (
            _address(settings) as address,
            AsyncClient(address, **call_arguments(settings)) as client,
        ):
            try:
                return await work(Speech(client))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE and settings.core:
                    raise CommandError(f"no core answers at {settings.core}") from None
                raise CommandError(core_error(error).message) from None

    return asyncio.run(main())


@contextlib.asynccontextmanager
async def _address(settings: Settings) -> AsyncIterator[str]:
    """The core that was named; without one, a core in this process behind a private socket."""
    if settings.core:
        yield settings.core
        return
    directory = private_directory()
    try:
        core = await start_core(
            core_options(settings, tcp=False, unix_path=directory / "core.sock")
        )
        try:
            yield core.unix_address
        finally:
            await core.stop(0.0)
    except StartupError as error:
        raise CommandError(str(error)) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
