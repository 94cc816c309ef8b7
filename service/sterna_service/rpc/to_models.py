"""Requests about models as plain values: pure functions that check what they read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sterna.v1 import event_pb2, model_admin_pb2, model_pb2
from sterna_service.engine.adapter import AdapterSpec
from sterna_service.engine.types import HeadPrecision
from sterna_service.errors import invalid, not_implemented, out_of_range
from sterna_service.inference.spec import HarnessChoice
from sterna_service.models.adapters import named_for, with_adapter, without_adapter
from sterna_service.models.events import EventKind
from sterna_service.models.naming import is_model_id
from sterna_service.models.resident import ModelSettings
from sterna_service.rpc.adapters import adapter_precision
from sterna_service.rpc.to_spec import HARNESSES, PROVIDERS, keep_alive_seconds, seconds_of

DEFAULT_DRAIN_SECONDS = 60.0
_LONGEST_DRAIN_SECONDS = 3600.0
_MOST_THREADS = 1024
_LONGEST_NAME = 512
_DEFAULT_HEARTBEAT_SECONDS = 30.0
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")

EVENT_TYPES = {
    EventKind.MODEL_STARTED: event_pb2.EVENT_TYPE_MODEL_STARTED,
    EventKind.MODEL_STOPPED: event_pb2.EVENT_TYPE_MODEL_STOPPED,
    EventKind.MODEL_FAILED: event_pb2.EVENT_TYPE_MODEL_FAILED,
    EventKind.MODEL_ADDED: event_pb2.EVENT_TYPE_MODEL_ADDED,
    EventKind.MODEL_DELETED: event_pb2.EVENT_TYPE_MODEL_DELETED,
    EventKind.ADAPTER_LOADED: event_pb2.EVENT_TYPE_ADAPTER_LOADED,
    EventKind.ADAPTER_UNLOADED: event_pb2.EVENT_TYPE_ADAPTER_UNLOADED,
    EventKind.ADAPTER_ADDED: event_pb2.EVENT_TYPE_ADAPTER_ADDED,
    EventKind.ADAPTER_DELETED: event_pb2.EVENT_TYPE_ADAPTER_DELETED,
    EventKind.TRANSCRIPTION_COMPLETED: event_pb2.EVENT_TYPE_TRANSCRIPTION_COMPLETED,
    EventKind.SERVER_DRAINING: event_pb2.EVENT_TYPE_SERVER_DRAINING,
}
HEAD_PRECISIONS: dict[model_pb2.WeightPrecision, HeadPrecision] = {
    model_pb2.WEIGHT_PRECISION_BF16: "bf16",
    model_pb2.WEIGHT_PRECISION_INT8: "int8",
    model_pb2.WEIGHT_PRECISION_Q8_0: "q8_0",
    model_pb2.WEIGHT_PRECISION_Q6_K: "q6_k",
    model_pb2.WEIGHT_PRECISION_Q5_0: "q5_0",
    model_pb2.WEIGHT_PRECISION_Q4_0: "q4_0",
}
_KINDS: dict[int, EventKind] = {number: kind for kind, number in EVENT_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Watch:
    """What a watcher wants to see."""

    after: int | None
    kinds: Collection[EventKind]
    heartbeat_seconds: float


def named_model(model_id: str) -> str:
    """The name in a request that needs one.

    Raises:
        ServiceError: It is missing, or no name.
    """
    if not model_id:
        raise invalid("model_id", "is required: a model's id, for example sterna/tern-nano")
    if len(model_id) > _LONGEST_NAME:
        raise out_of_range("model_id", f"at most {_LONGEST_NAME} characters", len(model_id))
    return model_id


def load_settings(
    request: model_admin_pb2.LoadModelRequest,
    before: ModelSettings,
    adapter_path: Callable[[str], Path],
) -> ModelSettings:
    """How a model shall be loaded; what the request leaves out stays as it was.

    `adapter_path` finds an adapter in the store.

    Raises:
        ServiceError: A field is out of its range, or not available.
    """
    settings = replace(
        before,
        harness=_harness(request, before.harness),
        adapter_precision=adapter_precision(
            request.adapter_precision, "adapter_precision", before.adapter_precision
        ),
    )
    if request.adapter_path:
        path = adapter_path(request.adapter_path)
        spec = AdapterSpec(named_for(path), path, settings.adapter_precision)
        if before.default_adapter not in ("", spec.adapter_id):
            settings = without_adapter(settings, before.default_adapter)
        settings = replace(with_adapter(settings, spec), default_adapter=spec.adapter_id)
    elif before.default_adapter and not request.keep_adapter:
        settings = without_adapter(settings, before.default_adapter)
    if request.HasField("thread_count"):
        if not 0 <= request.thread_count <= _MOST_THREADS:
            raise out_of_range("thread_count", f"0 to {_MOST_THREADS}", request.thread_count)
        settings = replace(settings, threads=request.thread_count)
    if request.head_precision != model_pb2.WEIGHT_PRECISION_UNSPECIFIED:
        precision = HEAD_PRECISIONS.get(request.head_precision)
        if precision is None:
            raise invalid("head_precision", "must be BF16, INT8, Q8_0, Q6_K, Q5_0 or Q4_0")
        settings = replace(settings, head_precision=precision)
    if request.HasField("keep_alive"):
        settings = replace(
            settings, keep_alive=keep_alive_seconds(request.keep_alive, "keep_alive")
        )
    if request.HasField("pinned"):
        settings = replace(settings, pinned=request.pinned)
    return settings


def _harness(request: model_admin_pb2.LoadModelRequest, before: HarnessChoice) -> HarnessChoice:
    if request.harness not in HARNESSES:
        raise invalid("harness", "is no harness")
    if request.search_provider not in PROVIDERS:
        raise invalid("search_provider", "is no search provider")
    return HarnessChoice(
        HARNESSES[request.harness] or before.harness,
        PROVIDERS[request.search_provider] or before.search_provider,
    )


def drain_seconds(
    request: model_admin_pb2.LoadModelRequest | model_admin_pb2.UnloadModelRequest,
) -> float:
    """How long running requests may take to finish.

    Raises:
        ServiceError: It is out of its range.
    """
    if not request.HasField("drain_timeout"):
        return DEFAULT_DRAIN_SECONDS
    seconds = seconds_of(request.drain_timeout)
    if not 0 <= seconds <= _LONGEST_DRAIN_SECONDS:
        raise out_of_range(
            "drain_timeout", f"0 s to {_LONGEST_DRAIN_SECONDS:.0f} s", f"{seconds} s"
        )
    return seconds


def pull_source(
    request: model_admin_pb2.PullModelRequest | model_admin_pb2.CancelPullModelRequest,
) -> tuple[str, str]:
    """The repository and the revision of a download; an empty one is the main branch.

    Raises:
        ServiceError: One of them cannot be.
    """
    if request.source == "voice":
        raise not_implemented("voice", "pulling the speech weights over gRPC is")
    if not is_model_id(request.source):
        raise invalid("source", "must be ORGANISATION/NAME, for example microsoft/bitnet-2b")
    if request.revision and not _REVISION.fullmatch(request.revision):
        raise invalid("revision", "must be a branch, a tag or a commit")
    return request.source, request.revision


def event_kinds(field: str, types: Sequence[event_pb2.EventType]) -> list[EventKind]:
    """The kinds of events in a request.

    Raises:
        ServiceError: One of them is none.
    """
    kinds = []
    for index, number in enumerate(types):
        if number not in _KINDS:
            raise invalid(f"{field}[{index}]", "is no type of event")
        kinds.append(_KINDS[number])
    return kinds


def watch(request: model_admin_pb2.WatchEventsRequest) -> Watch:
    """What to watch.

    Raises:
        ServiceError: A field is out of its range.
    """
    after = request.after_revision if request.HasField("after_revision") else None
    if after is not None and after < 0:
        raise out_of_range("after_revision", "0 or more", after)
    heartbeat = _DEFAULT_HEARTBEAT_SECONDS
    if request.HasField("heartbeat_interval"):
        heartbeat = seconds_of(request.heartbeat_interval)
        if not 1 <= heartbeat <= 600:
            raise out_of_range("heartbeat_interval", "1 s to 600 s", f"{heartbeat} s")
    return Watch(after, set(event_kinds("types", request.types)), heartbeat)
