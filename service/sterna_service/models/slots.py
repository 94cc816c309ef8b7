"""How each model stands: its state, its load that is running, why it failed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum

from sterna_service.models.catalogue import ModelSource
from sterna_service.models.resident import ModelSettings, Resident, ServedModel

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
    settings: ModelSettings | None = None
    """How it was loaded last, or shall be; None: as the server's options say."""
    resident: Resident | None = None
    change: asyncio.Task[LoadOutcome] | None = None
    """The load or swap that is running."""
    on_demand: bool = False
    """That load was begun for a request, so that requests wait for it."""
    waiting: int = 0
    """Requests that wait for that load."""
    leaving: asyncio.Task[None] | None = None
    """It leaves memory while nobody uses it, which takes a moment that requests wait for."""
    failed_at: float = 0.0

    @property
    def rests(self) -> bool:
        """Whether it failed so lately that trying again is a waste."""
        failed = self.state is ModelState.FAILED
        return failed and time.monotonic() - self.failed_at < _FAILURE_REST_SECONDS

    def fail(self, message: str) -> None:
        """Notes why it could not be loaded."""
        self.state, self.message = ModelState.FAILED, message
        self.failed_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """A model that answers, and what it took."""

    model: ServedModel
    recompiled: bool
    already_loaded: bool
