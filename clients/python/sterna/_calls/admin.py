"""The calls of ModelAdminService, and that of the health service."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from sterna import server_types, types
from sterna._calls.call import PAGE_SIZE, Call, Plan, call
from sterna._convert import from_message
from sterna._options import enum_value
from sterna.v1 import generation_pb2, model_admin_pb2, model_pb2


def list_models(*, timeout: float | None = None) -> Plan[tuple[server_types.Model, ...]]:
    """All models that the server has, the default one first."""
    found: list[model_pb2.Model] = []
    token = ""
    while True:
        page: model_admin_pb2.ListModelsResponse = yield call(
            "ModelAdminService/ListModels",
            model_admin_pb2.ListModelsRequest(page_size=PAGE_SIZE, page_token=token),
            model_admin_pb2.ListModelsResponse,
            lambda reply: reply,
            timeout,
        )
        found.extend(page.models)
        token = page.next_page_token
        if not token:
            return tuple(from_message(server_types.Model, model) for model in found)


def get_model(model: str = "", *, timeout: float | None = None) -> Call[server_types.Model]:
    """A model, by its id or alias; empty: the default model."""
    return call(
        "ModelAdminService/GetModel",
        model_admin_pb2.GetModelRequest(model_id=model),
        model_admin_pb2.GetModelResponse,
        lambda reply: from_message(server_types.Model, reply.model),
        timeout,
    )


def load_model(
    model: str,
    *,
    adapter_path: str = "",
    harness: Literal["default", "search"] | None = None,
    search_provider: Literal["ddgs", "brave"] | None = None,
    thread_count: int | None = None,
    adapter_precision: str | None = None,
    head_precision: str | None = None,
    keep_alive: timedelta | None = None,
    pinned: bool | None = None,
    make_default: bool = False,
    drain_timeout: timedelta | None = None,
    keep_adapter: bool = False,
    timeout: float | None = None,
) -> Call[server_types.LoadedModel]:
    """Load a model, or swap it when other settings are asked for. None leaves a setting alone.

    Requests that name no adapter get the one at `adapter_path`; without it they get the model
    alone, or go on with the adapter that they had when `keep_adapter` is true.
    """
    precision = model_pb2.WeightPrecision
    request = model_admin_pb2.LoadModelRequest(
        model_id=model,
        adapter_path=adapter_path,
        harness=enum_value(generation_pb2.Harness, harness, "harness"),
        search_provider=enum_value(
            generation_pb2.SearchProvider, search_provider, "search_provider"
        ),
        thread_count=thread_count,
        adapter_precision=enum_value(precision, adapter_precision, "adapter_precision"),
        head_precision=enum_value(precision, head_precision, "head_precision"),
        pinned=pinned,
        make_default=make_default,
        keep_adapter=keep_adapter,
    )
    if keep_alive is not None:
        request.keep_alive.FromTimedelta(keep_alive)
    if drain_timeout is not None:
        request.drain_timeout.FromTimedelta(drain_timeout)
    return call(
        "ModelAdminService/LoadModel",
        request,
        model_admin_pb2.LoadModelResponse,
        lambda reply: from_message(server_types.LoadedModel, reply),
        timeout,
        long=True,
    )


def unload_model(
    model: str, *, drain_timeout: timedelta | None = None, timeout: float | None = None
) -> Call[server_types.Model]:
    """Take a model out of memory, when its running requests are done or `drain_timeout` is over."""
    request = model_admin_pb2.UnloadModelRequest(model_id=model)
    if drain_timeout is not None:
        request.drain_timeout.FromTimedelta(drain_timeout)
    return call(
        "ModelAdminService/UnloadModel",
        request,
        model_admin_pb2.UnloadModelResponse,
        lambda reply: from_message(server_types.Model, reply.model),
        timeout,
        long=True,
    )


def load_adapter(
    model: str,
    path: str,
    *,
    adapter: str = "",
    precision: str | None = None,
    timeout: float | None = None,
) -> Call[server_types.Adapter]:
    """Load a LoRA adapter of the model store beside its model. `path` is its id (`ORG/NAME`), the
    end of it, or a directory of the store; the name is by default that of its directory."""
    return call(
        "ModelAdminService/LoadAdapter",
        model_admin_pb2.LoadAdapterRequest(
            model_id=model,
            path=path,
            adapter_id=adapter,
            precision=enum_value(model_pb2.WeightPrecision, precision, "precision"),
        ),
        model_admin_pb2.LoadAdapterResponse,
        lambda reply: from_message(server_types.Adapter, reply.adapter),
        timeout,
        long=True,
    )


def unload_adapter(model: str, adapter: str, *, timeout: float | None = None) -> Call[None]:
    """Take an adapter out of memory; running requests finish with it."""
    return call(
        "ModelAdminService/UnloadAdapter",
        model_admin_pb2.UnloadAdapterRequest(model_id=model, adapter_id=adapter),
        model_admin_pb2.UnloadAdapterResponse,
        lambda reply: None,
        timeout,
        long=True,
    )


def list_adapters(
    model: str, *, timeout: float | None = None
) -> Plan[tuple[server_types.Adapter, ...]]:
    """All adapters of a model, by name."""
    found: list[model_pb2.Adapter] = []
    token = ""
    while True:
        page: model_admin_pb2.ListAdaptersResponse = yield call(
            "ModelAdminService/ListAdapters",
            model_admin_pb2.ListAdaptersRequest(
                model_id=model, page_size=PAGE_SIZE, page_token=token
            ),
            model_admin_pb2.ListAdaptersResponse,
            lambda reply: reply,
            timeout,
        )
        found.extend(page.adapters)
        token = page.next_page_token
        if not token:
            return tuple(from_message(server_types.Adapter, adapter) for adapter in found)


def list_stored_adapters(
    *, timeout: float | None = None
) -> Plan[tuple[server_types.StoredAdapter, ...]]:
    """All adapters that lie in the server's store, by id; `load_adapter` takes these ids."""
    found: list[model_pb2.StoredAdapter] = []
    token = ""
    while True:
        page: model_admin_pb2.ListStoredAdaptersResponse = yield call(
            "ModelAdminService/ListStoredAdapters",
            model_admin_pb2.ListStoredAdaptersRequest(page_size=PAGE_SIZE, page_token=token),
            model_admin_pb2.ListStoredAdaptersResponse,
            lambda reply: reply,
            timeout,
        )
        found.extend(page.adapters)
        token = page.next_page_token
        if not token:
            return tuple(from_message(server_types.StoredAdapter, adapter) for adapter in found)


def server_info(*, timeout: float | None = None) -> Call[server_types.ServerInfo]:
    """What the server is."""
    return call(
        "ModelAdminService/GetServerInfo",
        model_admin_pb2.GetServerInfoRequest(),
        model_admin_pb2.GetServerInfoResponse,
        lambda reply: from_message(server_types.ServerInfo, reply),
        timeout,
    )


def server_status(*, timeout: float | None = None) -> Call[server_types.ServerStatus]:
    """How the server does."""
    return call(
        "ModelAdminService/GetServerStatus",
        model_admin_pb2.GetServerStatusRequest(),
        model_admin_pb2.GetServerStatusResponse,
        lambda reply: from_message(server_types.ServerStatus, reply.status),
        timeout,
    )


_HEALTH = tuple(types.HealthState)


def health(service: str = "", *, timeout: float | None = None) -> Call[types.HealthState]:
    """The health of the process, or of a service such as "sterna.v1.InferenceService"."""
    # HealthCheckRequest and its response each hold one field, which is that of these wrappers: a
    # client needs no dependency for them.
    return Call(
        "/grpc.health.v1.Health/Check",
        StringValue(value=service),
        Int32Value,
        lambda reply: _HEALTH[reply.value] if reply.value < len(_HEALTH) else _HEALTH[0],
        timeout,
    )
