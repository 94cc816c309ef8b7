"""The services as an operator or a foreign client meets them."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import sterna_service.models
from sterna.v1 import (
    generation_pb2,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    model_pb2,
    server_status_pb2,
    speech_pb2,
    speech_pb2_grpc,
)
from sterna_service.app import CoreOptions
from sterna_service.rpc.inference import InferenceServicer
from sterna_service.rpc.model_admin import ModelAdminServicer
from sterna_service.rpc.speech import SpeechServicer
from tests.support.core import (
    PATIENCE,
    CoreClient,
    Refusal,
    chat,
    eventually,
    refusal,
    running_core,
)

SERVICES = {
    descriptor.full_name: descriptor
    for file in (inference_pb2, model_admin_pb2, speech_pb2)
    for descriptor in file.DESCRIPTOR.services_by_name.values()
}
SERVICERS = {
    "InferenceService": (InferenceServicer, inference_pb2_grpc.InferenceServiceServicer),
    "ModelAdminService": (ModelAdminServicer, model_admin_pb2_grpc.ModelAdminServiceServicer),
    "SpeechService": (SpeechServicer, speech_pb2_grpc.SpeechServiceServicer),
}


@pytest.mark.parametrize(
    ("service", "name"),
    [(each.name, method.name) for each in SERVICES.values() for method in each.methods],
)
def test_every_rpc_is_built(service: str, name: str) -> None:
    """What a servicer leaves to the generated base class would answer UNIMPLEMENTED."""
    servicer, base = SERVICERS[service]
    assert getattr(servicer, name) is not getattr(base, name)


async def health(core: CoreClient, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(core.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    answer: Any = await stub.Check(request, timeout=PATIENCE)
    return int(answer.status)


async def test_health_by_service(core: CoreClient) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    assert await health(core, "") == serving
    assert await health(core, "sterna.v1.InferenceService") == serving
    assert await health(core, "sterna.v1.ModelAdminService") == serving
    not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
    assert await health(core, "sterna.v1.SpeechService") == not_serving
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(core, "sterna.v1.Nothing")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_server_info(core: CoreClient) -> None:
    answer = await core.admin.GetServerInfo(
        model_admin_pb2.GetServerInfoRequest(), timeout=PATIENCE
    )
    assert answer.state == server_status_pb2.SERVER_STATE_RUNNING
    assert answer.default_model_id == "sterna/tern-nano"
    assert answer.model_available_count == 1
    assert answer.info.name == "Sterna"
    assert answer.info.version
    tcp, unix = answer.info.listeners
    assert tcp.address == core.core.address
    assert tcp.port == int(core.core.address.rpartition(":")[2])
    assert f"unix:{unix.address}" == core.core.unix_address


async def test_server_status(core: CoreClient) -> None:
    await core.generate(chat("What is the capital of France?"))
    await refusal(core.generate(chat("Hi", model_id="nothing")))
    status = await core.status()
    assert status.state == server_status_pb2.SERVER_STATE_RUNNING
    assert (status.model_available_count, status.model_loaded_count) == (1, 1)
    assert (status.active_call_count, status.call_count, status.failed_call_count) == (0, 3, 1)
    assert status.memory.process_resident_bytes > 10_000_000
    assert status.memory.host_total_bytes > status.memory.host_available_bytes > 0
    assert status.cpu.kernel in status.cpu.available_kernels
    assert 0 <= status.cpu.host_usage_percent <= 100
    engine = status.engines[0]
    assert engine.model_id == "sterna/tern-nano"
    assert engine.state == model_pb2.MODEL_STATE_LOADED
    assert (engine.prompt_token_count, engine.generated_token_count) == (14, 8)
    assert engine.batch_capacity == 16
    assert engine.thread_count >= 1
    assert engine.HasField("last_use_time")


async def test_the_model_is_described(core: CoreClient) -> None:
    request = model_admin_pb2.GetModelRequest(model_id="tern-nano")
    model = (await core.admin.GetModel(request, timeout=PATIENCE)).model
    assert model.model_id == "sterna/tern-nano"
    assert (model.family, model.format, model.quantization) == (
        "bitnet",
        "safetensors",
        "ternary packed",
    )
    assert model.architecture.name == "BitNetForCausalLM"
    assert model.context_length == 1024
    assert model.parameter_count == 2_363_840
    assert model.state == model_pb2.MODEL_STATE_LOADED
    assert model.default_model
    assert model.built_in
    assert model.default_sampling.HasField("temperature")
    assert model.default_sampling.temperature == 0.0
    assert list(model.capabilities) == [
        model_pb2.MODEL_CAPABILITY_COMPLETION,
        model_pb2.MODEL_CAPABILITY_CHAT,
        model_pb2.MODEL_CAPABILITY_EMBEDDING,
        model_pb2.MODEL_CAPABILITY_SEARCH,
    ]
    assert model.memory_bytes > 1_000_000


@pytest.fixture
async def core_with_store(tmp_path: Path) -> AsyncIterator[CoreClient]:
    """A store with three more models, one of them damaged, and aliases."""
    embedded = Path(sterna_service.models.__file__).parent / "embedded"
    for name in ("a/one", "b/two", "c/three"):
        shutil.copytree(embedded, tmp_path / "models" / name)
    (tmp_path / "models" / "c" / "three" / "config.json").write_text("no json")
    options = CoreOptions(
        home=tmp_path,
        port=0,
        autoload=False,
        model="two",
        aliases={"gpt-*": "tern-nano", "best": "b/two"},
    )
    async with running_core(options) as client:
        yield client


async def list_models(core: CoreClient, **fields: Any) -> model_admin_pb2.ListModelsResponse:
    request = model_admin_pb2.ListModelsRequest(**fields)
    return await core.admin.ListModels(request, timeout=PATIENCE)


async def test_models_are_listed_in_pages(core_with_store: CoreClient) -> None:
    everything = await list_models(core_with_store)
    ids = [model.model_id for model in everything.models]
    assert ids == ["b/two", "a/one", "c/three", "sterna/tern-nano"]
    assert everything.next_page_token == ""
    paged: list[str] = []
    token = ""
    while True:
        page = await list_models(core_with_store, page_size=1, page_token=token)
        paged += [model.model_id for model in page.models]
        token = page.next_page_token
        if not token:
            break
    assert paged == ids
    loaded = await list_models(core_with_store, state=model_pb2.MODEL_STATE_LOADED)
    assert [model.model_id for model in loaded.models] == ["b/two"]
    assert everything.models[0].aliases == ["best"]
    assert everything.models[3].aliases == ["gpt-*"]


async def test_bad_pages_are_refused(core_with_store: CoreClient) -> None:
    refused = await refusal(list_models(core_with_store, page_size=-1))
    assert (refused.reason, refused.fields) == ("FIELD_OUT_OF_RANGE", ["page_size"])
    for token in ("!", "ÿ", "AA"):
        refused = await refusal(list_models(core_with_store, page_token=f"{token}=x"))
        assert (refused.reason, refused.fields) == ("INVALID_FIELD", ["page_token"])


async def test_models_that_are_not_loaded_do_not_answer(core_with_store: CoreClient) -> None:
    assert (await core_with_store.generate(chat("Hello!"))).model_id == "b/two"
    assert (await core_with_store.generate(chat("Hello!", model_id="best"))).model_id == "b/two"
    for name in ("a/one", "gpt-4o"):
        refused = await refusal(core_with_store.generate(chat("Hi", model_id=name)))
        assert refused.code == grpc.StatusCode.FAILED_PRECONDITION
        assert refused.reason == "MODEL_NOT_LOADED"
        assert "loaded: b/two" in refused.message


async def buf_curl(address: str, method: str, data: str, *flags: str) -> tuple[int, str, str]:
    """Calls with a client that is not ours and has no schema but the server's own."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "buf"),
        *("curl", "--http2-prior-knowledge", "--protocol", "grpc", *flags),
        *(("--data", data) if data else ()),
        f"http://{address}{method}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_foreign_client_finds_and_calls_everything(core: CoreClient) -> None:
    code, out, err = await buf_curl(core.core.address, "", "", "--list-services")
    assert code == 0, err
    assert set(SERVICES) <= set(out.split())
    data = {
        "spec": {"chat": {"messages": [{"role": "ROLE_USER", "content": [{"text": "Hello!"}]}]}}
    }
    method = "/sterna.v1.InferenceService/StreamGenerate"
    code, out, err = await buf_curl(core.core.address, method, json.dumps(data))
    assert code == 0, err
    decoder, events = json.JSONDecoder(), []
    while out.strip():
        event, end = decoder.raw_decode(out.strip())
        events.append(event)
        out = out.strip()[end:]
    text = "".join(event.get("delta", {}).get("text", "") for event in events)
    assert text == (await core.generate(chat("Hello!"))).choices[0].text
    data["spec"]["modelId"] = "nothing"  # type: ignore[assignment]
    code, out, err = await buf_curl(core.core.address, method, json.dumps(data))
    assert code != 0
    assert "not_found" in err


async def test_without_reflection_there_is_no_schema(sterna_home: Path) -> None:
    options = CoreOptions(home=sterna_home, port=0, reflection=False)
    async with running_core(options) as core:
        code, _, err = await buf_curl(core.core.address, "", "", "--list-services")
        assert code != 0
        assert "unimplemented" in err.lower()


async def test_an_unknown_method_is_unimplemented(core: CoreClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.raw.unary_unary("/sterna.v1.InferenceService/Nothing")(b"", timeout=PATIENCE)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_bug_does_not_leak_its_text(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret path /etc/shadow")

    monkeypatch.setattr("sterna_service.inference.generation.check_stop", fail)
    call = core.stream(chat("Hi"), metadata=(("x-request-id", "find-me"),))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    refused = Refusal.of(caught.value)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refused.metadata == {"request_id": "find-me"}
    assert "secret" not in refused.message
    # Whoever reads the log finds it under the id that the client was given.
    record = next(record for record in caplog.records if record.exc_info)
    assert "secret" in caplog.text
    assert record.__dict__["request_id"] == "find-me"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path"),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        # As libraries in Rust say it.
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
async def test_a_disk_without_room_is_no_bug(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("sterna_service.inference.generation.check_stop", fail)
    refused = await refusal(core.generate(chat("Hi")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert "secret" not in refused.message


async def test_a_panic_of_a_library_is_an_error_like_others(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicError(BaseException):
        """As the Rust libraries raise: outside of Exception."""

    def panic(*_: object) -> None:
        raise PanicError("index out of bounds")

    with monkeypatch.context() as patch:
        patch.setattr("sterna_service.inference.generation.check_stop", panic)
        assert (await refusal(core.generate(chat("Hi")))).reason == "INTERNAL"
    assert (await core.generate(chat("Hello!"))).choices[0].text


async def test_a_handler_that_cancels_itself_does_not_hang_its_client(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("sterna_service.inference.generation.check_stop", cancel)
    refused = await refusal(core.generate(chat("Hi")))
    assert refused.reason == "INTERNAL"


async def test_the_access_log_tells_what_happened_but_not_what_was_said(
    core: CoreClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sterna_service.access")
    secret = "My name is Wilhelmina."
    await core.generate(chat(secret))
    spec = chat(secret, sampling=generation_pb2.SamplingParams(top_p=9))
    await refusal(core.generate(spec))

    def access_log() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "sterna_service.access"]

    async def both_are_there() -> bool:
        return len(access_log()) == 2  # a call is logged after its client has the answer

    await eventually(both_are_there)
    records = access_log()
    done, refused = (record.__dict__ for record in records)
    assert done["outcome"] == "OK"
    assert done["method"] == "/sterna.v1.InferenceService/Generate"
    assert done["model"] == "sterna/tern-nano"
    assert done["completion_tokens"] > 0
    assert refused["outcome"] == "FIELD_OUT_OF_RANGE"
    assert not any("Wilhelmina" in str(record.__dict__) for record in caplog.records)
