"""A model in memory, and the requests that hold it there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Generic, TypeVar, cast

from sterna_service.encoders.encoder import Encoder
from sterna_service.engine.adapter import AdapterPrecision, AdapterSpec, EngineAdapter
from sterna_service.engine.types import HeadPrecision
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.spec import HarnessChoice

ServedModel = LoadedModel | Encoder
"""A language model, or a sentence encoder."""

M = TypeVar("M", bound=ServedModel, covariant=True)
N = TypeVar("N", bound=ServedModel)

FOR_GOOD = float("inf")
"""The keep-alive of a model that no lack of requests takes out of memory."""

LONGEST_KEEP_ALIVE = 10 * 366 * 86400.0
"""Any other keep-alive is at most so many seconds: ten years."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a model is loaded and kept; whoever loads it may choose."""

    threads: int = 0
    """Threads that compute; 0: what the process may use."""
    head_precision: HeadPrecision = ""
    """How the output head is held; empty: as the server's setting says."""
    keep_alive: float = FOR_GOOD
    """Seconds that it stays loaded without a request."""
    pinned: bool = False
    """It never leaves memory by itself."""
    harness: HarnessChoice = field(default_factory=HarnessChoice)
    """What chats that name no harness go through."""
    adapters: tuple[AdapterSpec, ...] = ()
    """The adapters that requests may choose; they come and go with the model."""
    default_adapter: str = ""
    """Which of them requests get that choose none; empty: none."""
    adapter_precision: AdapterPrecision = "none"
    """How an adapter is held whose loader does not say it."""

    def computes_alike(self, other: ModelSettings) -> bool:
        """Whether both ask for the same engine; the rest can change while it runs."""
        return (self.threads, self.head_precision) == (other.threads, other.head_precision)


@dataclass(slots=True, eq=False)
class Resident:
    """A loaded model with the number of requests that use it."""

    model: ServedModel
    settings: ModelSettings
    adapters: dict[str, EngineAdapter] = field(default_factory=dict)
    """By id."""
    active: int = 0
    last_use: float = field(default_factory=time.monotonic)
    expiry: asyncio.TimerHandle | None = None
    """Fires when it was idle for long enough."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def memory_bytes(self) -> int:
        """Weights, cache and adapters."""
        adapters = sum(adapter.memory_bytes for adapter in self.adapters.values())
        return self.model.memory_bytes + adapters

    def enter(self) -> None:
        """A request begins."""
        self.active += 1
        self.idle.clear()
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def leave(self) -> None:
        """A request ended."""
        self.active -= 1
        self.last_use = time.monotonic()
        if self.active == 0:
            self.idle.set()


class Lease(Generic[M]):
    """The right to use a model: it stays in memory until the block is left."""

    def __init__(self, resident: Resident, on_idle: Callable[[Resident], None]) -> None:
        self._resident = resident
        self._on_idle = on_idle
        self.adapter: EngineAdapter | None = None
        """What the request adds to the model."""
        resident.enter()

    @property
    def harness(self) -> HarnessChoice:
        """What chats that name no harness go through."""
        return self._resident.settings.harness

    @property
    def resident(self) -> Resident:
        """The model with its adapters."""
        return self._resident

    def keep(self, seconds: float) -> None:
        """From now on, the model stays so long without a request."""
        settings = self._resident.settings
        self._resident.settings = replace(settings, keep_alive=seconds)

    def of(self, kind: type[N]) -> Lease[N] | None:
        """The same right, if the model is of that kind; else it is given back."""
        if isinstance(self._resident.model, kind):
            return cast("Lease[N]", self)
        self.__exit__(None, None, None)
        return None

    def __enter__(self) -> M:
        return cast("M", self._resident.model)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resident.leave()
        if self._resident.active == 0:
            self._on_idle(self._resident)
