"""What is read when somebody asks for the metrics: engines, queues, workers, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sterna_service.engine.types import EngineStats
from sterna_service.telemetry.host import memory, resident_bytes


@dataclass(frozen=True, slots=True)
class EngineReading:
    """A loaded model now."""

    model_id: str
    stats: EngineStats
    max_batch: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """A speech worker now. Starts are totals; `pid` is None while it does not run."""

    kind: str
    pid: int | None
    starts: int
    requests: int
    busy_seconds: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A core now. `retired` sums up, by model, what engines had done when they were closed."""

    version: str
    ready: bool
    draining: bool
    active_calls: int
    engines: list[EngineReading]
    retired: dict[str, dict[str, int]]
    workers: list[WorkerReading]
    webhook_attempts: Mapping[str, int]


# Totals of an engine: field of `EngineStats`, name, meaning.
_TOTALS = (
    ("prompt_tokens", "sterna_engine_prompt_tokens", "Prompt tokens, computed or cached."),
    ("cached_tokens", "sterna_engine_cached_tokens", "Prompt tokens found in the KV cache."),
    ("generated_tokens", "sterna_engine_generated_tokens", "Tokens that were generated."),
    ("steps", "sterna_engine_steps", "Steps of the engine."),
    (
        "sequence_steps",
        "sterna_engine_sequence_steps",
        "Sequences computed, summed over the steps; by steps, the mean size of a batch.",
    ),
    (
        "preemptions",
        "sterna_engine_preemptions",
        "Sequences that gave their KV blocks to others and were computed again.",
    ),
    ("drafted_tokens", "sterna_engine_drafted_tokens", "Tokens that were guessed ahead."),
    ("accepted_tokens", "sterna_engine_accepted_tokens", "Guessed tokens that were right."),
)


class CoreCollector(Collector):
    """Reads a core at every scrape. `read` must not block."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on what is loaded."""
        return ()

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        info = GaugeMetricFamily(
            "sterna_build_info",
            "1; the labels say what runs.",
            labels=("version", "kernels"),
        )
        kernels = reading.engines[0].stats.kernels if reading.engines else ""
        info.add_metric((reading.version, kernels), 1)
        yield info
        yield GaugeMetricFamily(
            "sterna_ready", "1 while the default model can answer.", float(reading.ready)
        )
        yield GaugeMetricFamily(
            "sterna_draining", "1 while the server is stopping.", float(reading.draining)
        )
        yield GaugeMetricFamily(
            "sterna_rpc_active_calls", "Calls that run now.", reading.active_calls
        )
        yield from _engines(reading)
        yield from _totals(reading)
        if reading.workers:
            yield from _workers(reading.workers)
        attempts = CounterMetricFamily(
            "sterna_webhook_attempts",
            "Attempts to deliver events: delivered, retried later, or given_up.",
            labels=("outcome",),
        )
        for outcome, count in reading.webhook_attempts.items():
            attempts.add_metric((outcome,), count)
        yield attempts
        now = memory()
        limit = GaugeMetricFamily(
            "sterna_memory_limit_bytes",
            "What the process may have: the control group's limit, or the host's memory.",
            now.limit or now.host_total,
        )
        yield limit


def _engines(reading: Reading) -> Iterator[Metric]:
    gauges = {
        name: GaugeMetricFamily(name, text, labels=("model",))
        for name, text in (
            ("sterna_engine_running_sequences", "Sequences in the batch."),
            ("sterna_engine_waiting_requests", "Requests in the queue."),
            ("sterna_engine_max_batch", "Sequences that fit into the batch."),
            ("sterna_engine_threads", "Threads that compute."),
            ("sterna_kv_cache_bytes", "Memory reserved for the KV cache."),
            ("sterna_model_memory_bytes", "Memory of the weights."),
        )
    }
    blocks = GaugeMetricFamily(
        "sterna_kv_cache_blocks",
        "Blocks of the KV cache: used by running sequences, cached for reuse, or free.",
        labels=("model", "state"),
    )
    for each in reading.engines:
        stats, label = each.stats, (each.model_id,)
        values = (
            stats.running,
            stats.waiting,
            each.max_batch,
            stats.threads,
            stats.kv_cache_bytes,
            each.memory_bytes,
        )
        for gauge, value in zip(gauges.values(), values, strict=True):
            gauge.add_metric(label, value)
        used, cached = stats.kv_blocks_used, stats.kv_blocks_cached
        for state, count in (
            ("used", used),
            ("cached", cached),
            ("free", stats.kv_blocks_total - used - cached),
        ):
            blocks.add_metric((each.model_id, state), count)
    yield from gauges.values()
    yield blocks


def _totals(reading: Reading) -> Iterator[Metric]:
    # What an engine did before its model was loaded anew counts on.
    live = {each.model_id: each.stats for each in reading.engines}
    for field, name, text in _TOTALS:
        counter = CounterMetricFamily(name, text, labels=("model",))
        for model_id in sorted(live.keys() | reading.retired.keys()):
            total = reading.retired.get(model_id, {}).get(field, 0)
            if model_id in live:
                total += getattr(live[model_id], field)
            counter.add_metric((model_id,), total)
        yield counter


def _workers(workers: list[WorkerReading]) -> Iterator[Metric]:
    label = ("worker",)
    up = GaugeMetricFamily("sterna_speech_worker_up", "1 while the process runs.", labels=label)
    waiting = GaugeMetricFamily(
        "sterna_speech_worker_requests", "Requests that are served or wait.", labels=label
    )
    starts = CounterMetricFamily(
        "sterna_speech_worker_starts", "Starts of the process; more than one: restarts.",
        labels=label,
    )  # fmt: skip
    busy = CounterMetricFamily(
        "sterna_speech_worker_busy_seconds", "Time spent computing.", labels=label
    )
    resident = GaugeMetricFamily(
        "sterna_speech_worker_resident_memory_bytes", "Memory of the process.", labels=label
    )
    for each in workers:
        key = (each.kind,)
        up.add_metric(key, float(each.pid is not None))
        waiting.add_metric(key, each.requests)
        starts.add_metric(key, each.starts)
        busy.add_metric(key, each.busy_seconds)
        bytes_ = resident_bytes(Path(f"/proc/{each.pid}/statm")) if each.pid else 0
        resident.add_metric(key, bytes_)
    yield from (up, waiting, starts, busy, resident)
