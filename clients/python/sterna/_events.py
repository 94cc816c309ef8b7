"""The events of a streamed generation: from messages, and into a whole completion."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sterna import types
from sterna._convert import from_message
from sterna.v1 import inference_pb2

_STEPS: dict[str, type] = {
    "search_started": types.SearchStarted,
    "search_completed": types.SearchCompleted,
    "search_unavailable": types.SearchUnavailable,
}


def event_from(message: inference_pb2.StreamGenerateResponse) -> types.Event | None:
    """The event in a message; None for one that this version of the client does not know."""
    match message.WhichOneof("event"):
        case "delta":
            return from_message(types.Delta, message.delta)
        case "started":
            return from_message(types.Started, message.started)
        case "finished":
            return from_message(types.Finished, message.finished)
        case "usage":
            return from_message(types.Usage, message.usage)
        case "progress":
            step = message.progress.WhichOneof("step")
            if step not in _STEPS:
                return None
            event: types.Event = from_message(_STEPS[step], getattr(message.progress, step))
            return event
    return None


@dataclass(slots=True)
class _Tool:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Answer:
    text: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[types.TokenLogprob] = field(default_factory=list)
    tools: dict[int, _Tool] = field(default_factory=dict)
    finished: types.Finished | None = None


class Collector:
    """Puts the events of one stream together again."""

    def __init__(self) -> None:
        self._started: types.Started | None = None
        self._usage: types.Usage | None = None
        self._answers: dict[int, _Answer] = {}

    def add(self, event: types.Event) -> None:
        """Takes the next event."""
        match event:
            case types.Started():
                self._started = event
            case types.Usage():
                self._usage = event
            case types.Finished(choice_index=index):
                self._answers.setdefault(index, _Answer()).finished = event
            case types.Delta(choice_index=index):
                answer = self._answers.setdefault(index, _Answer())
                answer.text.append(event.text)
                answer.token_ids.extend(event.token_ids)
                answer.logprobs.extend(event.logprobs)
                for piece in event.tool_calls:
                    tool = answer.tools.setdefault(piece.index, _Tool())
                    tool.id += piece.id
                    tool.name += piece.name
                    tool.arguments += piece.arguments

    def completion(self) -> types.Completion:
        """What the events make together; a stream that was left early gives what came."""
        started = self._started or types.Started(
            "", datetime.fromtimestamp(0, UTC), "", "", "", 0, 0, timedelta(), timedelta(), "", ()
        )
        usage = self._usage or types.Usage(
            started.prompt_token_count,
            sum(len(answer.token_ids) for answer in self._answers.values()),
            started.cached_token_count,
            started.queue_duration,
            started.prefill_duration,
            timedelta(),
        )
        return types.Completion(
            response_id=started.response_id,
            create_time=started.create_time,
            model_id=started.model_id,
            adapter_id=started.adapter_id,
            session_id=started.session_id,
            choices=tuple(_choice(index, self._answers[index]) for index in sorted(self._answers)),
            usage=usage,
            prompt_text=started.prompt_text,
            prompt_logprobs=started.prompt_logprobs,
        )


def _choice(index: int, answer: _Answer) -> types.Choice:
    end = answer.finished
    return types.Choice(
        index=index,
        text="".join(answer.text),
        tool_calls=tuple(
            types.ToolCall(tool.id, tool.name, tool.arguments)
            for _, tool in sorted(answer.tools.items())
        ),
        finish_reason=end.finish_reason if end else types.FinishReason.UNSPECIFIED,
        stop_string=end.stop_string if end else None,
        stop_token_id=end.stop_token_id if end else None,
        token_ids=tuple(answer.token_ids),
        logprobs=tuple(answer.logprobs),
    )
