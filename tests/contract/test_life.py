"""Starting and stopping: what is refused at the start, and what is finished at the end."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import stat
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import sterna_service.models
from sterna.v1 import model_admin_pb2, server_status_pb2
from sterna_service.app import CoreOptions, start_core
from sterna_service.errors import StartupError
from sterna_service.inference.loaded_model import load_model
from tests.support.core import (
    PATIENCE,
    CoreClient,
    Refusal,
    chat,
    connect,
    endless_answer,
    eventually,
    long_answer,
    refusal,
    running_core,
)

EMBEDDED = Path(sterna_service.models.__file__).parent / "embedded"


async def collect(core: CoreClient, spec: Any) -> tuple[str, bool]:
    """The text of a stream, and whether it ended as it should."""
    text, complete = "", False
    async for event in core.stream(spec):
        text += event.delta.text
        complete = event.HasField("usage")
    return text, complete


async def test_a_graceful_stop_finishes_what_runs_and_refuses_what_comes(
    sterna_home: Path,
) -> None:
    core = await start_core(CoreOptions(home=sterna_home, port=0))
    async with connect(core) as client:
        alone = await collect(client, long_answer())
        calls = [client.stream(long_answer()) for _ in range(4)]
        streams = [call.__aiter__() for call in calls]
        firsts = [await anext(stream) for stream in streams]
        assert all(first.HasField("started") for first in firsts)
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(
            health_pb2.HealthCheckRequest(service="sterna.v1.InferenceService")
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

        stopping = asyncio.create_task(core.stop(grace_seconds=PATIENCE))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        refused = await refusal(client.generate(chat("Hi")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
        assert refused.retry_seconds is not None
        info = await client.admin.GetServerInfo(
            model_admin_pb2.GetServerInfoRequest(), timeout=PATIENCE
        )
        assert info.state == server_status_pb2.SERVER_STATE_DRAINING

        for stream in streams:
            text, complete = "", False
            async for event in stream:
                text += event.delta.text
                complete = event.HasField("usage")
            assert (text, complete) == alone
        await asyncio.wait_for(stopping, PATIENCE)
    await asyncio.wait_for(core.wait(), PATIENCE)


async def test_the_grace_period_ends(sterna_home: Path, endless_model: str) -> None:
    core = await start_core(CoreOptions(home=sterna_home, port=0, model=endless_model))
    async with connect(core) as client:
        call = client.stream(endless_answer())
        stream = call.__aiter__()
        await anext(stream)
        await asyncio.wait_for(core.stop(grace_seconds=0.01), PATIENCE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stream:
                pass
        refused = Refusal.of(caught.value)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")


async def test_stopping_twice_is_stopping_once(sterna_home: Path) -> None:
    core = await start_core(CoreOptions(home=sterna_home, port=0))
    await asyncio.gather(core.stop(1.0), core.stop(1.0))
    await core.stop(1.0)
    await asyncio.wait_for(core.wait(), PATIENCE)


async def test_an_idle_core_stops_at_once_and_frees_its_port(sterna_home: Path) -> None:
    core = await start_core(CoreOptions(home=sterna_home, port=0))
    port = int(core.address.rpartition(":")[2])
    path = Path(core.unix_address.removeprefix("unix:"))
    assert mode_of(path.parent) == 0o700
    await asyncio.wait_for(core.stop(grace_seconds=1000.0), PATIENCE)
    assert mode_of(path) is None
    async with running_core(CoreOptions(home=sterna_home, port=port)) as client:
        assert (await client.generate(chat("Hello!"))).choices[0].text


async def test_the_unix_socket_alone(sterna_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    async with running_core(CoreOptions(home=sterna_home, host=None, unix_path=path)) as client:
        assert client.core.address == client.core.unix_address == f"unix:{path}"
        assert (await client.generate(chat("Hello!"))).choices[0].text
    assert not path.exists()


async def test_two_servers_on_one_port(core: CoreClient, sterna_home: Path) -> None:
    port = int(core.core.address.rpartition(":")[2])
    with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port} .* another port"):
        await start_core(CoreOptions(home=sterna_home, port=port))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartupError, match="cannot listen"):
            await start_core(CoreOptions(home=sterna_home, port=taken.getsockname()[1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "port must be 0 to 65535"),
        ({"host": ""}, "host must not be empty"),
        ({"host": "no.such.host.invalid", "port": 0}, "cannot listen on no.such.host.invalid"),
        ({"max_call_seconds": float("nan")}, "max_call_seconds must be above 0"),
        ({"max_message_bytes": 5}, "max_message_bytes must be"),
        ({"unix_path": Path("/tmp/" + "x" * 120)}, "unix_path must be at most 107 bytes"),
        ({"unix_path": Path("/no/such/directory/s.sock")}, "cannot listen on unix:"),
        ({"model": "no/such-model"}, "there is no model 'no/such-model'"),
        ({"model": "/no/such/directory"}, "no such directory"),
        ({"threads": -1}, "threads"),
        ({"max_batch": 0}, "max_batch"),
        ({"kv_cache_tokens": -5}, "kv_cache_tokens"),
    ],
)
async def test_bad_options_are_refused_in_one_line(
    sterna_home: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(StartupError, match=message) as caught:
        await start_core(CoreOptions(**{"home": sterna_home, "port": 0, **options}))
    assert "\n" not in str(caught.value)


def mode_of(path: Path) -> int | None:
    """The permissions of a file, None where there is none."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


def damage(directory: Path, name: str, content: bytes | dict[str, Any] | None) -> None:
    path = directory / name
    if content is None:
        path.unlink()
    elif isinstance(content, dict):
        path.write_text(json.dumps({**json.loads(path.read_text()), **content}))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", None, "config.json"),
        ("config.json", b"{", "config.json: not JSON"),
        ("config.json", {"vocab_size": 8192}, "vocab"),
        ("config.json", {"vocab_size": -1}, "vocab_size"),
        ("config.json", {"hidden_size": 193}, "hidden_size"),
        ("config.json", {"architectures": ["GPT9"]}, "GPT9"),
        ("model.safetensors", None, "no *.safetensors files"),
        ("model.safetensors", b"short", "model.safetensors"),
        ("model.safetensors", struct.pack("<Q", 2**60), "model.safetensors"),
        ("tokenizer.json", None, "tokenizer.json: no such file"),
        ("tokenizer.json", b"{}", "tokenizer.json: not a tokenizer"),
        ("tokenizer_config.json", {"chat_template": "{% if"}, "chat template"),
        ("generation_config.json", {"temperature": "hot"}, "temperature must be a number"),
    ],
)
async def test_a_damaged_checkpoint_is_refused_in_one_line(
    tmp_path: Path, name: str, content: Any, words: str
) -> None:
    directory = tmp_path / "checkpoint"
    shutil.copytree(EMBEDDED, directory)
    damage(directory, name, content)
    with pytest.raises(StartupError) as caught:
        await start_core(CoreOptions(home=tmp_path / "home", port=0, model=str(directory)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_truncated_bundle_is_packed_again(tmp_path: Path) -> None:
    options = CoreOptions(home=tmp_path, port=0)
    async with running_core(options):
        pass
    (bundle,) = (tmp_path / "bundles").glob("*.safetensors")
    size = bundle.stat().st_size
    # A new file, because the old one may still be mapped somewhere.
    short = bundle.with_suffix(".short")
    short.write_bytes(bundle.read_bytes()[: size // 2])
    short.replace(bundle)
    async with running_core(options) as core:
        answer = await core.generate(chat("What is the capital of France?"))
        assert answer.choices[0].text == "The capital of France is Paris."
    assert bundle.stat().st_size == size


async def test_an_unwritable_home_does_not_matter(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file where the directory should be")
    async with running_core(CoreOptions(home=home, port=0)) as core:
        assert (await core.generate(chat("Hello!"))).choices[0].text


async def test_a_model_given_by_its_directory(tmp_path: Path, sterna_home: Path) -> None:
    directory = tmp_path / "my tern"
    shutil.copytree(EMBEDDED, directory)
    async with running_core(CoreOptions(home=sterna_home, port=0, model=str(directory))) as core:
        assert (await core.generate(chat("Hello!", model_id="my-tern"))).model_id == "my-tern"


async def test_while_the_model_loads_the_server_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load = asyncio.Event()

    async def load_slowly(*arguments: Any, **options: Any) -> Any:
        await may_load.wait()
        return await load_model(*arguments, **options)

    monkeypatch.setattr("sterna_service.models.loading.load_model", load_slowly)
    path = tmp_path / "s.sock"
    options = CoreOptions(home=tmp_path, host=None, unix_path=path)
    starting = asyncio.create_task(start_core(options))

    async def listens() -> bool:
        return path.exists()

    await eventually(listens)
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        client = CoreClient(None, channel, *stubs(channel))  # type: ignore[arg-type]
        refused = await refusal(client.generate(chat("Hi")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        assert refused.retry_seconds is not None
        info = await client.admin.GetServerInfo(
            model_admin_pb2.GetServerInfoRequest(), timeout=PATIENCE
        )
        assert info.state == server_status_pb2.SERVER_STATE_STARTING
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="sterna.v1.InferenceService")
        answer: Any = await health.Check(request, timeout=PATIENCE)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        may_load.set()
        core = await starting
        answer = await health.Check(request, timeout=PATIENCE)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert (await client.generate(chat("Hello!"))).choices[0].text
    await core.stop(0.0)


def stubs(channel: grpc.aio.Channel) -> tuple[Any, Any]:
    from sterna.v1 import inference_pb2_grpc, model_admin_pb2_grpc

    return (
        inference_pb2_grpc.InferenceServiceStub(channel),
        model_admin_pb2_grpc.ModelAdminServiceStub(channel),
    )
