"""Text completions ↔ protocol. Pure functions, and one small accumulator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sterna.v1.generation_event_pb2 import Choice, TokenAlternative, TokenLogprob
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse
from sterna_rest.completions.schemas import CompletionRequest
from sterna_rest.errors import ApiError
from sterna_rest.generation.grammar import extension_grammar
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import (
    FINISH_REASONS,
    finite,
    generation_spec,
    parameter_of_field,
    sum_of_usage,
    usage_json,
)


def completion_specs(body: CompletionRequest) -> list[GenerationSpec]:
    """One specification per prompt, alike in everything else. Raises `ApiError`."""
    common = generation_spec(body)
    common.echo = bool(body.echo)
    if body.logprobs is not None:
        common.logprobs.top_count = body.logprobs
        common.logprobs.prompt = bool(body.echo)
        common.logprobs.SetInParent()
    if body.grammar is not None:
        common.grammar.CopyFrom(extension_grammar(body.grammar))
    specs = []
    for prompt in body.prompts():
        spec = GenerationSpec()
        spec.CopyFrom(common)
        if isinstance(prompt, str):
            spec.text.text = prompt
            spec.text.suffix = body.suffix or ""
            spec.text.SetInParent()
        else:
            if body.suffix:
                raise ApiError(
                    400,
                    "`suffix` needs a prompt of text; put the marks of the model among the tokens "
                    "instead.",
                    code="invalid_value",
                    param="suffix",
                )
            spec.tokens.token_ids.extend(prompt)
        specs.append(spec)
    return specs


def completion_parameter(body: CompletionRequest, field: str, prompt_index: int) -> str:
    """As `parameter_of_field`, with the prompt at fault when there are several."""
    name = parameter_of_field(field)
    if name == "top_logprobs":
        return "logprobs"
    if name.startswith("prompt") and body.prompt is not body.prompts()[0]:
        return f"prompt[{prompt_index}]{name.removeprefix('prompt')}"
    return name


def completion(responses: list[GenerateResponse], choice_count: int) -> dict[str, Any]:
    """The body of an answer that was not streamed; `responses` are in the order of the prompts."""
    first = responses[0]
    return {
        "id": f"cmpl-{first.response_id}",
        "object": "text_completion",
        "created": first.create_time.seconds,
        "model": answering_model(first),
        "choices": [
            _choice(response, choice, prompt_index * choice_count)
            for prompt_index, response in enumerate(responses)
            for choice in response.choices
        ],
        "usage": usage_json(sum_of_usage([r.usage for r in responses])),
    }


def _choice(response: GenerateResponse, choice: Choice, base: int) -> dict[str, Any]:
    logprobs = None
    if choice.logprobs or response.prompt_logprobs:
        offsets = TextOffsets()
        logprobs = logprobs_json([*response.prompt_logprobs, *choice.logprobs], offsets)
    return {
        "index": base + choice.index,
        "text": response.prompt_text + choice.text,
        "logprobs": logprobs,
        "finish_reason": FINISH_REASONS[choice.finish_reason],
    }


class TextOffsets:
    """Where each token begins in its choice's text, counted in characters.

    Tokens may hold parts of a character: bytes are counted, and only those that begin one.
    """

    def __init__(self) -> None:
        self._characters = 0

    def next(self, token: bytes) -> int:
        """The offset of the next token, which has these bytes."""
        offset = self._characters
        self._characters += sum(byte & 0xC0 != 0x80 for byte in token)
        return offset


def logprobs_json(entries: Iterable[TokenLogprob], offsets: TextOffsets) -> dict[str, Any]:
    """The `logprobs` object of a choice, or of a chunk when `offsets` is kept between chunks."""
    entries = list(entries)
    return {
        "tokens": [_token(entry) for entry in entries],
        "token_logprobs": [
            finite(entry.logprob) if entry.HasField("logprob") else None for entry in entries
        ],
        "top_logprobs": [_alternatives(entry) for entry in entries],
        "text_offset": [offsets.next(entry.raw_bytes) for entry in entries],
    }


def _alternatives(entry: TokenLogprob) -> dict[str, float] | None:
    if not entry.top_logprobs:
        # Not asked for, or not known here: the chosen token alone would pass for the likeliest.
        return None
    alternatives = {_token(top): finite(top.logprob) for top in entry.top_logprobs}
    # The chosen token is always among them, as with OpenAI.
    alternatives.setdefault(_token(entry), finite(entry.logprob))
    return alternatives


def _token(entry: TokenLogprob | TokenAlternative) -> str:
    """The token's text; broken characters as OpenAI spells them, so that names stay distinct."""
    try:
        return entry.raw_bytes.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in entry.raw_bytes)
