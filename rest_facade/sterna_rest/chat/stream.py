"""The chunks of a streamed chat answer, as the bytes that go on the wire."""

from __future__ import annotations

from pydantic_core import to_json

from sterna.v1.generation_event_pb2 import (
    GenerationDelta,
    GenerationProgress,
    GenerationStarted,
    Usage,
)
from sterna_rest.chat.tool_transcode import call_delta_json
from sterna_rest.chat.transcode import logprobs_json
from sterna_rest.generation.chunks import ChunkEncoder
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import json_string, usage_json

_MARKERS = {
    "search_started": "[Searching: {query}]",
    "search_completed": "[Synthesizing...]",
    "search_unavailable": "[Search unavailable]",
}


class ChatChunks(ChunkEncoder):
    """Turns events into chunks. One instance serves one stream.

    Almost all of a chunk is the same from token to token, so it is written once: per token there
    is one string to escape and a few to join.
    """

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """The role of every choice."""
        head = (
            f'data: {{"id":"chatcmpl-{started.response_id}","object":"chat.completion.chunk",'
            f'"created":{started.create_time.seconds},"model":{json_string(answering_model(started))},'
        )
        self._usage_head = f'{head}"choices":[],"usage":'
        self._choice_head = f'{head}"choices":[{{"index":'
        self._tail = '}],"usage":null}\n\n' if self.include_usage else "}]}\n\n"
        return "".join(
            f'{self._choice_head}{index},"delta":{{"role":"assistant"}},"finish_reason":null'
            f"{self._tail}"
            for index in range(self.choice_count)
        ).encode()

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More of one choice: text, then pieces of calls, each in a chunk of its own.

        Clients put pieces together chunk by chunk. Log-probabilities belong to all that comes
        together, and go with the first chunk; they alone come with an empty text.
        """
        pieces = [f'"tool_calls":[{call_delta_json(call)}]' for call in delta.tool_calls]
        logprobs = ""
        if delta.logprobs:
            logprobs = f'"logprobs":{to_json(logprobs_json(delta.logprobs)).decode()},'
        if delta.text or (logprobs and not pieces):
            pieces.insert(0, f'"content":{json_string(delta.text)}')
        head = f'{self._choice_head}{delta.choice_index},"delta":{{'
        tail = f'"finish_reason":null{self._tail}'
        return "".join(
            f"{head}{piece}}},{'' if index else logprobs}{tail}"
            for index, piece in enumerate(pieces)
        ).encode()

    def progress(self, prompt_index: int, progress: GenerationProgress) -> bytes:
        """TRILLIM's markers, each as text of its own; an answer that is not streamed has none."""
        marker = _MARKERS[progress.WhichOneof("step") or ""]
        text = marker.format(query=progress.search_started.query)
        return self.delta(prompt_index, GenerationDelta(text=text)) + self.delta(
            prompt_index, GenerationDelta(text="\n")
        )

    def finish(self, prompt_index: int, choice_index: int, reason: str) -> bytes:
        """The last chunk of a choice."""
        return (
            f'{self._choice_head}{choice_index},"delta":{{}},"finish_reason":"{reason}"{self._tail}'
        ).encode()

    def usage(self, usage: Usage) -> bytes:
        """The chunk without choices."""
        return f"{self._usage_head}{to_json(usage_json(usage)).decode()}}}\n\n".encode()
