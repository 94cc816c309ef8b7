"""Events of an answer as messages of the protocol: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from google.protobuf import duration_pb2, timestamp_pb2

from sterna.v1 import generation_event_pb2, inference_pb2, stored_answer_pb2
from sterna_service.inference.events import (
    Accepted,
    ChoiceFinished,
    Delta,
    FinishReason,
    GenerationEvent,
    SearchCompleted,
    SearchProgress,
    SearchStarted,
    SearchUnavailable,
    Started,
    TokenLogprob,
    Usage,
)

_FINISH_REASONS = {
    FinishReason.STOP: generation_event_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: generation_event_pb2.FINISH_REASON_LENGTH,
    FinishReason.TOOL_CALLS: generation_event_pb2.FINISH_REASON_TOOL_CALLS,
}


def stream_response(event: GenerationEvent) -> inference_pb2.StreamGenerateResponse | None:
    """The message for an event; None for `Accepted`, which shows as the initial metadata."""
    match event:
        case Accepted():
            return None
        case Started():
            return inference_pb2.StreamGenerateResponse(started=_started(event))
        case Delta():
            return inference_pb2.StreamGenerateResponse(
                delta=generation_event_pb2.GenerationDelta(
                    choice_index=event.choice,
                    text=event.text,
                    token_ids=event.token_ids,
                    logprobs=_logprobs(event.logprobs),
                    tool_calls=[
                        generation_event_pb2.ToolCallDelta(
                            index=piece.index,
                            id=piece.id,
                            name=piece.name,
                            arguments=piece.arguments,
                        )
                        for piece in event.tool_calls
                    ],
                )
            )
        case ChoiceFinished():
            return inference_pb2.StreamGenerateResponse(
                finished=generation_event_pb2.ChoiceFinished(
                    choice_index=event.choice,
                    finish_reason=_FINISH_REASONS[event.reason],
                    stop_string=event.stop_string,
                    stop_token_id=event.stop_token_id,
                )
            )
        case Usage():
            return inference_pb2.StreamGenerateResponse(usage=usage_message(event))
        case SearchStarted() | SearchCompleted() | SearchUnavailable():
            return inference_pb2.StreamGenerateResponse(progress=_progress(event))


class ResponseBuilder:
    """Collects the events of an answer into one message."""

    def __init__(self) -> None:
        self._response = inference_pb2.GenerateResponse()
        self._texts: dict[int, list[str]] = {}
        self._choices: dict[int, generation_event_pb2.Choice] = {}

    def add(self, event: GenerationEvent) -> None:
        """Takes the next event."""
        match event:
            case Started():
                response = self._response
                response.response_id = event.response_id
                response.create_time.CopyFrom(timestamp(event.create_time))
                response.model_id = event.model_id
                response.adapter_id = event.adapter_id
                response.session_id = event.session_id
                response.prompt_text = event.prompt_text
                response.prompt_logprobs.extend(_logprobs(event.prompt_logprobs))
            case Delta():
                choice = self._choice(event.choice)
                self._texts.setdefault(event.choice, []).append(event.text)
                choice.token_ids.extend(event.token_ids)
                choice.logprobs.extend(_logprobs(event.logprobs))
                for piece in event.tool_calls:
                    if piece.index == len(choice.tool_calls):
                        choice.tool_calls.add(id=piece.id, name=piece.name)
                    choice.tool_calls[piece.index].arguments += piece.arguments
            case ChoiceFinished():
                choice = self._choice(event.choice)
                choice.finish_reason = _FINISH_REASONS[event.reason]
                if event.stop_string is not None:
                    choice.stop_string = event.stop_string
                elif event.stop_token_id is not None:
                    choice.stop_token_id = event.stop_token_id
            case Usage():
                self._response.usage.CopyFrom(usage_message(event))

    def build(self) -> inference_pb2.GenerateResponse:
        """The whole answer, choices by index."""
        for index in sorted(self._choices):
            choice = self._choices[index]
            choice.text = "".join(self._texts.get(index, ()))
            self._response.choices.append(choice)
        return self._response

    def result(self) -> bytes:
        """The only choice and the usage, as they are stored."""
        built = self.build()
        return stored_answer_pb2.StoredAnswer(
            choice=built.choices[0], usage=built.usage
        ).SerializeToString()

    def _choice(self, index: int) -> generation_event_pb2.Choice:
        return self._choices.setdefault(index, generation_event_pb2.Choice(index=index))


def usage_message(usage: Usage) -> generation_event_pb2.Usage:
    """What a call used."""
    return generation_event_pb2.Usage(
        prompt_token_count=usage.prompt_tokens,
        completion_token_count=usage.completion_tokens,
        cached_token_count=usage.cached_tokens,
        queue_duration=duration(usage.queue_seconds),
        prefill_duration=duration(usage.prefill_seconds),
        decode_duration=duration(usage.decode_seconds),
    )


def duration(seconds: float) -> duration_pb2.Duration:
    """A duration of some seconds."""
    message = duration_pb2.Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message


def timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """A moment, which must know its time zone."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def _progress(event: SearchProgress) -> generation_event_pb2.GenerationProgress:
    match event:
        case SearchStarted():
            step = generation_event_pb2.SearchStarted(query=event.query)
            return generation_event_pb2.GenerationProgress(search_started=step)
        case SearchCompleted():
            done = generation_event_pb2.SearchCompleted(source_count=event.sources)
            return generation_event_pb2.GenerationProgress(search_completed=done)
        case SearchUnavailable():
            failed = generation_event_pb2.SearchUnavailable(message=event.message)
            return generation_event_pb2.GenerationProgress(search_unavailable=failed)


def _started(event: Started) -> generation_event_pb2.GenerationStarted:
    return generation_event_pb2.GenerationStarted(
        response_id=event.response_id,
        create_time=timestamp(event.create_time),
        model_id=event.model_id,
        adapter_id=event.adapter_id,
        session_id=event.session_id,
        prompt_token_count=event.prompt_tokens,
        cached_token_count=event.cached_tokens,
        queue_duration=duration(event.queue_seconds),
        prefill_duration=duration(event.prefill_seconds),
        prompt_text=event.prompt_text,
        prompt_logprobs=_logprobs(event.prompt_logprobs),
    )


def _logprobs(logprobs: Sequence[TokenLogprob]) -> list[generation_event_pb2.TokenLogprob]:
    return [
        generation_event_pb2.TokenLogprob(
            token_id=entry.token_id,
            text=entry.text,
            raw_bytes=entry.raw_bytes,
            logprob=entry.logprob,
            top_logprobs=[
                generation_event_pb2.TokenAlternative(
                    token_id=other.token_id,
                    text=other.text,
                    raw_bytes=other.raw_bytes,
                    logprob=other.logprob,
                )
                for other in entry.top
            ],
        )
        for entry in logprobs
    ]
