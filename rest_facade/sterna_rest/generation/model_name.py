"""What a model is called in answers."""

from __future__ import annotations

from sterna.v1.generation_event_pb2 import GenerationStarted
from sterna.v1.inference_pb2 import GenerateResponse


def answering_model(answer: GenerationStarted | GenerateResponse) -> str:
    """The id of the model that answers, with the adapter behind a colon if there is one."""
    return f"{answer.model_id}:{answer.adapter_id}" if answer.adapter_id else answer.model_id
