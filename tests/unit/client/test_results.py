"""What a call returns: dataclasses that hold everything that their messages do."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message as ProtoMessage

from sterna import server_types, types
from sterna._convert import enum_name, from_message
from sterna._events import Collector, event_from
from sterna.v1 import (
    chat_pb2,
    generation_event_pb2,
    generation_pb2,
    inference_pb2,
    model_admin_pb2,
    model_pb2,
    server_status_pb2,
    session_pb2,
)

PAIRS: list[tuple[type, type[ProtoMessage]]] = [
    (types.ToolCall, chat_pb2.ToolCall),
    (types.TokenAlternative, generation_event_pb2.TokenAlternative),
    (types.TokenLogprob, generation_event_pb2.TokenLogprob),
    (types.Usage, generation_event_pb2.Usage),
    (types.Choice, generation_event_pb2.Choice),
    (types.Completion, inference_pb2.GenerateResponse),
    (types.Started, generation_event_pb2.GenerationStarted),
    (types.ToolCallDelta, generation_event_pb2.ToolCallDelta),
    (types.Delta, generation_event_pb2.GenerationDelta),
    (types.SearchStarted, generation_event_pb2.SearchStarted),
    (types.SearchCompleted, generation_event_pb2.SearchCompleted),
    (types.SearchUnavailable, generation_event_pb2.SearchUnavailable),
    (types.Finished, generation_event_pb2.ChoiceFinished),
    (types.Embedding, inference_pb2.Embedding),
    (types.Embeddings, inference_pb2.EmbedResponse),
    (types.Similarities, inference_pb2.ComputeSimilaritiesResponse),
    (types.Session, session_pb2.Session),
    (server_types.SamplingDefaults, generation_pb2.SamplingParams),
    (server_types.ModelArchitecture, model_pb2.ModelArchitecture),
    (server_types.Adapter, model_pb2.Adapter),
    (server_types.EmbeddingTraits, model_pb2.EmbeddingTraits),
    (server_types.Model, model_pb2.Model),
    (server_types.LoadedModel, model_admin_pb2.LoadModelResponse),
    (server_types.Listener, server_status_pb2.Listener),
    (server_types.ServerDetails, server_status_pb2.ServerInfo),
    (server_types.ServerInfo, model_admin_pb2.GetServerInfoResponse),
    (server_types.CpuStatus, server_status_pb2.CpuStatus),
    (server_types.MemoryStatus, server_status_pb2.MemoryStatus),
    (server_types.EngineStatus, server_status_pb2.EngineStatus),
    (server_types.ServerStatus, server_status_pb2.ServerStatus),
]

ENUMS: list[tuple[type[StrEnum], EnumDescriptor]] = [
    (types.FinishReason, generation_event_pb2.FinishReason.DESCRIPTOR),
    (types.ModelState, model_pb2.ModelState.DESCRIPTOR),
    (types.ModelCapability, model_pb2.ModelCapability.DESCRIPTOR),
    (types.WeightPrecision, model_pb2.WeightPrecision.DESCRIPTOR),
    (types.Harness, generation_pb2.Harness.DESCRIPTOR),
    (types.SearchProvider, generation_pb2.SearchProvider.DESCRIPTOR),
    (types.ServerState, server_status_pb2.ServerState.DESCRIPTOR),
    (types.Pooling, inference_pb2.Pooling.DESCRIPTOR),
    (server_types.ListenerProtocol, server_status_pb2.Listener.Protocol.DESCRIPTOR),
]


@pytest.mark.parametrize(("kind", "message"), PAIRS, ids=lambda value: value.__name__)
def test_a_result_has_every_field_of_its_message(kind: type, message: type[ProtoMessage]) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    assert names == set(message.DESCRIPTOR.fields_by_name)
    # Every reader can be made, and reads a message that holds nothing.
    assert isinstance(from_message(kind, message()), kind)


@pytest.mark.parametrize(
    ("kind", "descriptor"),
    ENUMS,
    ids=lambda value: value.__name__[:20] if isinstance(value, type) else "",
)
def test_an_enumeration_has_every_value(kind: type[StrEnum], descriptor: EnumDescriptor) -> None:
    names = {enum_name(descriptor, member.name) for member in kind}
    assert names == set(descriptor.values_by_name)


def test_values_become_python_values() -> None:
    reply = inference_pb2.GenerateResponse(response_id="r", prompt_text="p")
    reply.create_time.FromJsonString("2026-01-02T03:04:05.5Z")
    reply.usage.prompt_token_count = 3
    reply.usage.completion_token_count = 4
    reply.usage.decode_duration.FromMilliseconds(1500)
    choice = reply.choices.add(text="Paris", finish_reason=1, stop_token_id=0, token_ids=[7])
    token = choice.logprobs.add(token_id=7, text="Paris", raw_bytes=b"Paris", logprob=0.0)
    token.top_logprobs.add(token_id=8, logprob=-1.5)
    choice.tool_calls.add(id="c", name="add", arguments="{}")
    reply.prompt_logprobs.add(token_id=1)

    completion = from_message(types.Completion, reply)

    assert completion.create_time == datetime(2026, 1, 2, 3, 4, 5, 500_000, UTC)
    assert completion.usage.total_token_count == 7
    assert completion.usage.decode_duration == timedelta(seconds=1.5)
    first = completion.choices[0]
    assert first.finish_reason is types.FinishReason.STOP
    assert str(first.finish_reason) == "stop"
    assert (first.stop_string, first.stop_token_id) == (None, 0)
    assert first.token_ids == (7,)
    assert first.logprobs[0].logprob == 0.0
    assert first.logprobs[0].top_logprobs[0].logprob == -1.5
    assert completion.prompt_logprobs[0].logprob is None
    assert completion.text == "Paris"
    assert completion.message == types.Message(
        "assistant", "Paris", tool_calls=(types.ToolCall("c", "add", "{}"),)
    )


def test_values_of_a_newer_server_are_unspecified() -> None:
    message = generation_event_pb2.ChoiceFinished(finish_reason=99)  # type: ignore[arg-type]
    assert from_message(types.Finished, message).finish_reason is types.FinishReason.UNSPECIFIED


def test_absent_times_are_none_and_sampling_keeps_zero() -> None:
    message = model_pb2.Model(model_id="m")
    message.default_sampling.temperature = 0
    message.default_sampling.logit_bias[5] = -1
    model = from_message(server_types.Model, message)
    assert model.load_time is None
    assert model.keep_alive is None
    assert model.default_sampling.temperature == 0
    assert model.default_sampling.top_k is None
    assert model.default_sampling.logit_bias == {5: -1}


def test_similarities_by_position() -> None:
    message = inference_pb2.ComputeSimilaritiesResponse(
        similarities=[1, 0.5, 0.25, 1], text_count=2
    )
    found = from_message(types.Similarities, message)
    assert found.between(1, 0) == 0.25
    with pytest.raises(IndexError, match="from 0 to 1"):
        found.between(0, 2)


def test_events_of_every_kind() -> None:
    response = inference_pb2.StreamGenerateResponse
    event = generation_event_pb2
    unavailable = event.GenerationProgress(
        search_unavailable=event.SearchUnavailable(message="offline")
    )
    assert event_from(response(progress=unavailable)) == types.SearchUnavailable("offline")
    completed = event.GenerationProgress(search_completed=event.SearchCompleted(source_count=2))
    assert event_from(response(progress=completed)) == types.SearchCompleted(2)
    assert event_from(response(progress=event.GenerationProgress())) is None
    assert event_from(response()) is None


def test_interleaved_choices_and_tool_calls_are_put_together() -> None:
    collector = Collector()
    for index, text in ((1, "b"), (0, "a"), (1, "B"), (0, "A")):
        collector.add(types.Delta(index, text, (ord(text),), (), ()))
    for piece in (
        types.ToolCallDelta(0, "c1", "add", '{"a":'),
        types.ToolCallDelta(1, "c2", "sub", "{}"),
        types.ToolCallDelta(0, "", "", "1}"),
    ):
        collector.add(types.Delta(0, "", (), (), (piece,)))
    collector.add(types.Finished(0, types.FinishReason.TOOL_CALLS, None, None))
    collector.add(types.Finished(1, types.FinishReason.STOP, "END", None))
    first, second = collector.completion().choices
    assert (first.text, second.text) == ("aA", "bB")
    assert first.tool_calls == (
        types.ToolCall("c1", "add", '{"a":1}'),
        types.ToolCall("c2", "sub", "{}"),
    )
    assert first.finish_reason is types.FinishReason.TOOL_CALLS
    assert second.stop_string == "END"
    assert second.token_ids == (ord("b"), ord("B"))
