"""Embedding requests and their answers: pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from sterna.v1 import inference_pb2
from sterna_service.encoders.traits import Pooling
from sterna_service.errors import invalid, out_of_range
from sterna_service.inference.embedding import (
    MOST_COMPARED,
    MOST_INPUTS,
    Embeddings,
    EmbeddingSpec,
    Input,
    similarities,
)
from sterna_service.rpc.from_events import usage_message

POOLINGS = {
    Pooling.MEAN: inference_pb2.POOLING_MEAN,
    Pooling.LAST_TOKEN: inference_pb2.POOLING_LAST_TOKEN,
    Pooling.FIRST_TOKEN: inference_pb2.POOLING_FIRST_TOKEN,
}

# What clients of gRPC receive unless they are told otherwise.
MOST_ANSWER_BYTES = 4 * 1024 * 1024
# Room for the tags, and for the fields beside the vectors.
_MARGIN_BYTES = 4096
_VECTOR_OVERHEAD_BYTES = 16

_PART_BYTES = 1024 * 1024


def embedding_spec(request: inference_pb2.EmbedRequest) -> EmbeddingSpec:
    """What to embed, and how.

    Raises:
        ServiceError: There is nothing, too much, or something that is neither text nor tokens.
    """
    count = len(request.inputs)
    if not 1 <= count <= MOST_INPUTS:
        raise out_of_range("inputs", f"1 to {MOST_INPUTS} inputs", count)
    return EmbeddingSpec(
        [_input(each, f"inputs[{index}]") for index, each in enumerate(request.inputs)],
        request.dimension_count if request.HasField("dimension_count") else None,
        request.instruction if request.HasField("instruction") else None,
        request.prompt_name,
        request.truncate,
    )


def check_answer_fits(count: int, dimensions: int) -> None:
    """Checks that clients receive an answer with so many vectors, before they are computed.

    Raises:
        ServiceError: They would not, by default.
    """
    size = count * _vector_bytes(dimensions) + _MARGIN_BYTES
    if size > MOST_ANSWER_BYTES:
        most = (MOST_ANSWER_BYTES - _MARGIN_BYTES) // _vector_bytes(dimensions)
        raise out_of_range(
            "inputs",
            f"at most {most} for one answer of {MOST_ANSWER_BYTES} bytes with vectors of "
            f"{dimensions} numbers (StreamEmbed takes {MOST_INPUTS})",
            count,
        )


def compared_texts(request: inference_pb2.ComputeSimilaritiesRequest) -> EmbeddingSpec:
    """The texts to compare.

    Raises:
        ServiceError: There are none, or too many.
    """
    count = len(request.texts)
    if not 1 <= count <= MOST_COMPARED:
        raise out_of_range("texts", f"1 to {MOST_COMPARED} texts", count)
    return EmbeddingSpec(request.texts, prompt_name=request.prompt_name, field="texts")


def embed_response(model_id: str, embeddings: Embeddings) -> inference_pb2.EmbedResponse:
    """The answer to `Embed`."""
    return inference_pb2.EmbedResponse(
        model_id=model_id,
        embeddings=[inference_pb2.Embedding(values=row.tolist()) for row in embeddings.vectors],
        pooling=POOLINGS[embeddings.pooling],
        usage=usage_message(embeddings.usage),
    )


def embed_parts(
    model_id: str, embeddings: Embeddings
) -> Iterator[inference_pb2.StreamEmbedResponse]:
    """The answer to `StreamEmbed`, part by part."""
    count, dimensions = embeddings.vectors.shape
    step = max(1, _PART_BYTES // _vector_bytes(dimensions))
    for begin in range(0, count, step):
        rows = embeddings.vectors[begin : begin + step]
        part = inference_pb2.StreamEmbedResponse(
            model_id=model_id,
            embeddings=[inference_pb2.Embedding(values=row.tolist()) for row in rows],
            pooling=POOLINGS[embeddings.pooling],
        )
        if begin + step >= count:
            part.usage.CopyFrom(usage_message(embeddings.usage))
        yield part


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


def _vector_bytes(dimensions: int) -> int:
    return 4 * dimensions + _VECTOR_OVERHEAD_BYTES


def _input(each: inference_pb2.EmbedInput, field: str) -> Input:
    match each.WhichOneof("input"):
        case "text":
            return each.text
        case "tokens":
            return list(each.tokens.token_ids)
        case _:
            raise invalid(field, "must set one of text, tokens")
