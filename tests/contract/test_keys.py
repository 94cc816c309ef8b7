"""API keys over real gRPC: who is let in, and to what."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sterna import AsyncClient
from sterna.errors import AccessDeniedError, AuthenticationError
from sterna.v1 import inference_pb2, model_admin_pb2, speech_pb2, speech_pb2_grpc
from sterna_service.app import CoreOptions
from tests.support.core import (
    PATIENCE,
    CoreClient,
    chat,
    connect,
    eventually,
    long_answer,
    refusal,
    running_core,
)
from tests.support.keys import bearer, make_key, revoke_key

BUF = Path(sys.executable).parent / "buf"
TOKENIZE = inference_pb2.TokenizeRequest()
TOKENIZE.text.text = "Hello"
STATUS = model_admin_pb2.GetServerStatusRequest()


@dataclass(frozen=True)
class Locked:
    """A core that asks for keys, and the home with its database."""

    core: CoreClient
    home: Path


@pytest.fixture
async def locked(sterna_home: Path, tmp_path: Path) -> AsyncIterator[Locked]:
    (sterna_home / "bundles").mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(sterna_home / "bundles")
    async with running_core(CoreOptions(home=tmp_path, port=0, keys=True)) as core:
        yield Locked(core, tmp_path)


def url_of(locked: Locked) -> str:
    return f"http://{locked.core.core.address}"


async def buf_curl(*arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of a client that knows nothing of this project."""
    process = await asyncio.create_subprocess_exec(
        str(BUF),
        "curl",
        "--http2-prior-knowledge",
        "--protocol",
        "grpc",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, output.decode(), errors.decode()


async def test_without_a_key_nothing_works(locked: Locked) -> None:
    refused = await refusal(locked.core.inference.Tokenize(TOKENIZE))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.reason == "UNAUTHENTICATED"
    assert "sterna keys create" in refused.message
    refused = await refusal(locked.core.stream(long_answer()).read())
    assert refused.reason == "UNAUTHENTICATED"


async def test_both_headers_are_taken(locked: Locked) -> None:
    key = await make_key(locked.home, "inference")
    for metadata in (bearer(key), (("x-api-key", key),), (("authorization", f"bearer {key}"),)):
        answer = await locked.core.inference.Tokenize(TOKENIZE, metadata=metadata)
        assert answer.token_ids


@pytest.mark.parametrize("key", ["unused", "sk-sterna-" + "a" * 12 + "-" + "b" * 43])
async def test_a_key_that_is_none_is_refused(locked: Locked, key: str) -> None:
    await make_key(locked.home)
    refused = await refusal(locked.core.inference.Tokenize(TOKENIZE, metadata=bearer(key)))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert key not in refused.message


async def test_a_spoken_conversation_needs_two_scopes(locked: Locked) -> None:
    async def config() -> AsyncIterator[speech_pb2.ConverseRequest]:
        yield speech_pb2.ConverseRequest(config={})

    stub = speech_pb2_grpc.SpeechServiceStub(locked.core.channel)
    speech = bearer(await make_key(locked.home, "speech"))
    refused = await refusal(stub.Converse(config(), metadata=speech).read())
    assert (refused.reason, refused.metadata) == (
        "PERMISSION_DENIED",
        {"scope": "inference and speech"},
    )
    both = bearer(await make_key(locked.home, "speech", "inference"))
    refused = await refusal(stub.Converse(config(), metadata=both).read())
    assert refused.reason == "SPEECH_DISABLED"


async def test_a_scope_opens_its_rpcs_and_no_others(locked: Locked) -> None:
    inference = bearer(await make_key(locked.home, "inference"))
    metrics = bearer(await make_key(locked.home, "metrics"))
    await locked.core.inference.Tokenize(TOKENIZE, metadata=inference)
    await locked.core.admin.GetServerStatus(STATUS, metadata=metrics)
    for metadata in (inference, metrics):
        await locked.core.admin.ListModels(model_admin_pb2.ListModelsRequest(), metadata=metadata)
    refused = await refusal(locked.core.admin.GetServerStatus(STATUS, metadata=inference))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert (refused.reason, refused.metadata) == (
        "PERMISSION_DENIED",
        {"scope": "admin or metrics"},
    )
    refused = await refusal(locked.core.inference.Tokenize(TOKENIZE, metadata=metrics))
    assert refused.metadata == {"scope": "inference"}
    unload = model_admin_pb2.UnloadModelRequest(model_id="sterna/tern-nano")
    assert (await refusal(locked.core.admin.UnloadModel(unload, metadata=metrics))).reason == (
        "PERMISSION_DENIED"
    )


async def test_health_and_schema_need_no_key(locked: Locked) -> None:
    health = health_pb2_grpc.HealthStub(locked.core.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    status, listed, _ = await buf_curl("--list-methods", url_of(locked))
    assert status == 0
    assert "sterna.v1.AccessService/Admit" in listed


async def test_the_socket_of_the_facade_is_no_way_around(locked: Locked) -> None:
    async with grpc.aio.insecure_channel(locked.core.core.unix_address) as channel:
        call = channel.unary_unary(
            "/sterna.v1.InferenceService/Tokenize",
            request_serializer=inference_pb2.TokenizeRequest.SerializeToString,
            response_deserializer=inference_pb2.TokenizeResponse.FromString,
        )
        assert (await refusal(call(TOKENIZE))).reason == "UNAUTHENTICATED"


async def test_the_client_sends_its_key(locked: Locked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STERNA_API_KEY", raising=False)
    key = await make_key(locked.home, "inference")
    address = locked.core.core.address
    async with AsyncClient(address, api_key=key) as client:
        assert await client.tokenize("Hello")
        with pytest.raises(AccessDeniedError):
            await client.server_status()
    async with AsyncClient(address) as client:
        with pytest.raises(AuthenticationError):
            await client.tokenize("Hello")
    monkeypatch.setenv("STERNA_API_KEY", key)
    async with AsyncClient(address) as client:
        assert await client.tokenize("Hello")


async def test_a_revoked_key_stops_working_in_a_running_server(locked: Locked) -> None:
    key = await make_key(locked.home)
    metadata = bearer(key)
    await locked.core.inference.Tokenize(TOKENIZE, metadata=metadata)
    await revoke_key(locked.home, key)

    async def is_refused() -> bool:
        call = locked.core.inference.Tokenize(TOKENIZE, metadata=metadata)
        return await call.code() is grpc.StatusCode.UNAUTHENTICATED

    await eventually(is_refused)


async def test_a_key_that_expires_while_the_server_runs(locked: Locked) -> None:
    key = await make_key(locked.home, expire_time=datetime.now(UTC) - timedelta(seconds=1))
    refused = await refusal(locked.core.inference.Tokenize(TOKENIZE, metadata=bearer(key)))
    assert "expired" in refused.message


async def test_stored_answers_belong_to_their_key(locked: Locked) -> None:
    mine = bearer(await make_key(locked.home))
    others = bearer(await make_key(locked.home))
    spec = chat("Hello")
    spec.storage.store = True
    call = locked.core.stream(spec, metadata=mine)
    response_id = ""
    async for event in call:
        if event.WhichOneof("event") == "started":
            response_id = event.started.response_id
    get = inference_pb2.GetAnswerRequest(response_id=response_id)
    await locked.core.inference.GetAnswer(get, metadata=mine)
    assert (await refusal(locked.core.inference.GetAnswer(get, metadata=others))).code is (
        grpc.StatusCode.NOT_FOUND
    )


async def test_sessions_belong_to_their_key(locked: Locked) -> None:
    inference = locked.core.inference
    mine = bearer(await make_key(locked.home, "inference"))
    others = bearer(await make_key(locked.home, "inference"))
    hello = chat("Hello!").chat.messages
    create = inference_pb2.CreateSessionRequest(session_id="s", messages=hello)
    await inference.CreateSession(create, metadata=mine)

    def uses(session_id: str) -> list[Awaitable[object]]:
        spec = chat("Hi", session_id=session_id)
        generate = inference_pb2.GenerateRequest(spec=spec)
        get = inference_pb2.GetSessionRequest(session_id=session_id, include_messages=True)
        delete = inference_pb2.DeleteSessionRequest(session_id=session_id)
        return [
            inference.GetSession(get, metadata=others),
            inference.Generate(generate, metadata=others),
            locked.core.stream(spec, metadata=others).read(),
            inference.DeleteSession(delete, metadata=others),
        ]

    # Another's is as one that never was, down to the words.
    for his, unknown in zip(uses("s"), uses("t"), strict=True):
        refused, expected = await refusal(his), await refusal(unknown)
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
        assert refused.message == expected.message.replace("'t'", "'s'")
    # Nor does the choice of an id tell of it, or touch it.
    made = await inference.CreateSession(
        inference_pb2.CreateSessionRequest(session_id="s"), metadata=others
    )
    assert (made.session.session_id, made.session.message_count) == ("s", 0)
    spec = chat("Who are you?", session_id="s")
    await inference.Generate(inference_pb2.GenerateRequest(spec=spec), metadata=mine)
    counts = []
    for metadata in (mine, others):
        get = inference_pb2.GetSessionRequest(session_id="s")
        counts.append((await inference.GetSession(get, metadata=metadata)).session.message_count)
    assert counts == [3, 0]
    # Whoever administers sees that both are there.
    listing = inference_pb2.ListSessionsRequest(page_size=1)
    admin = bearer(await make_key(locked.home, "admin"))
    names = []
    for _ in range(2):
        page = await inference.ListSessions(listing, metadata=admin)
        names += [each.session_id for each in page.sessions]
        listing.page_token = page.next_page_token
    assert (names, listing.page_token) == (["s", "s"], "")
    assert (await refusal(inference.ListSessions(listing, metadata=mine))).reason == (
        "PERMISSION_DENIED"
    )


async def test_sessions_from_before_the_keys(sterna_home: Path, tmp_path: Path) -> None:
    (sterna_home / "bundles").mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(sterna_home / "bundles")
    request = inference_pb2.CreateSessionRequest(session_id="old")
    get = inference_pb2.GetSessionRequest(session_id="old")
    async with running_core(CoreOptions(home=tmp_path, port=0)) as core:
        await core.inference.CreateSession(request)
    async with running_core(CoreOptions(home=tmp_path, port=0, keys=True)) as core:
        for _ in range(2):
            metadata = bearer(await make_key(tmp_path))
            found = await core.inference.GetSession(get, metadata=metadata)
            assert found.session.session_id == "old"
            refused = await refusal(core.inference.CreateSession(request, metadata=metadata))
            assert refused.reason == "SESSION_ALREADY_EXISTS"


async def test_buf_curl_with_a_key(locked: Locked) -> None:
    key = await make_key(locked.home, "inference")
    data = ("-d", '{"text": {"text": "Hello"}}')
    url = f"{url_of(locked)}/sterna.v1.InferenceService/Tokenize"
    status, answer, _ = await buf_curl(*data, "-H", f"Authorization: Bearer {key}", url)
    assert status == 0
    assert json.loads(answer)["tokenIds"]
    status, _, problem = await buf_curl(*data, url)
    assert status != 0
    assert json.loads(problem)["code"] == "unauthenticated"


async def test_two_channels_are_judged_apart(locked: Locked) -> None:
    key = await make_key(locked.home)
    async with connect(locked.core.core) as other:
        await locked.core.inference.Tokenize(TOKENIZE, metadata=bearer(key))
        assert (await refusal(other.inference.Tokenize(TOKENIZE))).reason == "UNAUTHENTICATED"
