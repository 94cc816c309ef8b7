"""Models and engines as messages of the protocol: pure functions."""

from __future__ import annotations

from google.protobuf import duration_pb2

from sterna.v1 import event_pb2, generation_pb2, model_pb2, pull_pb2, server_status_pb2
from sterna_service.encoders.encoder import Encoder
from sterna_service.encoders.traits import Pooling
from sterna_service.inference.embedding import dimensions_of
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.sampling import SamplingDefaults
from sterna_service.inference.spec import Harness
from sterna_service.models.description import Shape
from sterna_service.models.events import ServerEvent
from sterna_service.models.pull import Progress, PullState
from sterna_service.models.record import ModelRecord
from sterna_service.models.resident import FOR_GOOD, ServedModel
from sterna_service.models.slots import ModelState
from sterna_service.rpc.adapters import adapter_message
from sterna_service.rpc.embeddings import POOLINGS
from sterna_service.rpc.from_events import duration, timestamp
from sterna_service.rpc.to_models import EVENT_TYPES, HEAD_PRECISIONS

STATES = {
    ModelState.UNLOADED: model_pb2.MODEL_STATE_UNLOADED,
    ModelState.LOADING: model_pb2.MODEL_STATE_LOADING,
    ModelState.LOADED: model_pb2.MODEL_STATE_LOADED,
    ModelState.UNLOADING: model_pb2.MODEL_STATE_UNLOADING,
    ModelState.FAILED: model_pb2.MODEL_STATE_FAILED,
}
_PRECISIONS = {name: number for number, name in HEAD_PRECISIONS.items()}
_PULL_STATES = {
    PullState.RESOLVING: pull_pb2.Pull.STATE_RESOLVING,
    PullState.DOWNLOADING: pull_pb2.Pull.STATE_DOWNLOADING,
    PullState.VERIFYING: pull_pb2.Pull.STATE_VERIFYING,
    PullState.PACKING: pull_pb2.Pull.STATE_PACKING,
    PullState.COMPLETED: pull_pb2.Pull.STATE_COMPLETED,
}
_HARNESSES = {
    Harness.DEFAULT: generation_pb2.HARNESS_DEFAULT,
    Harness.SEARCH: generation_pb2.HARNESS_SEARCH,
}
_PROVIDERS = {
    "ddgs": generation_pb2.SEARCH_PROVIDER_DDGS,
    "brave": generation_pb2.SEARCH_PROVIDER_BRAVE,
}


def model_message(record: ModelRecord) -> model_pb2.Model:
    """A model, described from its files and from its engine if it is loaded."""
    description = record.description
    source = description.source
    loaded = record.model
    message = model_pb2.Model(
        model_id=source.model_id,
        aliases=record.aliases,
        family=description.family,
        architecture=_architecture(description.shape),
        format=description.format,
        quantization=description.quantization,
        parameter_count=description.parameter_count,
        context_length=description.context_length,
        template_name=description.template_name,
        default_sampling=_default_sampling(description.defaults),
        capabilities=_capabilities(record),
        path=str(source.path),
        size_bytes=description.size_bytes,
        owner=source.owner,
        revision=description.revision,
        built_in=source.built_in,
        default_model=record.default,
        default_embedding_model=record.default_embedding,
        embedding=_embedding(record),
        pinned=record.settings.pinned,
        state=STATES[record.state],
        state_message=record.message if record.state is ModelState.FAILED else "",
        keep_alive=_keep_alive(record.settings.keep_alive),
        harness=_HARNESSES[record.settings.harness.harness],
        search_provider=_PROVIDERS[record.settings.harness.search_provider],
        adapters=map(adapter_message, record.adapters),
        default_adapter_id=record.settings.default_adapter,
    )
    if description.create_time is not None:
        message.create_time.CopyFrom(timestamp(description.create_time))
    if loaded is not None:
        message.context_length = loaded.context_length
        if isinstance(loaded, LoadedModel):
            message.parameter_count = loaded.port.config.parameter_count
            precision = loaded.port.options.head_precision
            if precision:
                message.head_precision = _PRECISIONS[precision]
        message.memory_bytes = record.memory_bytes
        message.load_time.CopyFrom(timestamp(loaded.load_time))
        if loaded.last_use_time is not None:
            message.last_use_time.CopyFrom(timestamp(loaded.last_use_time))
    return message


def event_message(event: ServerEvent) -> event_pb2.ServerEvent:
    """Something that happened."""
    return event_pb2.ServerEvent(
        revision=event.revision,
        type=EVENT_TYPES[event.kind],
        event_time=timestamp(event.time),
        model_id=event.model_id,
        adapter_id=event.adapter_id,
        transcription_id=event.transcription_id,
        reason=event.reason,
        message=event.message,
    )


def pull_message(progress: Progress) -> pull_pb2.Pull:
    """How far a download is."""
    return pull_pb2.Pull(
        source=progress.source,
        revision=progress.revision,
        state=_PULL_STATES[progress.state],
        total_bytes=progress.total_bytes,
        received_bytes=progress.received_bytes,
        file_count=progress.file_count,
        received_file_count=progress.received_file_count,
        current_file=progress.current_file,
    )


def _capabilities(record: ModelRecord) -> list[model_pb2.ModelCapability]:
    if record.description.encoder:
        return [model_pb2.MODEL_CAPABILITY_EMBEDDING]
    capabilities = [model_pb2.MODEL_CAPABILITY_COMPLETION]
    if record.description.template_name:
        capabilities.append(model_pb2.MODEL_CAPABILITY_CHAT)
    capabilities.append(model_pb2.MODEL_CAPABILITY_EMBEDDING)
    if isinstance(record.model, LoadedModel) and record.model.search_tuned:
        capabilities.append(model_pb2.MODEL_CAPABILITY_SEARCH)
    return capabilities


def _embedding(record: ModelRecord) -> model_pb2.EmbeddingTraits:
    traits = record.description.embedding
    usual = Pooling.MEAN if record.description.encoder else record.pooling
    loaded = record.model
    message = model_pb2.EmbeddingTraits(
        pooling=POOLINGS[traits.pooling or usual],
        dimension_count=record.description.dimensions,
        max_token_count=record.description.context_length,
        prompt_names=traits.prompt_names,
    )
    if loaded is not None:
        message.pooling = POOLINGS[loaded.pooling]
        message.dimension_count = dimensions_of(loaded)
        message.max_token_count = loaded.context_length
    return message


def engine_message(model: ServedModel, state: ModelState) -> server_status_pb2.EngineStatus:
    """A loaded model at work."""
    if isinstance(model, Encoder):
        message = server_status_pb2.EngineStatus(
            model_id=model.model_id,
            state=STATES[state],
            kernel="onnxruntime",
            thread_count=model.options.threads,
            running_count=min(model.active, 1),
            waiting_count=max(0, model.active - 1),
            batch_capacity=1,
            queue_capacity=model.options.max_queue,
            prompt_token_count=model.token_count,
            memory_bytes=model.memory_bytes,
            load_time=timestamp(model.load_time),
        )
        if model.last_use_time is not None:
            message.last_use_time.CopyFrom(timestamp(model.last_use_time))
        return message
    stats = model.port.stats()
    options = model.port.options
    message = server_status_pb2.EngineStatus(
        model_id=model.model_id,
        state=STATES[state],
        kernel=stats.kernels,
        thread_count=stats.threads,
        running_count=stats.running,
        waiting_count=stats.waiting,
        batch_capacity=options.max_batch,
        queue_capacity=options.max_queue,
        kv_cache_dtype=stats.kv_cache_dtype,
        kv_cache_bytes=stats.kv_cache_bytes,
        kv_block_count=stats.kv_blocks_total,
        kv_block_used_count=stats.kv_blocks_used,
        kv_block_cached_count=stats.kv_blocks_cached,
        prompt_token_count=stats.prompt_tokens,
        cached_token_count=stats.cached_tokens,
        generated_token_count=stats.generated_tokens,
        step_count=stats.steps,
        preemption_count=stats.preemptions,
        drafted_token_count=stats.drafted_tokens,
        accepted_token_count=stats.accepted_tokens,
        memory_bytes=model.memory_bytes,
        load_time=timestamp(model.load_time),
    )
    if model.last_use_time is not None:
        message.last_use_time.CopyFrom(timestamp(model.last_use_time))
    return message


def _keep_alive(seconds: float) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=-1) if seconds == FOR_GOOD else duration(seconds)


def _architecture(shape: Shape) -> model_pb2.ModelArchitecture:
    return model_pb2.ModelArchitecture(
        name=shape.name,
        vocabulary_size=shape.vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        layer_count=shape.layer_count,
        head_count=shape.head_count,
        kv_head_count=shape.kv_head_count,
        head_size=shape.head_size,
        tied_embeddings=shape.tied_embeddings,
    )


def _default_sampling(defaults: SamplingDefaults) -> generation_pb2.SamplingParams:
    return generation_pb2.SamplingParams(
        temperature=defaults.temperature,
        top_k=defaults.top_k,
        top_p=defaults.top_p,
        min_p=defaults.min_p,
        repetition_penalty=defaults.repetition_penalty,
        frequency_penalty=0.0,
        presence_penalty=0.0,
    )
