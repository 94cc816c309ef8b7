"""What watchers, the log and the counters learn of models that come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from sterna_service.engine.adapter import EngineAdapter
from sterna_service.engine.types import ENGINE_TOTALS
from sterna_service.errors import ModelLoadError, ServiceError
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.models.events import EventKind, EventLog
from sterna_service.models.resident import ServedModel

_log = logging.getLogger(__name__)

LoadObserver = Callable[[str, bool, float], None]
"""Hears of every load: the model's id, whether it succeeded, and how many seconds it took."""


class Journal:
    """Tells what became of the models. Belongs to the event loop."""

    def __init__(self, events: EventLog, on_load: LoadObserver) -> None:
        self._events = events
        self._on_load = on_load
        self.retired: dict[str, dict[str, int]] = {}
        """By model, what engines had done when they were closed."""

    def load_ended(self, model_id: str, succeeded: bool, seconds: float) -> None:
        """Tells the observer of a load."""
        self._on_load(model_id, succeeded, seconds)

    def model_loaded(self, model: ServedModel) -> None:
        """A model answers from now on."""
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

    def model_failed(self, model_id: str, error: ModelLoadError | ServiceError) -> None:
        """A model could not be loaded."""
        self._events.add(
            EventKind.MODEL_FAILED, model_id=model_id, reason=error.reason, message=str(error)
        )
        _log.warning("model not loaded", extra={"model": model_id, "why": str(error)})

    def model_unloaded(self, model_id: str, message: str) -> None:
        """A model has left memory, and why."""
        self._events.add(EventKind.MODEL_STOPPED, model_id=model_id, message=message)
        _log.info("model unloaded", extra={"model": model_id, "why": message})

    def adapters_changed(
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

    def retire(self, model: ServedModel) -> None:
        """Keeps what an engine had done, before it is closed."""
        if not isinstance(model, LoadedModel):
            return
        stats, sums = model.port.stats(), self.retired.setdefault(model.model_id, {})
        for name in ENGINE_TOTALS:
            sums[name] = sums.get(name, 0) + getattr(stats, name)
