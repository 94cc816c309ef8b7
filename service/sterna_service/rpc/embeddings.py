"""Embedding requests and their answers: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from sterna.v1 import inference_pb2
from sterna_service.engine.types import Pooling
from sterna_service.errors import invalid, out_of_range
from sterna_service.inference.embedding import (
    MOST_COMPARED,
    MOST_INPUTS,
    Embeddings,
    Input,
    similarities,
)
from sterna_service.rpc.from_events import usage_message

_POOLINGS = {
    Pooling.MEAN: inference_pb2.POOLING_MEAN,
    Pooling.LAST_TOKEN: inference_pb2.POOLING_LAST_TOKEN,
}


def embed_inputs(request: inference_pb2.EmbedRequest) -> list[Input]:
    """What to embed.

    Raises:
        ServiceError: There is nothing, too much, or something that is neither text nor tokens.
    """
    count = len(request.inputs)
    if not 1 <= count <= MOST_INPUTS:
        raise out_of_range("inputs", f"1 to {MOST_INPUTS} inputs", count)
    return [_input(each, f"inputs[{index}]") for index, each in enumerate(request.inputs)]


def compared_texts(request: inference_pb2.ComputeSimilaritiesRequest) -> Sequence[str]:
    """The texts to compare.

    Raises:
        ServiceError: There are none, or too many.
    """
    count = len(request.texts)
    if not 1 <= count <= MOST_COMPARED:
        raise out_of_range("texts", f"1 to {MOST_COMPARED} texts", count)
    return request.texts


def embed_response(model_id: str, embeddings: Embeddings) -> inference_pb2.EmbedResponse:
    """The answer to `Embed`."""
    return inference_pb2.EmbedResponse(
        model_id=model_id,
        embeddings=[inference_pb2.Embedding(values=row.tolist()) for row in embeddings.vectors],
        pooling=_POOLINGS[embeddings.pooling],
        usage=usage_message(embeddings.usage),
    )


def similarities_response(
    model_id: str, embeddings: Embeddings
) -> inference_pb2.ComputeSimilaritiesResponse:
    """The answer to `ComputeSimilarities`."""
    return inference_pb2.ComputeSimilaritiesResponse(
        model_id=model_id,
        similarities=similarities(embeddings.vectors).ravel().tolist(),
        text_count=len(embeddings.vectors),
        usage=usage_message(embeddings.usage),
    )


def _input(each: inference_pb2.EmbedInput, field: str) -> Input:
    match each.WhichOneof("input"):
        case "text":
            return each.text
        case "tokens":
            return list(each.tokens.token_ids)
        case _:
            raise invalid(field, "must set one of text, tokens")
