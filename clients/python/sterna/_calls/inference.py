"""The calls of InferenceService that compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

from sterna import types
from sterna._calls.call import Call, PartsCall, StreamCall, call
from sterna._convert import from_message
from sterna._options import (
    ChatOptions,
    GenerationOptions,
    Messages,
    Prompt,
    Tools,
    chat_prompt,
    chat_spec,
    prompt_spec,
)
from sterna.v1 import generation_pb2, inference_pb2


def _generation(spec: generation_pb2.GenerationSpec, timeout: float | None) -> Call[Any]:
    return call(
        "InferenceService/Generate",
        inference_pb2.GenerateRequest(spec=spec),
        inference_pb2.GenerateResponse,
        lambda reply: from_message(types.Completion, reply),
        timeout,
        long=True,
    )


def generate(prompt: Prompt, **options: Unpack[GenerationOptions]) -> Call[types.Completion]:
    """Continue raw text, or token ids, without a chat template."""
    return _generation(prompt_spec(prompt, options), options.get("timeout"))


def chat(messages: Messages, **options: Unpack[ChatOptions]) -> Call[types.Completion]:
    """Answer a conversation. A string is one message of the user."""
    return _generation(chat_spec(messages, options), options.get("timeout"))


def stream_generate(prompt: Prompt, **options: Unpack[GenerationOptions]) -> StreamCall:
    """As `generate`, while it is made."""
    request = inference_pb2.StreamGenerateRequest(spec=prompt_spec(prompt, options))
    return StreamCall(request, options.get("timeout"))


def stream_chat(messages: Messages, **options: Unpack[ChatOptions]) -> StreamCall:
    """As `chat`, while it is made."""
    request = inference_pb2.StreamGenerateRequest(spec=chat_spec(messages, options))
    return StreamCall(request, options.get("timeout"))


def tokenize(
    text: str,
    *,
    model: str = "",
    add_special_tokens: bool | None = None,
    timeout: float | None = None,
) -> Call[tuple[int, ...]]:
    """The token ids of raw text. None: whether special tokens are added is up to the tokenizer."""
    prompt = generation_pb2.TextPrompt(text=text, add_special_tokens=add_special_tokens)
    return _tokenization(inference_pb2.TokenizeRequest(model_id=model, text=prompt), timeout)


def tokenize_chat(
    messages: Messages, *, tools: Tools = (), model: str = "", timeout: float | None = None
) -> Call[tuple[int, ...]]:
    """The token ids of a conversation, as its model's template renders it."""
    prompt = chat_prompt(messages, tools)
    return _tokenization(inference_pb2.TokenizeRequest(model_id=model, chat=prompt), timeout)


def _tokenization(
    request: inference_pb2.TokenizeRequest, timeout: float | None
) -> Call[tuple[int, ...]]:
    return call(
        "InferenceService/Tokenize",
        request,
        inference_pb2.TokenizeResponse,
        lambda reply: tuple(reply.token_ids),
        timeout,
    )


def detokenize(
    token_ids: Sequence[int],
    *,
    model: str = "",
    skip_special_tokens: bool = False,
    timeout: float | None = None,
) -> Call[str]:
    """The text of token ids."""
    return call(
        "InferenceService/Detokenize",
        inference_pb2.DetokenizeRequest(
            model_id=model, token_ids=token_ids, skip_special_tokens=skip_special_tokens
        ),
        inference_pb2.DetokenizeResponse,
        lambda reply: reply.text,
        timeout,
    )


def embed(
    inputs: str | Sequence[str | Sequence[int]],
    *,
    model: str = "",
    dimension_count: int | None = None,
    instruction: str | None = None,
    prompt_name: str = "",
    truncate: bool = False,
    timeout: float | None = None,
) -> PartsCall[types.Embeddings]:
    """Vectors of texts, or of token ids; one string is one text."""
    if isinstance(inputs, str):
        inputs = [inputs]
    request = inference_pb2.EmbedRequest(
        model_id=model,
        inputs=[
            inference_pb2.EmbedInput(text=item)
            if isinstance(item, str)
            else inference_pb2.EmbedInput(tokens=generation_pb2.TokenPrompt(token_ids=item))
            for item in inputs
        ],
        dimension_count=dimension_count,
        instruction=instruction,
        prompt_name=prompt_name,
        truncate=truncate,
    )
    return PartsCall(
        "/sterna.v1.InferenceService/StreamEmbed",
        inference_pb2.StreamEmbedRequest(request=request),
        inference_pb2.StreamEmbedResponse,
        _all_embeddings,
        timeout,
    )


def _all_embeddings(replies: list[inference_pb2.StreamEmbedResponse]) -> types.Embeddings:
    parts = [from_message(types.Embeddings, reply) for reply in replies]
    # Only the last part says what the call used.
    return dataclasses.replace(
        parts[-1], embeddings=tuple(each for part in parts for each in part.embeddings)
    )


def similarities(
    texts: Sequence[str], *, model: str = "", timeout: float | None = None
) -> Call[types.Similarities]:
    """How similar texts are to one another."""
    return call(
        "InferenceService/ComputeSimilarities",
        inference_pb2.ComputeSimilaritiesRequest(model_id=model, texts=texts),
        inference_pb2.ComputeSimilaritiesResponse,
        lambda reply: from_message(types.Similarities, reply),
        timeout,
        long=True,
    )
