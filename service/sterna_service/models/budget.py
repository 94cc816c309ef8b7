"""The memory that the loaded models may take together, and who leaves when it is short."""

from __future__ import annotations

from collections.abc import Mapping

from sterna_service.errors import Reason, ServiceError
from sterna_service.models.slots import ModelState, Slot


class MemoryBudget:
    """So many bytes for all models; 0: no limit."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes

    def next_to_leave(self, slots: Mapping[str, Slot], model_id: str, needed: int) -> str | None:
        """Who has to leave before a model takes so many bytes more: the one that was used least
        lately of those that are idle. None: nobody, there is room.

        Raises:
            ServiceError: There is no room, and nobody who may leave.
        """
        used = _used_bytes(slots)
        if self._budget <= 0 or used + needed <= self._budget:
            return None
        idle = [
            (slot.resident.last_use, other)
            for other, slot in slots.items()
            if slot.resident is not None
            and slot.state is ModelState.LOADED
            and slot.change is None
            and not slot.resident.active
            and not slot.waiting
            and not slot.resident.settings.pinned
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
        return min(idle)[1]


def _used_bytes(slots: Mapping[str, Slot]) -> int:
    return sum(slot.resident.memory_bytes for slot in slots.values() if slot.resident is not None)
