"""InferenceService: text in, text or vectors out, stored conversations and answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any, TypeVar

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from sterna.v1 import inference_pb2, inference_pb2_grpc
from sterna_service.engine.adapter import EngineAdapter
from sterna_service.errors import out_of_range
from sterna_service.inference.conversation import generate_in_session
from sterna_service.inference.embedding import Embedder, dimensions_of, embed
from sterna_service.inference.events import Accepted, Delta, GenerationEvent, Started, Usage
from sterna_service.inference.generation import encode_prompt
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.prompt import check_token_ids
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.spec import ChatPrompt, GenerationSpec, HarnessChoice, Prompt
from sterna_service.inference.stored_answers import Answers, generate_stored
from sterna_service.models.registry import ModelRegistry
from sterna_service.rpc.calls import current_call, owner_of_call
from sterna_service.rpc.embeddings import (
    check_answer_fits,
    compared_texts,
    embed_parts,
    embed_response,
    embedding_spec,
    similarities_response,
)
from sterna_service.rpc.from_answers import stored_answer
from sterna_service.rpc.from_events import ResponseBuilder, stream_response
from sterna_service.rpc.from_sessions import (
    chat_message,
    session_message,
    session_page_start,
    session_page_token,
)
from sterna_service.rpc.pages import size_of_page
from sterna_service.rpc.to_chat import session_messages
from sterna_service.rpc.to_spec import generation_spec, session_ttl, tokenize_prompt
from sterna_service.telemetry.record import tokens_of

Context = ServicerContext[Any, Any]

MOST_DETOKENIZED = 1_000_000

# Requests of so many bytes take milliseconds to convert.
_LARGE_REQUEST = 64 * 1024

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Generation, tokens, embeddings, sessions and stored answers."""

    def __init__(
        self, models: ModelRegistry, sessions: Sessions, answers: Answers, harnesses: Harnesses
    ) -> None:
        self._models = models
        self._sessions = sessions
        self._answers = answers
        self._harnesses = harnesses

    async def Generate(
        self, request: inference_pb2.GenerateRequest, context: Context
    ) -> inference_pb2.GenerateResponse:
        builder = ResponseBuilder()
        async with contextlib.aclosing(self._events(request, context)) as events:
            async for event in events:
                builder.add(event)
        return builder.build()

    async def StreamGenerate(
        self, request: inference_pb2.StreamGenerateRequest, context: Context
    ) -> AsyncGenerator[inference_pb2.StreamGenerateResponse]:
        async with contextlib.aclosing(self._events(request, context)) as events:
            async for event in events:
                response = stream_response(event)
                if response is not None:
                    yield response

    async def Tokenize(
        self, request: inference_pb2.TokenizeRequest, context: Context
    ) -> inference_pb2.TokenizeResponse:
        prompt = await _converted(tokenize_prompt, request)
        with await self._models.acquire(request.model_id) as model:
            return await _tokenize(model, request, prompt)

    async def Detokenize(
        self, request: inference_pb2.DetokenizeRequest, context: Context
    ) -> inference_pb2.DetokenizeResponse:
        if len(request.token_ids) > MOST_DETOKENIZED:
            raise out_of_range(
                "token_ids", f"at most {MOST_DETOKENIZED} ids", len(request.token_ids)
            )
        with await self._models.acquire(request.model_id) as model:

            def decode() -> str:
                ids = request.token_ids
                check_token_ids(ids, model.vocabulary_size, "token_ids")
                return model.tokenizer.decode(ids, skip_special_tokens=request.skip_special_tokens)

            return inference_pb2.DetokenizeResponse(
                model_id=model.model_id, text=await asyncio.to_thread(decode)
            )

    async def Embed(
        self, request: inference_pb2.EmbedRequest, context: Context
    ) -> inference_pb2.EmbedResponse:
        spec = await _converted(embedding_spec, request)
        lease = await self._models.acquire_for_embedding(request.model_id)
        with lease as model:
            check_answer_fits(len(spec.inputs), spec.dimensions or dimensions_of(model))
            embeddings = await embed(model, spec, lease.adapter)
        _note(model, embeddings.usage)
        return await asyncio.to_thread(embed_response, model.model_id, embeddings)

    async def StreamEmbed(
        self, request: inference_pb2.StreamEmbedRequest, context: Context
    ) -> AsyncGenerator[inference_pb2.StreamEmbedResponse]:
        spec = await _converted(embedding_spec, request.request)
        lease = await self._models.acquire_for_embedding(request.request.model_id)
        with lease as model:
            embeddings = await embed(model, spec, lease.adapter)
        _note(model, embeddings.usage)
        parts = embed_parts(model.model_id, embeddings)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    async def ComputeSimilarities(
        self, request: inference_pb2.ComputeSimilaritiesRequest, context: Context
    ) -> inference_pb2.ComputeSimilaritiesResponse:
        spec = compared_texts(request)
        lease = await self._models.acquire_for_embedding(request.model_id)
        with lease as model:
            embeddings = await embed(model, spec, lease.adapter)
        _note(model, embeddings.usage)
        return await asyncio.to_thread(similarities_response, model.model_id, embeddings)

    async def CreateSession(
        self, request: inference_pb2.CreateSessionRequest, context: Context
    ) -> inference_pb2.CreateSessionResponse:
        record = await self._sessions.create(
            request.session_id,
            self._models.names.identify(request.model_id) if request.model_id else "",
            await _converted(session_messages, request),
            session_ttl(request),
            owner_of_call(),
        )
        return inference_pb2.CreateSessionResponse(session=session_message(record))

    async def GetSession(
        self, request: inference_pb2.GetSessionRequest, context: Context
    ) -> inference_pb2.GetSessionResponse:
        record = await self._sessions.get(request.session_id, owner_of_call())
        response = inference_pb2.GetSessionResponse(session=session_message(record))
        if request.include_messages:
            messages = await self._sessions.messages(record)
            response.messages.extend(map(chat_message, messages))
        return response

    async def ListSessions(
        self, request: inference_pb2.ListSessionsRequest, context: Context
    ) -> inference_pb2.ListSessionsResponse:
        size = size_of_page(request.page_size)
        # One more tells whether this is the last page.
        records = await self._sessions.page(size + 1, session_page_start(request.page_token))
        page = records[:size]
        return inference_pb2.ListSessionsResponse(
            sessions=map(session_message, page),
            next_page_token=session_page_token(page[-1]) if len(records) > size else "",
        )

    async def DeleteSession(
        self, request: inference_pb2.DeleteSessionRequest, context: Context
    ) -> inference_pb2.DeleteSessionResponse:
        await self._sessions.delete(request.session_id, owner_of_call())
        return inference_pb2.DeleteSessionResponse()

    async def GetAnswer(
        self, request: inference_pb2.GetAnswerRequest, context: Context
    ) -> inference_pb2.GetAnswerResponse:
        *previous, answer = await self._answers.chain(request.response_id, owner_of_call())
        response = inference_pb2.GetAnswerResponse(answer=stored_answer(answer))
        if request.include_previous:
            response.previous.extend(map(stored_answer, previous))
        return response

    async def DeleteAnswer(
        self, request: inference_pb2.DeleteAnswerRequest, context: Context
    ) -> inference_pb2.DeleteAnswerResponse:
        await self._answers.delete(request.response_id, owner_of_call())
        return inference_pb2.DeleteAnswerResponse()

    async def _events(
        self,
        request: inference_pb2.GenerateRequest | inference_pb2.StreamGenerateRequest,
        context: Context,
    ) -> AsyncGenerator[GenerationEvent]:
        spec = await _converted(generation_spec, request)
        call = current_call()
        operation = "chat" if isinstance(spec.prompt, ChatPrompt) else "text_completion"

        usual: list[HarnessChoice] = []
        adapters: list[EngineAdapter | None] = []
        with contextlib.ExitStack() as leases:

            async def acquire(name: str) -> LoadedModel:
                lease = await self._models.acquire(name, request.spec.adapter_id)
                model = leases.enter_context(lease)
                call.notes["model"] = model.model_id
                call.record.generates(operation, model.model_id)
                usual.append(lease.harness)
                adapters.append(lease.adapter)
                if spec.keep_alive is not None:
                    lease.keep(spec.keep_alive)
                return model

            def answer(
                model: LoadedModel, whole: GenerationSpec
            ) -> AsyncGenerator[GenerationEvent]:
                return self._harnesses.generate(
                    model, replace(whole, adapter=adapters[-1]), usual[-1]
                )

            if spec.session_id and spec.storage is None:
                run = generate_in_session(self._sessions, spec, owner_of_call(), acquire, answer)
            elif spec.storage is not None:
                run = generate_stored(
                    self._answers, spec, owner_of_call(), ResponseBuilder(), acquire, answer
                )
            else:
                run = answer(await acquire(spec.model_id), spec)
            async with contextlib.aclosing(run) as events:
                async for event in events:
                    if isinstance(event, Started):
                        record = call.record.generation
                        assert record is not None
                        record.started(event.queue_seconds, event.prefill_seconds)
                        call.spent += event.prompt_tokens
                        call.note_tokens(event.prompt_tokens, event.cached_tokens, 0)
                    elif isinstance(event, Delta):
                        call.spent += len(event.token_ids)
                        call.note_tokens(0, 0, len(event.token_ids))
                    elif isinstance(event, Accepted):
                        call.notes["response_id"] = event.response_id
                        await call.greet(context)
                    elif isinstance(event, Usage):
                        _note_usage(event, max(1, spec.choice_count))
                    yield event


async def _converted(convert: Callable[[M], T], request: M) -> T:
    """A request as the inference package takes it, converted beside the event loop if it is large.

    Raises:
        ServiceError: As `convert`.
    """
    if request.ByteSize() > _LARGE_REQUEST:
        return await asyncio.to_thread(convert, request)
    return convert(request)


async def _tokenize(
    model: LoadedModel, request: inference_pb2.TokenizeRequest, prompt: Prompt
) -> inference_pb2.TokenizeResponse:
    tokenizer = model.tokenizer
    if request.WhichOneof("input") == "text" and not request.text.text:
        # An empty text is no prompt, but it does have tokens: perhaps one, perhaps none.
        added = request.text.HasField("add_special_tokens")
        ids = tokenizer.encode(
            "", add_special_tokens=request.text.add_special_tokens if added else None
        )
        text = ""
    else:
        encoded = await encode_prompt(model, prompt, "")
        ids, text = list(encoded.token_ids), encoded.text or ""
    response = inference_pb2.TokenizeResponse(model_id=model.model_id, token_ids=ids)
    if request.include_pieces:

        def add_pieces() -> None:
            for id in ids:
                response.pieces.add(
                    token_id=id, raw_bytes=tokenizer.token_bytes(id), text=tokenizer.token_text(id)
                )

        await asyncio.to_thread(add_pieces)
    if request.WhichOneof("input") == "chat":
        response.prompt_text = text
    return response


def _note(model: Embedder, usage: Usage) -> None:
    call = current_call()
    call.notes["model"] = model.model_id
    record = call.record.generates("embeddings", model.model_id)
    record.computed(usage.queue_seconds, usage.prefill_seconds)
    _note_usage(usage, 1)


def _note_usage(usage: Usage, choices: int) -> None:
    call = current_call()
    if call.record.generation is not None:
        call.record.generation.used(tokens_of(usage, choices))
    # What was counted along the way is for answers that are broken off.
    call.spent = usage.prompt_tokens + usage.completion_tokens
    notes = call.notes
    notes["prompt_tokens"] = usage.prompt_tokens
    notes["completion_tokens"] = usage.completion_tokens
    notes["cached_tokens"] = usage.cached_tokens
