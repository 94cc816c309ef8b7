"""Texts as vectors: the final hidden states of a model, pooled and scaled to length 1."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sterna_service.engine import types as engine
from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference.events import Usage
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.prompt import check_token_ids

MOST_INPUTS = 2048
MOST_COMPARED = 1000

POOLING = engine.Pooling.MEAN
"""How the token vectors of a generative model become one: the mean, which no single token rules."""

Vector = NDArray[np.float32]

Input = str | Sequence[int]
"""A text, or token ids that are taken as they are."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector of length 1 per input, as rows: [inputs, dimensions]."""

    vectors: Vector
    pooling: engine.Pooling
    usage: Usage


async def embed(
    model: LoadedModel,
    inputs: Sequence[Input],
    dimensions: int | None = None,
    instruction: str = "",
    field: str = "inputs",
) -> Embeddings:
    """Embeds texts, as many at the same time as the engine's batch holds.

    `dimensions` keeps that many leading components. `instruction` comes before every input. `field`
    is where the inputs stand in the request.

    Raises:
        ServiceError: An input is empty, malformed or too long, or cannot be computed now.
    """
    most = model.port.config.hidden_size
    if dimensions is not None and not 1 <= dimensions <= most:
        raise out_of_range("dimension_count", f"1 to {most}", dimensions)
    # All of them first: a call that fails should fail before it computes.
    prompts = await asyncio.to_thread(_tokenize, model, inputs, instruction, field)
    model.touch()
    slots = asyncio.Semaphore(model.port.options.max_batch)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run(model, prompt, slots)) for prompt in prompts]
    except BaseExceptionGroup as errors:
        # Whichever came first; the others were cancelled with it, or failed for the same reason.
        raise errors.exceptions[0] from None
    model.touch()
    results = [task.result() for task in tasks]
    vectors = np.array([values for _, values in results], dtype=np.float32)
    started = [each for each, _ in results]
    return Embeddings(
        vectors=_normalized(vectors[:, :dimensions]),
        pooling=POOLING,
        usage=Usage(
            prompt_tokens=sum(each.prompt_tokens for each in started),
            completion_tokens=0,
            cached_tokens=sum(each.cached_tokens for each in started),
            queue_seconds=started[0].queue_seconds,
            prefill_seconds=sum(each.prefill_seconds for each in started),
            decode_seconds=0.0,
        ),
    )


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


def _tokenize(
    model: LoadedModel, inputs: Sequence[Input], instruction: str, field: str
) -> list[Sequence[int]]:
    return [
        _tokens(model, each, instruction, f"{field}[{index}]") for index, each in enumerate(inputs)
    ]


def _tokens(model: LoadedModel, each: Input, instruction: str, field: str) -> Sequence[int]:
    if not each:
        raise invalid(field, "must not be empty")
    if isinstance(each, str):
        ids: Sequence[int] = model.tokenizer.encode(instruction + each)
    else:
        check_token_ids(each, model.vocabulary_size, f"{field}.tokens.token_ids")
        ids = [*model.tokenizer.encode(instruction), *each] if instruction else each
    context = model.context_length
    if not ids:
        raise invalid(field, "has no tokens")
    if len(ids) > context:
        raise ServiceError(
            Reason.CONTEXT_LENGTH_EXCEEDED,
            f"{field} has {len(ids)} tokens, but the context window of {model.model_id} holds "
            f"{context}; shorten it, or embed it in parts",
            field=field,
            metadata={
                "model": model.model_id,
                "prompt_tokens": str(len(ids)),
                "context_length": str(context),
            },
        )
    return ids


async def _run(
    model: LoadedModel, prompt: Sequence[int], slots: asyncio.Semaphore
) -> tuple[engine.Started, Sequence[float]]:
    started: engine.Started | None = None
    values: Sequence[float] = ()
    request = engine.EngineRequest(prompt=prompt, max_tokens=1, embedding=POOLING)
    async with slots, model.port.run(request) as run:
        async for batch in run:
            for event in batch:
                if isinstance(event, engine.Started):
                    started = event
                elif isinstance(event, engine.Embedded):
                    values = event.values
    assert started is not None
    assert values
    return started, values
