"""Clients that only take, on the gRPC port."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc

from sterna.v1 import inference_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, running_core

TOKENIZE = inference_pb2.TokenizeRequest()
TOKENIZE.text.text = "Hello"


async def test_connections_opened_and_left(sterna_home: Path) -> None:
    options = CoreOptions(home=sterna_home, port=0, client_timeout_seconds=1.0)
    async with running_core(options) as core, AsyncExitStack() as left:
        host, _, port = core.core.address.rpartition(":")
        silent = []
        for number in range(200):
            reader, writer = await asyncio.open_connection(host, int(port))
            left.callback(writer.close)
            # Some say nothing, some what is no gRPC.
            writer.write(b"" if number % 2 else b"GET / HTTP/1.1\r\n\r\n")
            silent.append(reader)
        assert (await core.inference.Tokenize(TOKENIZE, timeout=PATIENCE)).token_ids
        for reader in silent:
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), PATIENCE)
        assert (await core.inference.Tokenize(TOKENIZE, timeout=PATIENCE)).token_ids


async def test_metadata_that_is_too_large(sterna_home: Path) -> None:
    async with running_core(CoreOptions(home=sterna_home, port=0)) as core:
        large = core.inference.Tokenize(
            TOKENIZE, timeout=PATIENCE, metadata=(("x-large", "y" * 100_000),)
        )
        assert await large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await core.inference.Tokenize(TOKENIZE, timeout=PATIENCE)).token_ids
