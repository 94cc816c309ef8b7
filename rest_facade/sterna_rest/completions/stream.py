"""The chunks of a streamed text completion, as the bytes that go on the wire."""

from __future__ import annotations

from pydantic_core import to_json

from sterna.v1.generation_event_pb2 import GenerationDelta, GenerationStarted, Usage
from sterna_rest.completions.transcode import TextOffsets, logprobs_json
from sterna_rest.generation.chunks import ChunkEncoder
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import json_string, usage_json


class CompletionChunks(ChunkEncoder):
    """Turns the events of one or more prompts into chunks. One instance serves one stream."""

    def __init__(self, *, choice_count: int, include_usage: bool) -> None:
        super().__init__(choice_count=choice_count, include_usage=include_usage)
        self._head = ""
        self._offsets: dict[int, TextOffsets] = {}
        self._tail = '}],"usage":null}\n\n' if include_usage else "}]}\n\n"

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """The prompt itself, in every one of its choices, when it is to be echoed."""
        if not self._head:
            # The first prompt to start names the whole stream.
            self._head = (
                f'data: {{"id":"cmpl-{started.response_id}","object":"text_completion",'
                f'"created":{started.create_time.seconds},'
                f'"model":{json_string(answering_model(started))},"choices":['
            )
        if not started.prompt_text and not started.prompt_logprobs:
            return b""
        return b"".join(
            self._chunk(index, started.prompt_text, self._logprobs(index, started.prompt_logprobs))
            for index in self._choices(prompt_index)
        )

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text of one choice; nothing when there is neither text nor a log-probability."""
        if not delta.text and not delta.logprobs:
            return b""
        index = self._choices(prompt_index)[delta.choice_index]
        return self._chunk(index, delta.text, self._logprobs(index, delta.logprobs))

    def finish(self, prompt_index: int, choice_index: int, reason: str) -> bytes:
        """The last chunk of a choice."""
        return self._chunk(self._choices(prompt_index)[choice_index], "", "null", f'"{reason}"')

    def usage(self, usage: Usage) -> bytes:
        """The chunk without choices."""
        return f'{self._head}],"usage":{to_json(usage_json(usage)).decode()}}}\n\n'.encode()

    def _choices(self, prompt_index: int) -> range:
        first = prompt_index * self.choice_count
        return range(first, first + self.choice_count)

    def _chunk(self, index: int, text: str, logprobs: str, reason: str = "null") -> bytes:
        return (
            f'{self._head}{{"index":{index},"text":{json_string(text)},"logprobs":{logprobs},'
            f'"finish_reason":{reason}{self._tail}'
        ).encode()

    def _logprobs(self, index: int, entries: object) -> str:
        if not entries:
            return "null"
        offsets = self._offsets.setdefault(index, TextOffsets())
        return to_json(logprobs_json(entries, offsets)).decode()  # type: ignore[arg-type]
