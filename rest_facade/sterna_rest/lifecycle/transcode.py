"""Loading and unloading ↔ protocol. Pure functions."""

from __future__ import annotations

from sterna.v1.model_admin_pb2 import LoadModelRequest, LoadModelResponse
from sterna.v1.model_pb2 import WeightPrecision
from sterna_rest.generation.harness import HARNESSES, PROVIDERS
from sterna_rest.lifecycle.schemas import LoadBody, LoadRequest

_PRECISIONS = {
    "none": WeightPrecision.WEIGHT_PRECISION_NONE,
    "bf16": WeightPrecision.WEIGHT_PRECISION_BF16,
    "int8": WeightPrecision.WEIGHT_PRECISION_INT8,
    "q8_0": WeightPrecision.WEIGHT_PRECISION_Q8_0,
    "q6_k": WeightPrecision.WEIGHT_PRECISION_Q6_K,
    "q5_0": WeightPrecision.WEIGHT_PRECISION_Q5_0,
    "q4_0": WeightPrecision.WEIGHT_PRECISION_Q4_0,
}
_PARAMETERS = {
    "model_id": "model_dir",
    "adapter_path": "adapter_dir",
    "thread_count": "threads",
    "adapter_precision": "lora_quant",
    "head_precision": "unembed_quant",
}


def load_request(body: LoadRequest) -> LoadModelRequest:
    """A swap makes its model the default one, as the server that has only one must."""
    message = LoadModelRequest(
        model_id=body.model_dir,
        adapter_path=body.adapter_dir or "",
        thread_count=body.threads,
        make_default=True,
    )
    if body.harness is not None:
        message.harness = HARNESSES[body.harness]
    if body.search_provider is not None:
        message.search_provider = PROVIDERS[body.search_provider]
    if body.lora_quant is not None:
        message.adapter_precision = _PRECISIONS[body.lora_quant]
    if body.unembed_quant is not None:
        message.head_precision = _PRECISIONS[body.unembed_quant]
    return message


def load_parameter(field: str) -> str:
    """The name that this API has for a field of the protocol."""
    return _PARAMETERS.get(field, field)


def load_body(response: LoadModelResponse) -> LoadBody:
    """What came of it."""
    return LoadBody(
        model=response.model.model_id,
        recompiled=response.recompiled,
        message="already loaded" if response.already_loaded else "",
    )
