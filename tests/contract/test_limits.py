"""Limits over real gRPC: of addresses, of keys, and of requests that a façade has admitted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna import AsyncClient
from sterna.errors import LimitError
from sterna.v1 import access_pb2, access_pb2_grpc, inference_pb2
from sterna_service.access.limits import Limits
from sterna_service.app import CoreOptions
from tests.support.core import (
    CoreClient,
    Refusal,
    chat,
    endless_answer,
    eventually,
    long_answer,
    refusal,
    running_core,
)
from tests.support.keys import bearer, make_key

TOKENIZE = inference_pb2.TokenizeRequest()
TOKENIZE.text.text = "Hello"

Serve = Callable[..., AbstractAsyncContextManager[CoreClient]]


@pytest.fixture
def serve(sterna_home: Path, tmp_path: Path) -> Serve:
    (sterna_home / "bundles").mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(sterna_home / "bundles")

    @asynccontextmanager
    async def running(**options: Any) -> AsyncIterator[CoreClient]:
        async with running_core(CoreOptions(home=tmp_path, port=0, **options)) as core:
            yield core

    return running


async def state(call: Any) -> dict[str, str]:
    """What the initial metadata of a call that succeeds says of the limits."""
    metadata = await call.initial_metadata()
    await call
    return {key: value for key, value in metadata if key.startswith("x-ratelimit")}


async def test_requests_per_minute(serve: Serve) -> None:
    async with serve(limits=Limits(requests=2)) as core:
        first = await state(core.inference.Tokenize(TOKENIZE))
        assert first["x-ratelimit-limit-requests"] == "2"
        assert first["x-ratelimit-remaining-requests"] == "1"
        assert 0 < float(first["x-ratelimit-reset-requests"].rstrip("s")) <= 60
        await core.inference.Tokenize(TOKENIZE)
        call = core.inference.Tokenize(TOKENIZE)
        refused = await refusal(call)
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.reason == "RATE_LIMITED"
        assert refused.metadata == {"limit": "2 requests per minute"}
        assert 0 < (refused.retry_seconds or 0) <= 60
        trailing = dict(await call.trailing_metadata())
        assert trailing["x-ratelimit-remaining-requests"] == "0"
        async with AsyncClient(core.core.address) as client:
            with pytest.raises(LimitError) as caught:
                await client.tokenize("Hello")
        assert caught.value.retry_after


async def test_without_limits_nothing_is_said(core: CoreClient) -> None:
    assert await state(core.inference.Tokenize(TOKENIZE)) == {}


async def test_the_socket_has_no_limits_of_its_own(serve: Serve) -> None:
    async with (
        serve(limits=Limits(requests=1)) as core,
        AsyncClient(core.core.unix_address) as inside,
    ):
        for _ in range(3):
            await inside.tokenize("Hello")


async def test_a_key_brings_its_limits(serve: Serve, tmp_path: Path) -> None:
    async with serve(keys=True, limits=Limits(requests=1)) as core:
        small = bearer(await make_key(tmp_path, limits=Limits(requests=2)))
        free = bearer(await make_key(tmp_path, limits=Limits(requests=0)))
        usual = bearer(await make_key(tmp_path))
        for metadata, count in ((small, 2), (usual, 1)):
            for _ in range(count):
                await core.inference.Tokenize(TOKENIZE, metadata=metadata)
            refused = await refusal(core.inference.Tokenize(TOKENIZE, metadata=metadata))
            assert refused.reason == "RATE_LIMITED"
        for _ in range(5):
            await core.inference.Tokenize(TOKENIZE, metadata=free)
        # Through the socket it is the same key.
        async with AsyncClient(core.core.unix_address, api_key=small[0][1][7:]) as inside:
            with pytest.raises(LimitError):
                await inside.tokenize("Hello")


async def test_true_usage_is_charged(serve: Serve) -> None:
    async with serve(limits=Limits(tokens=100)) as core:
        answer = await core.generate(long_answer(200))
        assert answer.usage.completion_token_count == 200
        refused = await refusal(core.generate(chat("Hello")))
        assert refused.reason == "RATE_LIMITED"
        assert refused.metadata == {"limit": "100 tokens per minute"}


async def test_what_is_left_after_an_answer(serve: Serve) -> None:
    async with serve(limits=Limits(tokens=10_000)) as core:
        answer = await core.generate(long_answer(50))
        spent = answer.usage.prompt_token_count + 50
        found = await state(core.inference.Tokenize(TOKENIZE))
        assert found["x-ratelimit-remaining-tokens"] == str(10_000 - spent)


async def test_an_answer_that_is_broken_off_is_charged(serve: Serve, endless_model: str) -> None:
    async with serve(limits=Limits(tokens=1_000_000), model=endless_model) as core:
        call = core.stream(endless_answer())
        seen = 0
        async for event in call:
            seen += event.WhichOneof("event") == "delta"
            if seen == 20:
                break
        call.cancel()

        async def is_charged() -> bool:
            found = await state(core.inference.Tokenize(TOKENIZE))
            return int(found["x-ratelimit-remaining-tokens"]) <= 1_000_000 - 20

        await eventually(is_charged)


async def test_streams_and_requests_at_the_same_time(serve: Serve, endless_model: str) -> None:
    limits = Limits(concurrent=3, streams=2)
    async with serve(limits=limits, model=endless_model, max_batch=4) as core:
        streams = [core.stream(endless_answer()) for _ in range(2)]
        for each in streams:
            await each.read()
        third = await refusal(core.stream(endless_answer()).read())
        assert (third.reason, third.metadata) == (
            "CONCURRENCY_LIMITED",
            {"limit": "2 concurrent streams"},
        )
        assert third.retry_seconds
        whole = core.inference.Generate(inference_pb2.GenerateRequest(spec=endless_answer()))
        await asyncio.sleep(0.2)
        over = await refusal(core.inference.Tokenize(TOKENIZE))
        assert over.metadata == {"limit": "3 concurrent requests"}
        whole.cancel()
        for each in streams:
            each.cancel()

        async def is_free() -> bool:
            return await core.inference.Tokenize(TOKENIZE).code() is grpc.StatusCode.OK

        await eventually(is_free)


async def test_an_admitted_request_is_counted_once(serve: Serve) -> None:
    async with serve() as core, grpc.aio.insecure_channel(core.core.unix_address) as channel:
        access: Any = access_pb2_grpc.AccessServiceStub(channel)
        request = access_pb2.AdmitRequest(client_address="192.0.2.1", listener="a")
        request.limits.requests_per_minute = 2
        request.limits.concurrent_requests = 1
        admission = access.Admit(request)
        response = await admission.read()
        assert response.requests.remaining == 1
        assert response.limits.requests_per_minute == 2
        async with AsyncClient(core.core.unix_address) as inside:
            for _ in range(5):
                await inside.tokenize("Hello")
        busy = await refusal(access.Admit(request).read())
        assert busy.reason == "CONCURRENCY_LIMITED"
        connection = access_pb2.AdmitRequest()
        connection.CopyFrom(request)
        connection.is_connection = True
        assert (await access.Admit(connection).read()).requests.remaining == 0
        other = access_pb2.AdmitRequest()
        other.CopyFrom(request)
        other.client_address = "192.0.2.2"
        held = access.Admit(other)
        assert (await held.read()).requests.remaining == 1
        admission.cancel()

        async def is_over() -> bool:
            call = access.Admit(request)
            try:
                await call.read()
            except grpc.aio.AioRpcError as error:
                return Refusal.of(error).reason == "RATE_LIMITED"
            call.cancel()
            return False

        await eventually(is_over)


async def test_calls_of_an_admission(serve: Serve, tmp_path: Path) -> None:
    async with serve(keys=True) as core:
        key = bearer(await make_key(tmp_path, limits=Limits(requests=2)))
        other = bearer(await make_key(tmp_path, limits=Limits(requests=1)))
        async with grpc.aio.insecure_channel(core.core.unix_address) as channel:
            tokenize = channel.unary_unary(
                "/sterna.v1.InferenceService/Tokenize",
                request_serializer=inference_pb2.TokenizeRequest.SerializeToString,
                response_deserializer=inference_pb2.TokenizeResponse.FromString,
            )
            access: Any = access_pb2_grpc.AccessServiceStub(channel)
            call = access.Admit(access_pb2.AdmitRequest(), metadata=key)
            response = await call.read()
            assert (response.keys_required, response.requests.remaining) == (True, 1)
            belongs = (("x-sterna-admission", response.admission_id),)
            for _ in range(5):
                await tokenize(TOKENIZE, metadata=(*key, *belongs))
            # It is worth nothing without its key, with another one, and on another port.
            assert (await refusal(tokenize(TOKENIZE, metadata=belongs))).reason == "UNAUTHENTICATED"
            await tokenize(TOKENIZE, metadata=(*other, *belongs))
            refused = await refusal(tokenize(TOKENIZE, metadata=(*other, *belongs)))
            assert refused.reason == "RATE_LIMITED"
            await core.inference.Tokenize(TOKENIZE, metadata=(*key, *belongs))
            refused = await refusal(core.inference.Tokenize(TOKENIZE, metadata=(*key, *belongs)))
            assert refused.reason == "RATE_LIMITED"


@pytest.mark.parametrize("trusted", [(), ("127.0.0.0/8",)])
async def test_whose_word_about_clients_counts(serve: Serve, trusted: tuple[str, ...]) -> None:
    async with serve(limits=Limits(requests=1), trusted_proxies=trusted) as core:
        access: Any = access_pb2_grpc.AccessServiceStub(core.channel)
        response = await access.Admit(access_pb2.AdmitRequest()).read()
        assert bool(response.admission_id) == bool(trusted)
        clients = [(("x-forwarded-for", f"192.0.2.{number}"),) for number in range(3)]
        await core.inference.Tokenize(TOKENIZE, metadata=clients[0])
        second = core.inference.Tokenize(TOKENIZE, metadata=clients[1])
        assert await second.code() is (
            grpc.StatusCode.OK if trusted else grpc.StatusCode.RESOURCE_EXHAUSTED
        )
