"""A core as the metrics see it."""

from __future__ import annotations

from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.models.registry import ModelRegistry
from sterna_service.speech.runtime import Speech
from sterna_service.telemetry.scrape import EngineReading, Reading, WorkerReading
from sterna_service.webhooks.webhooks import Webhooks


def read_core(
    models: ModelRegistry,
    speech: Speech | None,
    webhooks: Webhooks,
    *,
    version: str,
    draining: bool,
    active_calls: int,
) -> Reading:
    """Reads what there is to know now. Does not block."""
    workers = [] if speech is None else [speech.recognizer, speech.synthesizer]
    return Reading(
        version=version,
        ready=models.default_is_ready() and not draining,
        draining=draining,
        active_calls=active_calls,
        engines=[
            EngineReading(
                model.model_id, model.port.stats(), model.port.options.max_batch, model.memory_bytes
            )
            for model in models.loaded()
            if isinstance(model, LoadedModel)
        ],
        retired=models.retired(),
        workers=[
            WorkerReading(each.kind, each.pid, each.starts, each.requests, each.busy_seconds)
            for each in workers
        ],
        webhook_attempts=webhooks.outcomes,
    )
