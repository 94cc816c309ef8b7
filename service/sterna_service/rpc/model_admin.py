"""ModelAdminService: the models and the server itself."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import model_admin_pb2, model_admin_pb2_grpc, model_pb2, server_status_pb2
from sterna_service.engine.host import inspect_host
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.spec import Harness
from sterna_service.models.pull import PullState
from sterna_service.models.pulls import Pulls
from sterna_service.models.registry import ModelRegistry
from sterna_service.models.slots import ModelState
from sterna_service.rpc.adapters import AdapterMethods, stored_adapter_message
from sterna_service.rpc.calls import CallBook
from sterna_service.rpc.from_events import duration, timestamp
from sterna_service.rpc.from_models import (
    STATES,
    engine_message,
    event_message,
    model_message,
    pull_message,
)
from sterna_service.rpc.pages import page_of
from sterna_service.rpc.to_models import (
    drain_seconds,
    load_settings,
    named_model,
    pull_source,
    watch,
)
from sterna_service.rpc.usage import UsageMethods
from sterna_service.rpc.webhooks import WebhookMethods
from sterna_service.telemetry.host import CpuMeter, memory
from sterna_service.telemetry.usage import Usage
from sterna_service.webhooks.webhooks import Webhooks

Context = ServicerContext[Any, Any]

_FEATURES = (
    "adapters",
    "chat",
    "completions",
    "embeddings",
    "sessions",
    "streaming",
    "tokenize",
    "tools",
)
_FORMATS = ("gguf", "onnx", "safetensors")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens; `port` is 0 for a Unix socket."""

    address: str
    port: int

    def message(self) -> server_status_pb2.Listener:
        kind = server_status_pb2.Listener
        protocol = kind.PROTOCOL_GRPC if self.port else kind.PROTOCOL_GRPC_UNIX
        return kind(protocol=protocol, address=self.address, port=self.port)


class ModelAdminServicer(
    AdapterMethods, WebhookMethods, UsageMethods, model_admin_pb2_grpc.ModelAdminServiceServicer
):
    """Models, adapters, status and webhooks."""

    def __init__(
        self,
        models: ModelRegistry,
        pulls: Pulls,
        webhooks: Webhooks,
        usage: Usage,
        harnesses: Harnesses,
        book: CallBook,
        endpoints: Callable[[], Sequence[Endpoint]],
    ) -> None:
        WebhookMethods.__init__(self, webhooks)
        UsageMethods.__init__(self, usage)
        AdapterMethods.__init__(self, models)
        self._models = models
        self._pulls = pulls
        self._harnesses = harnesses
        self._book = book
        self._endpoints = endpoints
        self._start_time = datetime.now(UTC)
        self._start = time.monotonic()
        self._cpu = CpuMeter()
        self._host = inspect_host()

    async def GetServerInfo(
        self, request: model_admin_pb2.GetServerInfoRequest, context: Context
    ) -> model_admin_pb2.GetServerInfoResponse:
        info = server_status_pb2.ServerInfo(
            name="Sterna",
            version=server_version(),
            description="Serves ternary language models on ordinary CPUs",
            features=_FEATURES,
            model_formats=_FORMATS,
            python_version=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            start_time=timestamp(self._start_time),
            listeners=[endpoint.message() for endpoint in self._endpoints()],
        )
        return model_admin_pb2.GetServerInfoResponse(
            info=info,
            state=self._state(),
            model_available_count=self._models.count(),
            default_model_id=self._models.names.default_model_id or "",
            default_embedding_model_id=self._models.names.embedding_model_id or "",
        )

    async def GetServerStatus(
        self, request: model_admin_pb2.GetServerStatusRequest, context: Context
    ) -> model_admin_pb2.GetServerStatusResponse:
        loaded = self._models.loaded()
        states = self._models.states()
        engines = [engine_message(model, states[model.model_id]) for model in loaded]
        engines += [
            server_status_pb2.EngineStatus(model_id=model_id, state=STATES[state])
            for model_id, state in states.items()
            if state is ModelState.LOADING
        ]
        status = server_status_pb2.ServerStatus(
            state=self._state(),
            uptime=duration(time.monotonic() - self._start),
            model_available_count=self._models.count(),
            model_loaded_count=len(loaded),
            cpu=self._cpu_status(next((e.kernel for e in engines if e.kv_block_count), "")),
            memory=_memory_status(),
            engines=engines,
            # Without the one that asks.
            active_call_count=self._book.active - 1,
            call_count=self._book.total,
            failed_call_count=self._book.failed,
        )
        return model_admin_pb2.GetServerStatusResponse(status=status)

    async def ListModels(
        self, request: model_admin_pb2.ListModelsRequest, context: Context
    ) -> model_admin_pb2.ListModelsResponse:
        records = await self._models.records()
        if request.state != model_pb2.MODEL_STATE_UNSPECIFIED:
            records = [record for record in records if STATES[record.state] == request.state]
        page, next_token = page_of(
            records, lambda record: record.model_id, request.page_size, request.page_token
        )
        return model_admin_pb2.ListModelsResponse(
            models=[model_message(record) for record in page], next_page_token=next_token
        )

    async def GetModel(
        self, request: model_admin_pb2.GetModelRequest, context: Context
    ) -> model_admin_pb2.GetModelResponse:
        record = await self._models.record(request.model_id)
        return model_admin_pb2.GetModelResponse(model=model_message(record))

    async def LoadModel(
        self, request: model_admin_pb2.LoadModelRequest, context: Context
    ) -> model_admin_pb2.LoadModelResponse:
        source = self._models.names.find(named_model(request.model_id))
        before = self._models.settings_of(source)
        settings = load_settings(request, before, self._models.adapter_path)
        if settings.harness.harness is Harness.SEARCH:
            # Whatever keeps it from searching is said now, not with the first question.
            self._harnesses.researcher(settings.harness.search_provider)
        outcome = await self._models.load(
            source,
            settings,
            drain_seconds(request),
            make_default=request.make_default,
        )
        await self._models.events.settle()
        record = await self._models.record(source.model_id)
        return model_admin_pb2.LoadModelResponse(
            model=model_message(record),
            recompiled=outcome.recompiled,
            already_loaded=outcome.already_loaded,
        )

    async def UnloadModel(
        self, request: model_admin_pb2.UnloadModelRequest, context: Context
    ) -> model_admin_pb2.UnloadModelResponse:
        record = await self._models.unload(named_model(request.model_id), drain_seconds(request))
        await self._models.events.settle()
        return model_admin_pb2.UnloadModelResponse(model=model_message(record))

    async def DeleteModel(
        self, request: model_admin_pb2.DeleteModelRequest, context: Context
    ) -> model_admin_pb2.DeleteModelResponse:
        await self._models.delete(named_model(request.model_id))
        await self._models.events.settle()
        return model_admin_pb2.DeleteModelResponse()

    async def PullModel(
        self, request: model_admin_pb2.PullModelRequest, context: Context
    ) -> AsyncGenerator[model_admin_pb2.PullModelResponse]:
        source, revision = pull_source(request)
        async with contextlib.aclosing(self._pulls.pull(source, revision)) as reports:
            async for progress in reports:
                response = model_admin_pb2.PullModelResponse(pull=pull_message(progress))
                if progress.state is PullState.COMPLETED:
                    await self._models.events.settle()
                    adapter = await self._models.stored_adapter(source)
                    if adapter is not None:
                        response.adapter.CopyFrom(stored_adapter_message(adapter))
                    else:
                        record = await self._models.record(source)
                        response.model.CopyFrom(model_message(record))
                yield response

    async def ListPulls(
        self, request: model_admin_pb2.ListPullsRequest, context: Context
    ) -> model_admin_pb2.ListPullsResponse:
        page, next_token = page_of(
            self._pulls.running(),
            lambda pull: f"{pull.source}@{pull.revision}",
            request.page_size,
            request.page_token,
        )
        return model_admin_pb2.ListPullsResponse(
            pulls=map(pull_message, page), next_page_token=next_token
        )

    async def CancelPullModel(
        self, request: model_admin_pb2.CancelPullModelRequest, context: Context
    ) -> model_admin_pb2.CancelPullModelResponse:
        await self._pulls.cancel(*pull_source(request))
        return model_admin_pb2.CancelPullModelResponse()

    async def WatchEvents(
        self, request: model_admin_pb2.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[model_admin_pb2.WatchEventsResponse]:
        wanted = watch(request)
        log = self._models.events
        watching = log.watch(wanted.after, wanted.kinds, wanted.heartbeat_seconds)
        async with contextlib.aclosing(watching) as events:
            async for event in events:
                if event is None:
                    beat = model_admin_pb2.Heartbeat(revision=log.revision)
                    yield model_admin_pb2.WatchEventsResponse(heartbeat=beat)
                else:
                    yield model_admin_pb2.WatchEventsResponse(event=event_message(event))

    def _state(self) -> server_status_pb2.ServerState:
        if self._book.draining:
            return server_status_pb2.SERVER_STATE_DRAINING
        if self._models.default_is_ready():
            return server_status_pb2.SERVER_STATE_RUNNING
        return server_status_pb2.SERVER_STATE_STARTING

    def _cpu_status(self, kernel: str) -> server_status_pb2.CpuStatus:
        host_percent, process_percent = self._cpu.read()
        return server_status_pb2.CpuStatus(
            kernel=kernel,
            available_kernels=self._host.kernels,
            budget_thread_count=self._host.threads,
            host_thread_count=os.cpu_count() or 0,
            host_usage_percent=host_percent,
            process_usage_percent=process_percent,
        )


def server_version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("sterna-server")
    except metadata.PackageNotFoundError:
        return "0.0.0"


def _memory_status() -> server_status_pb2.MemoryStatus:
    now = memory()
    return server_status_pb2.MemoryStatus(
        process_resident_bytes=now.process_resident,
        host_total_bytes=now.host_total,
        host_available_bytes=now.host_available,
        limit_bytes=now.limit,
    )
