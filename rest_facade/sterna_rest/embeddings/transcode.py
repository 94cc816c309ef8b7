"""Embeddings and similarities ↔ protocol. Pure functions."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence

from pydantic_core import to_json

from sterna.v1.generation_event_pb2 import Usage
from sterna.v1.generation_pb2 import TokenPrompt
from sterna.v1.inference_pb2 import (
    ComputeSimilaritiesRequest,
    ComputeSimilaritiesResponse,
    EmbedInput,
    EmbedRequest,
    StreamEmbedResponse,
)
from sterna_rest.embeddings.schemas import (
    ApiEmbeddingRequest,
    EmbeddingRequest,
    EncodingFormat,
    SimilarityRequest,
)
from sterna_rest.errors import ApiError
from sterna_rest.generation.transcode import sum_of_usage

# What stands before each input in a message: its tag and its length.
_INPUT_OVERHEAD = 8

# Room for the model's own name, which may be longer than the one that the caller used.
_MARGIN = 1024

_INPUT_FIELD = re.compile(r"inputs\[(\d+)\](?:\.tokens\.token_ids)?(.*)")
_PARAMETERS = {"model_id": "model", "dimension_count": "dimensions", "inputs": "input"}


def embed_requests(
    body: EmbeddingRequest | ApiEmbeddingRequest, max_bytes: int
) -> list[EmbedRequest]:
    """The calls that embed all inputs, in order; each message has at most `max_bytes`.

    Raises `ApiError` 413 for an input, or a name, that no message can hold.
    """
    common = EmbedRequest(model_id=body.model or "")
    inputs: Sequence[str | list[int]]
    if isinstance(body, EmbeddingRequest):
        inputs = body.inputs()
        common.prompt_name = body.prompt_name or ""
        common.truncate = bool(body.truncate)
        if body.dimensions is not None:
            common.dimension_count = body.dimensions
    else:
        inputs = [body.input]
    several = len(inputs) > 1
    room = max_bytes - max(common.ByteSize(), _MARGIN)
    if room <= 0:
        raise too_large("model", max_bytes)
    requests: list[EmbedRequest] = []
    left = 0
    for index, each in enumerate(inputs):
        message = _input(each)
        size = message.ByteSize() + _INPUT_OVERHEAD
        if size > room:
            raise too_large(f"input[{index}]" if several else "input", room)
        if not requests or size > left:
            requests.append(EmbedRequest())
            requests[-1].CopyFrom(common)
            left = room
        requests[-1].inputs.append(message)
        left -= size
    return requests


def similarity_request(body: SimilarityRequest, max_bytes: int) -> ComputeSimilaritiesRequest:
    """The whole request. Raises `ApiError` 413 when it has more than `max_bytes`."""
    request = ComputeSimilaritiesRequest(
        model_id=body.model or "", texts=body.sentences, prompt_name=body.prompt_name or ""
    )
    if request.ByteSize() > max_bytes:
        raise too_large("sentences", max_bytes)
    return request


def too_large(param: str, max_bytes: int) -> ApiError:
    """The error for text that no message can hold."""
    return ApiError(
        413,
        f"`{param}` is larger than the limit of {max_bytes} bytes; send less.",
        code="request_too_large",
        param=param,
    )


def embedding_parameter(several: bool, first_index: int, field: str) -> str:
    """The HTTP name of a field of the protocol.

    `several`: `input` is a list of inputs. `first_index`: which of them the call begins with.
    """
    found = _INPUT_FIELD.fullmatch(field)
    if found is None:
        return _PARAMETERS.get(field, field)
    place = f"[{first_index + int(found[1])}]" if several else ""
    return f"input{place}{found[2]}"


def similarity_parameter(field: str) -> str:
    """The HTTP name of a field of the protocol."""
    if field == "texts" or field.startswith("texts["):
        return "sentences" + field.removeprefix("texts")
    return _PARAMETERS.get(field, field)


def embedding_items(
    response: StreamEmbedResponse, first_index: int, encoding_format: EncodingFormat
) -> list[bytes]:
    """The entries of `data`, as JSON; `first_index` is that of the first."""
    return [
        b'{"object":"embedding","index":%d,"embedding":%b}'
        % (first_index + offset, vector_json(each.values, encoding_format))
        for offset, each in enumerate(response.embeddings)
    ]


def vector_json(values: Sequence[float], encoding_format: EncodingFormat) -> bytes:
    """A vector as a JSON list, or as a JSON string of its little-endian 32-bit floats."""
    if encoding_format == "base64":
        return b'"%b"' % base64.b64encode(struct.pack(f"<{len(values)}f", *values))
    return to_json(list(values), inf_nan_mode="null")


def embedding_list(items: Sequence[bytes], model_id: str, usages: list[Usage]) -> bytes:
    """The whole body of `/v1/embeddings`, as JSON. Large, so it is never one tree of objects."""
    tokens = sum_of_usage(usages).prompt_token_count
    tail = {"model": model_id, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return b'{"object":"list","data":[%b],%b' % (b",".join(items), to_json(tail)[1:])


def similarity_body(response: ComputeSimilaritiesResponse) -> bytes:
    """The whole body of `/v1/similarities`, as JSON."""
    count = response.text_count
    values = response.similarities
    rows = [
        to_json(values[start : start + count], inf_nan_mode="null")
        for start in range(0, count * count, count)
    ]
    tail = to_json({"model": response.model_id, "shape": [count, count]})
    return b'{"similarities":[%b],%b' % (b",".join(rows), tail[1:])


def api_embedding_body(response: StreamEmbedResponse) -> bytes:
    """The whole body of `/api/embeddings`, as JSON."""
    return to_json(
        {"embedding": list(response.embeddings[0].values), "model": response.model_id},
        inf_nan_mode="null",
    )


def _input(each: str | list[int]) -> EmbedInput:
    if isinstance(each, str):
        return EmbedInput(text=each)
    return EmbedInput(tokens=TokenPrompt(token_ids=each))
