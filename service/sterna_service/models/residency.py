"""Which models are in memory: loading, swapping, unloading, and who has to leave for whom."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sterna_service.engine.adapter import EngineAdapter
from sterna_service.engine.types import ENGINE_TOTALS
from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.models.adapters import adapters_on_disk, open_adapters
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.events import EventKind, EventLog
from sterna_service.models.loading import ModelLoader, weights_on_disk
from sterna_service.models.memory import release_memory
from sterna_service.models.resident import (
    FOR_GOOD,
    Lease,
    ModelSettings,
    Resident,
    ServedModel,
)

_log = logging.getLogger(__name__)

# How long a client should wait for a model that is being loaded, in seconds.
LOADING_RETRY_SECONDS = 2.0
# How soon a model that could not be loaded is tried again for a request, in seconds.
_FAILURE_REST_SECONDS = 30.0


class ModelState(Enum):
    """The life of a model, as in the protocol."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    UNLOADING = "unloading"
    FAILED = "failed"


@dataclass(slots=True)
class Slot:
    """What is known of a model that was ever asked for."""

    source: ModelSource | None = None
    state: ModelState = ModelState.UNLOADED
    message: str = ""
    """Why it failed."""
    was_loaded: bool = False
    settings: ModelSettings = field(default_factory=ModelSettings)
    resident: Resident | None = None
    change: asyncio.Task[LoadOutcome] | None = None
    """The load or swap that is running."""
    on_demand: bool = False
    """That load was begun for a request, so that requests wait for it."""
    failed_at: float = 0.0


LoadObserver = Callable[[str, bool, float], None]
"""Hears of every load: the model's id, whether it succeeded, and how many seconds it took."""


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """A model that answers, and what it took."""

    model: ServedModel
    recompiled: bool
    already_loaded: bool


class Residency:
    """The models in memory, within a budget of bytes. Belongs to the event loop."""

    def __init__(
        self,
        loader: ModelLoader,
        budget_bytes: int,
        events: EventLog,
        on_load: LoadObserver,
    ) -> None:
        self._loader = loader
        self._budget = budget_bytes
        self._events = events
        self._on_load = on_load
        self.retired: dict[str, dict[str, int]] = {}
        """By model, what engines had done when they were closed."""
        self._slots: dict[str, Slot] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._loading = asyncio.Lock()

    def slot(self, model_id: str) -> Slot:
        """How a model stands; one that was never asked for is unloaded."""
        return self._slots.get(model_id) or Slot()

    def states(self) -> dict[str, ModelState]:
        """Every model that was ever asked to load, and how it stands."""
        return {model_id: slot.state for model_id, slot in self._slots.items()}

    def loaded(self) -> list[ServedModel]:
        """The models that can answer."""
        return [slot.resident.model for slot in self._slots.values() if slot.resident is not None]

    async def load(
        self, source: ModelSource, settings: ModelSettings, drain_seconds: float = FOR_GOOD
    ) -> LoadOutcome:
        """Loads a model, or swaps it for itself with other settings, and returns when it answers.

        Cancelling the caller does not stop the load. When a swap fails, the old engine stays;
        when it succeeds, requests that run on the old one get `drain_seconds` to finish.

        Raises:
            ServiceError: A change of this model is running, or there is too little memory.
            ModelLoadError: The model cannot be used; its slot says why from then on.
        """
        slot = self._slots.setdefault(source.model_id, Slot(source))
        if slot.change is not None or slot.state is ModelState.UNLOADING:
            raise _swap_in_progress(source.model_id)
        resident = slot.resident
        if resident is not None and resident.settings.computes_alike(settings):
            if settings.adapters != resident.settings.adapters:
                await self.adapt(source.model_id, resident, settings)
                return LoadOutcome(resident.model, recompiled=False, already_loaded=False)
            resident.settings = slot.settings = settings
            self._watch_idleness(source.model_id, resident)
            return LoadOutcome(resident.model, recompiled=False, already_loaded=True)
        return await asyncio.shield(
            self._begin(source, slot, settings, drain_seconds, on_demand=False)
        )

    async def acquire(
        self, source: ModelSource, *, autoload: ModelSettings | None
    ) -> Lease[ServedModel]:
        """The right to use a model, which is loaded first when `autoload` says how.

        Raises:
            ServiceError: It cannot answer now.
        """
        model_id = source.model_id
        while True:
            slot = self.slot(model_id)
            if slot.resident is not None and slot.state is ModelState.LOADED:
                return Lease(slot.resident, lambda idle: self._watch_idleness(model_id, idle))
            if slot.change is not None:
                if not slot.on_demand:
                    raise _loading(model_id)
                await self._await_change(slot.change)
                continue
            if slot.state is ModelState.UNLOADING or autoload is None or self._rests(slot):
                raise self._not_loaded(model_id, slot)
            slot = self._slots.setdefault(model_id, slot)
            slot.source = source
            await self._await_change(self._begin(source, slot, autoload, FOR_GOOD, on_demand=True))

    async def unload(self, model_id: str, drain_seconds: float) -> None:
        """Takes a model out of memory; running requests get so long to finish, then they fail.

        Raises:
            ServiceError: A change of this model is running.
        """
        slot = self._slots.get(model_id)
        if slot is None:
            return
        if slot.change is not None or slot.state is ModelState.UNLOADING:
            raise _swap_in_progress(model_id)
        if slot.resident is None:
            # What failed is forgotten, so that it can be tried again.
            slot.state, slot.message = ModelState.UNLOADED, ""
            return
        slot.state = ModelState.UNLOADING
        # As with a load, who asked for it may go away.
        await asyncio.shield(
            self._keep(self._unload(model_id, slot, drain_seconds, "it was unloaded"))
        )

    async def close(self) -> None:
        """Unloads everything; running requests fail."""
        changes = [slot.change for slot in self._slots.values() if slot.change is not None]
        tasks = [*changes, *self._retiring]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slot in self._slots.values():
            if slot.resident is not None:
                if slot.resident.expiry is not None:
                    slot.resident.expiry.cancel()
                await slot.resident.model.close()
        self._slots.clear()

    def _begin(
        self,
        source: ModelSource,
        slot: Slot,
        settings: ModelSettings,
        drain_seconds: float,
        *,
        on_demand: bool,
    ) -> asyncio.Task[LoadOutcome]:
        if slot.resident is None:
            slot.state, slot.message = ModelState.LOADING, ""
        slot.on_demand = on_demand
        slot.change = asyncio.create_task(self._bring_in(source, slot, settings, drain_seconds))
        # Nobody may be left to ask how it ended.
        slot.change.add_done_callback(lambda task: task.cancelled() or task.exception())
        return slot.change

    async def _bring_in(
        self, source: ModelSource, slot: Slot, settings: ModelSettings, drain_seconds: float
    ) -> LoadOutcome:
        model_id = source.model_id
        begin = time.monotonic()
        try:
            # One at a time, so that each sees the memory that the others have taken.
            async with self._loading:
                if slot.resident is None:
                    needed = await asyncio.to_thread(weights_on_disk, source)
                    needed += await asyncio.to_thread(adapters_on_disk, settings.adapters)
                    await self.make_room(model_id, needed)
                model = await self._loader.load(source, settings)
                loaded_before = {} if slot.resident is None else slot.resident.adapters
                try:
                    adapters = await open_adapters(model, settings.adapters, loaded_before)
                except BaseException:
                    await model.close()
                    raise
        except BaseException as error:
            slot.change = None
            if slot.resident is None:
                slot.state = ModelState.UNLOADED
            if isinstance(error, (ModelLoadError, ServiceError)):
                self._note_failure(model_id, slot, error)
                self._on_load(model_id, False, time.monotonic() - begin)
            raise
        self._on_load(model_id, True, time.monotonic() - begin)
        before, slot.resident = slot.resident, Resident(model, settings, adapters)
        slot.settings = settings
        slot.state, slot.message, slot.change = ModelState.LOADED, "", None
        slot.was_loaded = True
        self._note_load(model)
        self.note_adapters(model_id, loaded_before, adapters)
        if before is not None:
            self._keep(self._retire(before, drain_seconds, "it was loaded anew"))
        self._watch_idleness(model_id, slot.resident)
        return LoadOutcome(model, recompiled=model.packed_now, already_loaded=False)

    def note_adapters(
        self,
        model_id: str,
        before: Mapping[str, EngineAdapter],
        after: Mapping[str, EngineAdapter],
    ) -> None:
        """Tells watchers which adapters of a model came and went."""
        for adapter_id in before:
            if adapter_id not in after:
                self._events.add(
                    EventKind.ADAPTER_UNLOADED, model_id=model_id, adapter_id=adapter_id
                )
        for adapter_id, adapter in after.items():
            if before.get(adapter_id) is not adapter:
                self._events.add(EventKind.ADAPTER_LOADED, model_id=model_id, adapter_id=adapter_id)
                _log.info(
                    "adapter loaded",
                    extra={
                        "model": model_id,
                        "adapter": adapter_id,
                        "rank": adapter.rank,
                        "precision": adapter.spec.precision,
                    },
                )

    async def adapt(
        self, model_id: str, resident: Resident, settings: ModelSettings, *, afresh: str = ""
    ) -> None:
        """Changes which adapters a loaded model has; those that `settings` keep alike stay, but the
        one that is to be read `afresh`.

        Running requests finish with theirs.

        Raises:
            ServiceError: One cannot be used, or there is too little memory; nothing has changed.
        """
        # Busy, so that it makes no room for its own adapters.
        resident.enter()
        try:
            async with self._loading:
                before = resident.adapters
                kept = {id: each for id, each in before.items() if id != afresh}
                adapters = await open_adapters(resident.model, settings.adapters, kept)
                fresh = [each for id, each in adapters.items() if before.get(id) is not each]
                await self.make_room(model_id, sum(each.memory_bytes for each in fresh))
                slot = self.slot(model_id)
                if slot.resident is not resident or slot.state is not ModelState.LOADED:
                    raise _swap_in_progress(model_id)
                resident.adapters = adapters
                resident.settings = slot.settings = settings
        finally:
            resident.leave()
            self._watch_idleness(model_id, resident)
        self.note_adapters(model_id, before, adapters)

    async def make_room(self, model_id: str, needed: int) -> None:
        """Lets idle models go, the one that was used least lately first."""
        while (used := self._used_bytes()) + needed > self._budget > 0:
            idle = [
                (slot.resident.last_use, other, slot)
                for other, slot in self._slots.items()
                if slot.resident is not None
                and slot.state is ModelState.LOADED
                and slot.change is None
                and not slot.resident.active
                and not slot.settings.pinned
            ]
            if not idle:
                raise ServiceError(
                    Reason.OUT_OF_MEMORY,
                    f"the model {model_id} needs about {needed} bytes of memory, and of the "
                    f"{self._budget} allowed {used} are taken by models that are in use or pinned: "
                    "unload one, or raise model_memory",
                    metadata={
                        "needed_bytes": str(needed),
                        "available_bytes": str(max(0, self._budget - used)),
                    },
                )
            _, other, slot = min(idle, key=lambda each: each[:2])
            slot.state = ModelState.UNLOADING
            await self._unload(other, slot, 0.0, f"it made room for {model_id}")

    def _used_bytes(self) -> int:
        return sum(
            slot.resident.memory_bytes for slot in self._slots.values() if slot.resident is not None
        )

    async def _unload(self, model_id: str, slot: Slot, drain_seconds: float, message: str) -> None:
        resident = slot.resident
        assert resident is not None
        try:
            await self._retire(resident, drain_seconds, message)
        finally:
            slot.resident = None
            self._keep(asyncio.to_thread(release_memory))
            slot.state = ModelState.UNLOADED
            self.note_adapters(model_id, resident.adapters, {})
            self._events.add(EventKind.MODEL_STOPPED, model_id=model_id, message=message)
            _log.info("model unloaded", extra={"model": model_id, "why": message})

    async def _retire(self, resident: Resident, drain_seconds: float, message: str) -> None:
        """Closes an engine once its requests are done, or the time is up."""
        if resident.expiry is not None:
            resident.expiry.cancel()
            resident.expiry = None
        try:
            with contextlib.suppress(TimeoutError):
                seconds = None if drain_seconds == FOR_GOOD else drain_seconds
                if resident.active:
                    await asyncio.wait_for(resident.idle.wait(), seconds)
        finally:
            self._sum_up(resident.model)
            await resident.model.close(
                f"the model {resident.model.model_id} is not available any more: {message}"
            )

    def _sum_up(self, model: ServedModel) -> None:
        if not isinstance(model, LoadedModel):
            return
        stats, sums = model.port.stats(), self.retired.setdefault(model.model_id, {})
        for name in ENGINE_TOTALS:
            sums[name] = sums.get(name, 0) + getattr(stats, name)

    def _watch_idleness(self, model_id: str, resident: Resident) -> None:
        """Starts the clock of a model without requests."""
        if resident.expiry is not None:
            resident.expiry.cancel()
            resident.expiry = None
        settings = resident.settings
        if resident.active or settings.pinned or settings.keep_alive == FOR_GOOD:
            return
        if self.slot(model_id).resident is resident:
            loop = asyncio.get_running_loop()
            resident.expiry = loop.call_later(settings.keep_alive, self._expire, model_id, resident)

    def _expire(self, model_id: str, resident: Resident) -> None:
        slot = self.slot(model_id)
        loaded = slot.resident is resident and slot.state is ModelState.LOADED
        if loaded and slot.change is None and not resident.active:
            slot.state = ModelState.UNLOADING
            self._keep(self._unload(model_id, slot, 0.0, "nobody asked it for long"))

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs work that nobody waits for; the loop itself holds tasks only weakly."""
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task

    async def _await_change(self, change: asyncio.Task[LoadOutcome]) -> None:
        try:
            await asyncio.shield(change)
        except ModelLoadError:
            # The slot says why, in the words of a refusal.
            return

    @staticmethod
    def _rests(slot: Slot) -> bool:
        """Whether it failed so lately that trying again is a waste."""
        failed = slot.state is ModelState.FAILED
        return failed and time.monotonic() - slot.failed_at < _FAILURE_REST_SECONDS

    def _note_failure(
        self, model_id: str, slot: Slot, error: ModelLoadError | ServiceError
    ) -> None:
        if slot.resident is None:
            slot.state, slot.message = ModelState.FAILED, str(error)
            slot.failed_at = time.monotonic()
        self._events.add(
            EventKind.MODEL_FAILED, model_id=model_id, reason=error.reason, message=str(error)
        )
        _log.warning("model not loaded", extra={"model": model_id, "why": str(error)})

    def _note_load(self, model: ServedModel) -> None:
        self._events.add(EventKind.MODEL_STARTED, model_id=model.model_id)
        if not isinstance(model, LoadedModel):
            extra = {"model": model.model_id, "context_length": model.context_length}
            _log.info("encoder loaded", extra=extra | {"threads": model.options.threads})
            return
        stats = model.port.stats()
        _log.info(
            "model loaded",
            extra={
                "model": model.model_id,
                "parameters": model.port.config.parameter_count,
                "context_length": model.context_length,
                "kernels": stats.kernels,
                "threads": stats.threads,
            },
        )

    def _not_loaded(self, model_id: str, slot: Slot) -> ServiceError:
        why = f" (loading it failed: {slot.message})" if slot.message else ""
        loaded = ", ".join(model.model_id for model in self.loaded()) or "none"
        return ServiceError(
            Reason.MODEL_NOT_LOADED,
            f"the model {model_id} is not loaded{why}; loaded: {loaded}",
            metadata={"model": model_id},
        )


def _loading(model_id: str) -> ServiceError:
    return ServiceError(
        Reason.MODEL_LOADING,
        f"the model {model_id} is being loaded; try again in a moment",
        metadata={"model": model_id},
        retry_after=LOADING_RETRY_SECONDS,
    )


def _swap_in_progress(model_id: str) -> ServiceError:
    return ServiceError(
        Reason.SWAP_IN_PROGRESS,
        f"the model {model_id} is being loaded, swapped or unloaded; try again when that is done",
        metadata={"model": model_id},
    )
