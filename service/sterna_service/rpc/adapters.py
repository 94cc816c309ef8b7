"""The RPCs about adapters, and their messages."""

from __future__ import annotations

from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import model_admin_pb2, model_pb2
from sterna_service.engine.adapter import AdapterPrecision, AdapterSpec
from sterna_service.errors import invalid
from sterna_service.models.adapters import AdapterRecord, check_adapter_id, named_for
from sterna_service.models.registry import ModelRegistry
from sterna_service.models.stored_adapters import AdapterDescription
from sterna_service.rpc.from_events import timestamp
from sterna_service.rpc.pages import page_of

Context = ServicerContext[Any, Any]

_NUMBERS: dict[AdapterPrecision, model_pb2.WeightPrecision] = {
    "none": model_pb2.WEIGHT_PRECISION_NONE,
    "bf16": model_pb2.WEIGHT_PRECISION_BF16,
    "int8": model_pb2.WEIGHT_PRECISION_INT8,
    "q8_0": model_pb2.WEIGHT_PRECISION_Q8_0,
    "q4_0": model_pb2.WEIGHT_PRECISION_Q4_0,
}
_PRECISIONS = {number: name for name, number in _NUMBERS.items()}


def adapter_precision(
    number: model_pb2.WeightPrecision, field: str, usual: AdapterPrecision
) -> AdapterPrecision:
    """How an adapter shall be held; `usual` where the request does not say it.

    Raises:
        ServiceError: Adapters cannot be held so.
    """
    if number == model_pb2.WEIGHT_PRECISION_UNSPECIFIED:
        return usual
    if number not in _PRECISIONS:
        raise invalid(field, "must be NONE, BF16, INT8, Q8_0 or Q4_0")
    return _PRECISIONS[number]


def adapter_message(record: AdapterRecord) -> model_pb2.Adapter:
    """An adapter, in memory or not."""
    message = model_pb2.Adapter(
        adapter_id=record.spec.adapter_id,
        model_id=record.model_id,
        state=model_pb2.MODEL_STATE_UNLOADED,
        path=str(record.spec.path),
        precision=_NUMBERS[record.spec.precision],
    )
    if record.loaded is not None:
        message.state = model_pb2.MODEL_STATE_LOADED
        message.rank = record.loaded.rank
        message.memory_bytes = record.loaded.memory_bytes
        message.load_time.CopyFrom(timestamp(record.loaded.load_time))
    return message


def stored_adapter_message(adapter: AdapterDescription) -> model_pb2.StoredAdapter:
    """An adapter of the store."""
    message = model_pb2.StoredAdapter(
        adapter_id=adapter.adapter_id,
        base_model=adapter.base_model,
        rank=adapter.rank,
        target_modules=adapter.modules,
        size_bytes=adapter.size_bytes,
        revision=adapter.revision,
        path=str(adapter.source.path),
        problem=adapter.problem,
    )
    if adapter.create_time is not None:
        message.create_time.CopyFrom(timestamp(adapter.create_time))
    return message


class AdapterMethods:
    """LoadAdapter, UnloadAdapter, ListAdapters and ListStoredAdapters."""

    def __init__(self, models: ModelRegistry) -> None:
        self.__models = models

    async def LoadAdapter(
        self, request: model_admin_pb2.LoadAdapterRequest, context: Context
    ) -> model_admin_pb2.LoadAdapterResponse:
        _require_model(request.model_id)
        if not request.path:
            raise invalid("path", "is required: an adapter of the model store")
        path = self.__models.adapter_path(request.path)
        name = check_adapter_id(request.adapter_id) if request.adapter_id else named_for(path)
        spec = AdapterSpec(name, path, adapter_precision(request.precision, "precision", "none"))
        record = await self.__models.load_adapter(request.model_id, spec)
        await self.__models.events.settle()
        return model_admin_pb2.LoadAdapterResponse(adapter=adapter_message(record))

    async def UnloadAdapter(
        self, request: model_admin_pb2.UnloadAdapterRequest, context: Context
    ) -> model_admin_pb2.UnloadAdapterResponse:
        _require_model(request.model_id)
        if not request.adapter_id:
            raise invalid("adapter_id", "is required")
        await self.__models.unload_adapter(request.model_id, request.adapter_id)
        await self.__models.events.settle()
        return model_admin_pb2.UnloadAdapterResponse()

    async def ListAdapters(
        self, request: model_admin_pb2.ListAdaptersRequest, context: Context
    ) -> model_admin_pb2.ListAdaptersResponse:
        _require_model(request.model_id)
        page, next_token = page_of(
            self.__models.adapters(request.model_id),
            lambda record: record.spec.adapter_id,
            request.page_size,
            request.page_token,
        )
        return model_admin_pb2.ListAdaptersResponse(
            adapters=map(adapter_message, page), next_page_token=next_token
        )

    async def ListStoredAdapters(
        self, request: model_admin_pb2.ListStoredAdaptersRequest, context: Context
    ) -> model_admin_pb2.ListStoredAdaptersResponse:
        page, next_token = page_of(
            await self.__models.stored_adapters(),
            lambda adapter: adapter.adapter_id,
            request.page_size,
            request.page_token,
        )
        return model_admin_pb2.ListStoredAdaptersResponse(
            adapters=map(stored_adapter_message, page), next_page_token=next_token
        )


def _require_model(model_id: str) -> None:
    if not model_id:
        raise invalid("model_id", "is required: a model's id, for example sterna/tern-nano")
