"""Which models are in memory: loading, swapping and unloading them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from sterna_service.errors import ModelLoadError, ServiceError
from sterna_service.models.adapters import adapters_on_disk, open_adapters
from sterna_service.models.budget import MemoryBudget
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.events import EventLog
from sterna_service.models.journal import Journal, LoadObserver
from sterna_service.models.loading import ModelLoader, weights_on_disk
from sterna_service.models.memory import release_memory
from sterna_service.models.refusals import (
    not_loaded,
    still_loading,
    stopping,
    swap_in_progress,
)
from sterna_service.models.resident import (
    FOR_GOOD,
    Lease,
    ModelSettings,
    Resident,
    ServedModel,
)
from sterna_service.models.slots import LoadOutcome, ModelState, Slot


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
        self._budget = MemoryBudget(budget_bytes)
        self._journal = Journal(events, on_load)
        self._slots: dict[str, Slot] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._loading = asyncio.Lock()
        self._closed = False

    def slot(self, model_id: str) -> Slot:
        """How a model stands; one that was never asked for is unloaded."""
        return self._slots.get(model_id) or Slot()

    def remember(self, model_id: str, settings: ModelSettings) -> None:
        """Notes how a model that is not in memory shall be loaded.

        Raises:
            ServiceError: It is being loaded already.
        """
        slot = self._slots.setdefault(model_id, Slot())
        if slot.change is not None:
            raise swap_in_progress(model_id)
        slot.settings = settings

    def states(self) -> dict[str, ModelState]:
        """Every model that was ever asked to load, and how it stands."""
        return {model_id: slot.state for model_id, slot in self._slots.items()}

    def retired(self) -> dict[str, dict[str, int]]:
        """By model, what engines had done when they were closed."""
        return self._journal.retired

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
            ServiceError: A change of this model is running, there is too little memory, or the
                server stops.
            ModelLoadError: The model cannot be used; its slot says why from then on.
        """
        if self._closed:
            raise stopping()
        slot = self._slots.setdefault(source.model_id, Slot(source))
        if slot.change is not None or slot.state is ModelState.UNLOADING:
            raise swap_in_progress(source.model_id)
        resident = slot.resident
        if resident is not None and resident.settings.computes_alike(settings):
            if settings.adapters != resident.settings.adapters:
                await self.adapt(source.model_id, resident, lambda _: settings)
                return LoadOutcome(resident.model, recompiled=False, already_loaded=False)
            resident.settings = slot.settings = settings
            self._watch_idleness(source.model_id, resident)
            return LoadOutcome(resident.model, recompiled=False, already_loaded=True)
        return await self._outcome(
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
            if self._closed:
                raise stopping()
            slot = self.slot(model_id)
            if slot.resident is not None and slot.state is ModelState.LOADED:
                return Lease(slot.resident, lambda idle: self._watch_idleness(model_id, idle))
            if slot.change is not None:
                if not slot.on_demand:
                    raise still_loading(model_id)
                await self._await_change(model_id, slot, slot.change)
                continue
            if slot.leaving is not None and autoload is not None:
                await asyncio.wait([slot.leaving])
                continue
            if slot.state is ModelState.UNLOADING or autoload is None or slot.rests:
                raise not_loaded(model_id, slot.message, [each.model_id for each in self.loaded()])
            slot = self._slots.setdefault(model_id, slot)
            slot.source = source
            change = self._begin(source, slot, autoload, FOR_GOOD, on_demand=True)
            await self._await_change(model_id, slot, change)

    async def unload(self, model_id: str, drain_seconds: float) -> None:
        """Takes a model out of memory; running requests get so long to finish, then they fail.

        Raises:
            ServiceError: A change of this model is running.
        """
        slot = self._slots.get(model_id)
        if slot is None:
            return
        if slot.change is not None or slot.state is ModelState.UNLOADING:
            raise swap_in_progress(model_id)
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
        self._closed = True
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
                if slot.resident is None:
                    slot.fail(str(error))
                self._journal.model_failed(model_id, error)
                self._journal.load_ended(model_id, False, time.monotonic() - begin)
            raise
        self._journal.load_ended(model_id, True, time.monotonic() - begin)
        before, slot.resident = slot.resident, Resident(model, settings, adapters)
        slot.settings = settings
        slot.state, slot.message, slot.change = ModelState.LOADED, "", None
        slot.was_loaded = True
        self._journal.model_loaded(model)
        self._journal.adapters_changed(model_id, loaded_before, adapters)
        if before is not None:
            self._keep(self._retire(before, drain_seconds, "it was loaded anew"))
        self._watch_idleness(model_id, slot.resident)
        return LoadOutcome(model, recompiled=model.packed_now, already_loaded=False)

    async def adapt(
        self,
        model_id: str,
        resident: Resident,
        change: Callable[[ModelSettings], ModelSettings],
        *,
        afresh: str = "",
    ) -> None:
        """Changes which adapters a loaded model has; those that `change` leaves alike stay, but the
        one that is to be read `afresh`.

        Running requests finish with theirs. Changes that come together are made in turn, each to
        what the one before it left.

        Raises:
            ServiceError: One cannot be used, or there is too little memory; nothing has changed.
        """
        # Busy, so that it makes no room for its own adapters.
        resident.enter()
        try:
            async with self._loading:
                before = resident.adapters
                kept = {id: each for id, each in before.items() if id != afresh}
                wanted = change(resident.settings).adapters
                adapters = await open_adapters(resident.model, wanted, kept)
                fresh = [each for id, each in adapters.items() if before.get(id) is not each]
                await self.make_room(model_id, sum(each.memory_bytes for each in fresh))
                slot = self.slot(model_id)
                if slot.resident is not resident or slot.state is not ModelState.LOADED:
                    raise swap_in_progress(model_id)
                resident.adapters = adapters
                # What else was set meanwhile stays.
                resident.settings = slot.settings = change(resident.settings)
        finally:
            resident.leave()
            self._watch_idleness(model_id, resident)
        self._journal.adapters_changed(model_id, before, adapters)

    async def make_room(self, model_id: str, needed: int) -> None:
        """Lets idle models go until one can take so many bytes more.

        Raises:
            ServiceError: There is no room, and nobody who may leave.
        """
        while (other := self._budget.next_to_leave(self._slots, model_id, needed)) is not None:
            await asyncio.shield(
                self._let_go(other, self._slots[other], f"it made room for {model_id}")
            )

    def _let_go(self, model_id: str, slot: Slot, message: str) -> asyncio.Task[None]:
        """Takes a model out of memory that nobody uses."""
        slot.state = ModelState.UNLOADING
        slot.leaving = self._keep(self._unload(model_id, slot, 0.0, message))
        return slot.leaving

    async def _unload(self, model_id: str, slot: Slot, drain_seconds: float, message: str) -> None:
        resident = slot.resident
        assert resident is not None
        try:
            await self._retire(resident, drain_seconds, message)
        finally:
            slot.resident = slot.leaving = None
            self._keep(asyncio.to_thread(release_memory))
            slot.state = ModelState.UNLOADED
            self._journal.adapters_changed(model_id, resident.adapters, {})
            self._journal.model_unloaded(model_id, message)

    async def _retire(self, resident: Resident, drain_seconds: float, message: str) -> None:
        """Closes an engine once its requests are done, or the time is up."""
        if resident.expiry is not None:
            resident.expiry.cancel()
            resident.expiry = None
        try:
            with contextlib.suppress(TimeoutError):
                seconds = None if drain_seconds == FOR_GOOD else drain_seconds
                if resident.active:
                    async with asyncio.timeout(seconds):
                        await resident.idle.wait()
        finally:
            self._journal.retire(resident.model)
            await resident.model.close(
                f"the model {resident.model.model_id} is not available any more: {message}"
            )

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
        if loaded and slot.change is None and not resident.active and not slot.waiting:
            self._let_go(model_id, slot, "nobody asked it for long")

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs work that nobody waits for; the loop itself holds tasks only weakly."""
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task

    async def _await_change(
        self, model_id: str, slot: Slot, change: asyncio.Task[LoadOutcome]
    ) -> None:
        """Waits for a load. The model stays until who waited for it has taken it or left."""
        slot.waiting += 1
        try:
            await self._outcome(change)
        except ModelLoadError:
            # The slot says why, in the words of a refusal.
            return
        finally:
            slot.waiting -= 1
            if slot.resident is not None:
                self._watch_idleness(model_id, slot.resident)

    async def _outcome(self, change: asyncio.Task[LoadOutcome]) -> LoadOutcome:
        """What a load came to, which goes on when its caller leaves."""
        await asyncio.wait([change])
        if change.cancelled():
            # Nobody but `close` cancels a load.
            raise stopping()
        return change.result()
