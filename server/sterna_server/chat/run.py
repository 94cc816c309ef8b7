"""Finds or starts a core, and chats with it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence

from sterna import AsyncClient, ChatOptions, Message
from sterna.errors import SternaError, UnavailableError
from sterna_server.calling import call_arguments
from sterna_server.chat.background import BackgroundLoop
from sterna_server.chat.conversation import Turn
from sterna_server.chat.session import ChatSession
from sterna_server.chat.terminal import Terminal
from sterna_server.composition import core_options
from sterna_server.errors import CommandError
from sterna_server.serving import private_directory
from sterna_server.settings import Settings
from sterna_service.app import start_core
from sterna_service.errors import StartupError


def chat(settings: Settings, *, system: str, options: ChatOptions) -> bool:
    """Chats until the person leaves; whether every question got its answer.

    `options` apply to every answer; `model` comes from the settings.

    Raises:
        CommandError: No core answers at the address given, or the model cannot be loaded.
    """
    terminal = Terminal()
    with BackgroundLoop() as loop, contextlib.ExitStack() as cleanup:
        wanted = ""
        if settings.core:
            address, wanted = settings.core, settings.model
        else:
            terminal.hint(f"loading {settings.model or 'the embedded model'} …")
            # A core of our own has one model, whatever it was called when it was loaded.
            address = _start_core(loop, settings, cleanup)
        client = loop.run(_connect(address, settings))
        cleanup.callback(lambda: loop.run(client.close()))
        model = loop.run(_model_name(client, wanted, address))
        terminal.hint(f"{model}: /help lists the commands, q leaves")

        options["model"] = wanted

        async def answer(turns: Sequence[Turn]) -> AsyncIterator[str]:
            messages = [Message(turn.role, turn.text) for turn in turns]
            async with client.stream_chat(messages, **options) as stream:
                async for text in stream.text_stream:
                    yield text

        return ChatSession(loop, terminal, answer, system).run()


def _start_core(loop: BackgroundLoop, settings: Settings, cleanup: contextlib.ExitStack) -> str:
    """Starts a core in this process, reachable through a private socket only; its address."""
    directory = private_directory()
    cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
    options = core_options(settings, tcp=False, unix_path=directory / "core.sock")
    try:
        core = loop.run(start_core(options))
    except StartupError as error:
        raise CommandError(str(error)) from None
    cleanup.callback(lambda: loop.run(core.stop(0.0)))
    return core.unix_address


async def _connect(address: str, settings: Settings) -> AsyncClient:
    # On the loop that will use it, as grpc requires.
    return AsyncClient(address, **call_arguments(settings))


async def _model_name(client: AsyncClient, wanted: str, address: str) -> str:
    """The id of the model that will answer; also finds out whether anything answers at all."""
    try:
        if wanted:
            return (await client.get_model(wanted)).model_id
        return (await client.server_info()).default_model_id
    except SternaError as error:
        if isinstance(error, UnavailableError):
            raise CommandError(
                f"no core answers at {address}; start one with `sterna serve`, or leave --core out "
                f"to chat without a server ({error.message})"
            ) from None
        raise CommandError(error.message) from None
