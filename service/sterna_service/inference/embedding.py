"""Texts as vectors: the final hidden states of a model, pooled and scaled to length 1."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sterna_service.encoders.encoder import Encoder
from sterna_service.encoders.traits import Pooling
from sterna_service.engine import types as engine
from sterna_service.engine.adapter import EngineAdapter
from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference.events import Usage
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.prompt import check_token_ids
from sterna_service.telemetry.spans import traced

MOST_INPUTS = 2048
MOST_COMPARED = 1000

Embedder = LoadedModel | Encoder

Vector = NDArray[np.float32]

Input = str | Sequence[int]
"""A text, or token ids that are taken as they are."""

_POOLINGS = {
    Pooling.MEAN: engine.Pooling.MEAN,
    Pooling.LAST_TOKEN: engine.Pooling.LAST_TOKEN,
}


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """What to embed, and how."""

    inputs: Sequence[Input]
    dimensions: int | None = None
    """Keep that many leading components; None: all."""
    instruction: str | None = None
    """What comes before every input; None: the model's own."""
    prompt_name: str = ""
    """Which of the model's own; empty: its default one."""
    truncate: bool = False
    """Cut texts that are too long, rather than refuse them."""
    field: str = "inputs"
    """Where the inputs stand in the request."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector of length 1 per input, as rows: [inputs, dimensions]."""

    vectors: Vector
    pooling: Pooling
    usage: Usage


def dimensions_of(model: Embedder) -> int:
    """Components of a vector of the model's."""
    return model.dimensions if isinstance(model, Encoder) else model.port.config.hidden_size


async def embed(
    model: Embedder, spec: EmbeddingSpec, adapter: EngineAdapter | None = None
) -> Embeddings:
    """Embeds texts, as many at the same time as the model can.

    Raises:
        ServiceError: An input is empty, malformed or too long, or cannot be computed now.
    """
    most = dimensions_of(model)
    if spec.dimensions is not None and not 1 <= spec.dimensions <= most:
        raise out_of_range("dimension_count", f"1 to {most}", spec.dimensions)
    # All of them first: a call that fails should fail before it computes.
    prompts = await asyncio.to_thread(_tokenize, model, spec)
    model.touch()
    with traced(f"embeddings {model.model_id}", **{"sterna.inputs": len(prompts)}) as span:
        if isinstance(model, Encoder):
            vectors, usage = await _encode(model, prompts)
        else:
            vectors, usage = await _run_all(model, prompts, adapter)
        span.set({"gen_ai.usage.input_tokens": usage.prompt_tokens})
    model.touch()
    return Embeddings(_normalized(vectors[:, : spec.dimensions]), model.pooling, usage)


def similarities(vectors: Vector) -> Vector:
    """The cosines between vectors of length 1: a square matrix, exactly 1 on its diagonal."""
    cosines: Vector = np.clip(vectors @ vectors.T, -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    return cosines


def _normalized(vectors: Vector) -> Vector:
    lengths: Vector = np.sqrt(np.sum(vectors * vectors, axis=1, keepdims=True))
    # A vector of zeros has no direction, and stays as it is.
    lengths[lengths == 0] = 1
    return vectors / lengths


def _instruction(model: Embedder, spec: EmbeddingSpec) -> str:
    traits = model.traits if isinstance(model, Encoder) else model.embedding
    if spec.instruction is not None:
        if spec.prompt_name:
            raise invalid("prompt_name", "excludes instruction; give one of them")
        return spec.instruction
    prompt = traits.prompt(spec.prompt_name)
    if prompt is None:
        names = ", ".join(traits.prompt_names)
        raise invalid("prompt_name", f"is no prompt of {model.model_id}, which has: {names}")
    return prompt


def _tokenize(model: Embedder, spec: EmbeddingSpec) -> list[Sequence[int]]:
    instruction = _instruction(model, spec)
    places = [f"{spec.field}[{index}]" for index in range(len(spec.inputs))]
    for each, place in zip(spec.inputs, places, strict=True):
        if not each:
            raise invalid(place, "must not be empty")
    if isinstance(model, Encoder):
        prompts = _encoder_tokens(model, spec, instruction, places)
    else:
        pairs = zip(spec.inputs, places, strict=True)
        prompts = [_causal_tokens(model, each, spec, instruction, place) for each, place in pairs]
    for ids, place in zip(prompts, places, strict=True):
        if not ids:
            raise invalid(place, "has no tokens")
        if len(ids) > model.context_length:
            raise _too_long(model, len(ids), place)
    return prompts


def _encoder_tokens(
    model: Encoder, spec: EmbeddingSpec, instruction: str, places: Sequence[str]
) -> list[Sequence[int]]:
    tokenizer = model.tokenizer
    texts = [instruction + each for each in spec.inputs if isinstance(each, str)]
    if model.traits.lower_case:
        texts = [text.lower() for text in texts]
    encoded = iter(tokenizer.encode(texts, truncate=spec.truncate))
    prompts: list[Sequence[int]] = []
    for each, place in zip(spec.inputs, places, strict=True):
        if isinstance(each, str):
            prompts.append(next(encoded))
            continue
        if spec.instruction:
            raise invalid(place, "is token ids, before which no instruction can stand")
        check_token_ids(each, tokenizer.vocabulary_size, f"{place}.tokens.token_ids")
        prompts.append(each[: model.context_length] if spec.truncate else each)
    return prompts


def _causal_tokens(
    model: LoadedModel, each: Input, spec: EmbeddingSpec, instruction: str, place: str
) -> Sequence[int]:
    most = model.context_length
    if not isinstance(each, str):
        check_token_ids(each, model.vocabulary_size, f"{place}.tokens.token_ids")
        ids = [*model.tokenizer.encode(instruction), *each] if instruction else list(each)
        return ids[:most] if spec.truncate else ids
    ids = model.tokenizer.encode(instruction + each)
    end: list[int] = []
    if model.pooling is Pooling.LAST_TOKEN:
        # The vector of the token that says that the text is over, which has seen all of it.
        if ids and ids[-1] in model.tokenizer.end_tokens:
            end = [ids.pop()]
        elif model.tokenizer.eos_token_id is not None:
            end = [model.tokenizer.eos_token_id]
    return [*(ids[: most - len(end)] if spec.truncate else ids), *end]


def _too_long(model: Embedder, tokens: int, place: str) -> ServiceError:
    context = model.context_length
    return ServiceError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"{place} has {tokens} tokens, but the context window of {model.model_id} holds "
        f"{context}; shorten it, embed it in parts, or set truncate",
        field=place,
        metadata={
            "model": model.model_id,
            "prompt_tokens": str(tokens),
            "context_length": str(context),
        },
    )


async def _encode(model: Encoder, prompts: Sequence[Sequence[int]]) -> tuple[Vector, Usage]:
    began = time.monotonic()
    vectors = await model.vectors(prompts)
    return vectors, Usage(
        prompt_tokens=sum(map(len, prompts)),
        completion_tokens=0,
        cached_tokens=0,
        queue_seconds=0.0,
        prefill_seconds=time.monotonic() - began,
        decode_seconds=0.0,
    )


async def _run_all(
    model: LoadedModel, prompts: Sequence[Sequence[int]], adapter: EngineAdapter | None
) -> tuple[Vector, Usage]:
    slots = asyncio.Semaphore(model.port.options.max_batch)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run(model, prompt, slots, adapter)) for prompt in prompts]
    except BaseExceptionGroup as errors:
        # Whichever came first; the others were cancelled with it, or failed for the same reason.
        raise errors.exceptions[0] from None
    results = [task.result() for task in tasks]
    started = [each for each, _ in results]
    return np.stack([values for _, values in results]), Usage(
        prompt_tokens=sum(each.prompt_tokens for each in started),
        completion_tokens=0,
        cached_tokens=sum(each.cached_tokens for each in started),
        queue_seconds=started[0].queue_seconds,
        prefill_seconds=sum(each.prefill_seconds for each in started),
        decode_seconds=0.0,
    )


async def _run(
    model: LoadedModel,
    prompt: Sequence[int],
    slots: asyncio.Semaphore,
    adapter: EngineAdapter | None,
) -> tuple[engine.Started, Vector]:
    started: engine.Started | None = None
    values: Vector | None = None
    pooling = _POOLINGS[model.pooling]
    request = engine.EngineRequest(prompt=prompt, max_tokens=1, embedding=pooling, adapter=adapter)
    async with slots, model.port.run(request) as run:
        async for batch in run:
            for event in batch:
                if isinstance(event, engine.Started):
                    started = event
                elif isinstance(event, engine.Embedded):
                    # Now, because all rows of a large request together would take long.
                    values = np.array(event.values, dtype=np.float32)
    assert started is not None
    assert values is not None
    return started, values
