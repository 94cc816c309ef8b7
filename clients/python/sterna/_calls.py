"""Every call of the clients, described once: what is sent, and what the answer becomes.

`Client` and `AsyncClient` only carry these out. A function here takes the arguments of the method
with its name, and its docstring is that method's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar, Unpack

from google.protobuf.message import Message as ProtoMessage
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from sterna import server_types, types
from sterna._convert import from_message
from sterna._options import (
    ChatOptions,
    GenerationOptions,
    Messages,
    Prompt,
    Tools,
    chat_prompt,
    chat_spec,
    enum_value,
    prompt_spec,
)
from sterna.v1 import (
    chat_pb2,
    generation_pb2,
    inference_pb2,
    model_admin_pb2,
    model_pb2,
    session_pb2,
)

R = TypeVar("R")
Reply = TypeVar("Reply", bound=ProtoMessage)

_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One unary call.

    Attributes:
        method: The full method name, "/package.Service/Method".
        request: What is sent.
        reply: The class of what comes back.
        result: Makes the method's result of it.
        timeout: Seconds; None: the client's default.
        long: The call computes for long, and so has the longer default.
    """

    method: str
    request: ProtoMessage
    reply: type[ProtoMessage]
    result: Callable[[Any], R]
    timeout: float | None = None
    long: bool = False


# A method that needs several calls yields each, is sent its result, and returns its own.
Plan = Generator[Call[Any], Any, R]


@dataclass(frozen=True, slots=True)
class StreamCall:
    """One generation, streamed."""

    request: inference_pb2.StreamGenerateRequest
    timeout: float | None
    method: str = "/sterna.v1.InferenceService/StreamGenerate"
    reply: type[inference_pb2.StreamGenerateResponse] = inference_pb2.StreamGenerateResponse


def _call(
    method: str,
    request: ProtoMessage,
    reply: type[Reply],
    result: Callable[[Reply], R],
    timeout: float | None = None,
    long: bool = False,
) -> Call[R]:
    """A call of sterna.v1; `method` is "Service/Method"."""
    return Call(f"/sterna.v1.{method}", request, reply, result, timeout, long)


def _generation(spec: generation_pb2.GenerationSpec, timeout: float | None) -> Call[Any]:
    return _call(
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
    return _call(
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
    return _call(
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
    timeout: float | None = None,
) -> Call[types.Embeddings]:
    """Vectors of texts, or of token ids; one string is one text."""
    if isinstance(inputs, str):
        inputs = [inputs]
    return _call(
        "InferenceService/Embed",
        inference_pb2.EmbedRequest(
            model_id=model,
            inputs=[
                inference_pb2.EmbedInput(text=item)
                if isinstance(item, str)
                else inference_pb2.EmbedInput(tokens=generation_pb2.TokenPrompt(token_ids=item))
                for item in inputs
            ],
            dimension_count=dimension_count,
            instruction=instruction,
        ),
        inference_pb2.EmbedResponse,
        lambda reply: from_message(types.Embeddings, reply),
        timeout,
        long=True,
    )


def similarities(
    texts: Sequence[str], *, model: str = "", timeout: float | None = None
) -> Call[types.Similarities]:
    """How similar texts are to one another."""
    return _call(
        "InferenceService/ComputeSimilarities",
        inference_pb2.ComputeSimilaritiesRequest(model_id=model, texts=texts),
        inference_pb2.ComputeSimilaritiesResponse,
        lambda reply: from_message(types.Similarities, reply),
        timeout,
        long=True,
    )


def create_session(
    session_id: str = "",
    *,
    model: str = "",
    messages: Messages = (),
    ttl: timedelta | None = None,
    timeout: float | None = None,
) -> Call[types.Session]:
    """Start a conversation that the server keeps. An empty id: the server makes one."""
    request = inference_pb2.CreateSessionRequest(
        session_id=session_id, model_id=model, messages=chat_prompt(messages).messages
    )
    if ttl is not None:
        request.ttl.FromTimedelta(ttl)
    return _call(
        "InferenceService/CreateSession",
        request,
        inference_pb2.CreateSessionResponse,
        lambda reply: from_message(types.Session, reply.session),
        timeout,
    )


def get_session(session_id: str, *, timeout: float | None = None) -> Call[types.Conversation]:
    """A kept conversation, with its messages."""
    return _call(
        "InferenceService/GetSession",
        inference_pb2.GetSessionRequest(session_id=session_id, include_messages=True),
        inference_pb2.GetSessionResponse,
        lambda reply: types.Conversation(
            from_message(types.Session, reply.session),
            tuple(_message(message) for message in reply.messages),
        ),
        timeout,
    )


def _message(message: chat_pb2.ChatMessage) -> types.Message:
    roles: dict[int, types.RoleName] = {
        chat_pb2.ROLE_SYSTEM: "system",
        chat_pb2.ROLE_DEVELOPER: "developer",
        chat_pb2.ROLE_USER: "user",
        chat_pb2.ROLE_ASSISTANT: "assistant",
        chat_pb2.ROLE_TOOL: "tool",
    }
    return types.Message(
        role=roles[message.role],
        content="".join(part.text for part in message.content),
        name=message.name,
        tool_calls=tuple(from_message(types.ToolCall, call) for call in message.tool_calls),
        tool_call_id=message.tool_call_id,
    )


def list_sessions(*, timeout: float | None = None) -> Plan[tuple[types.Session, ...]]:
    """All conversations that the server keeps for this caller, last used first."""
    found: list[session_pb2.Session] = []
    token = ""
    while True:
        page: inference_pb2.ListSessionsResponse = yield _call(
            "InferenceService/ListSessions",
            inference_pb2.ListSessionsRequest(page_size=_PAGE_SIZE, page_token=token),
            inference_pb2.ListSessionsResponse,
            lambda reply: reply,
            timeout,
        )
        found.extend(page.sessions)
        token = page.next_page_token
        if not token:
            return tuple(from_message(types.Session, session) for session in found)


def delete_session(session_id: str, *, timeout: float | None = None) -> Call[None]:
    """Forget a conversation."""
    return _call(
        "InferenceService/DeleteSession",
        inference_pb2.DeleteSessionRequest(session_id=session_id),
        inference_pb2.DeleteSessionResponse,
        lambda reply: None,
        timeout,
    )


def list_models(*, timeout: float | None = None) -> Plan[tuple[server_types.Model, ...]]:
    """All models that the server has, the default one first."""
    found: list[model_pb2.Model] = []
    token = ""
    while True:
        page: model_admin_pb2.ListModelsResponse = yield _call(
            "ModelAdminService/ListModels",
            model_admin_pb2.ListModelsRequest(page_size=_PAGE_SIZE, page_token=token),
            model_admin_pb2.ListModelsResponse,
            lambda reply: reply,
            timeout,
        )
        found.extend(page.models)
        token = page.next_page_token
        if not token:
            return tuple(from_message(server_types.Model, model) for model in found)


def get_model(model: str = "", *, timeout: float | None = None) -> Call[server_types.Model]:
    """A model, by its id or alias; empty: the default model."""
    return _call(
        "ModelAdminService/GetModel",
        model_admin_pb2.GetModelRequest(model_id=model),
        model_admin_pb2.GetModelResponse,
        lambda reply: from_message(server_types.Model, reply.model),
        timeout,
    )


def load_model(
    model: str,
    *,
    adapter_path: str = "",
    harness: Literal["default", "search"] | None = None,
    search_provider: Literal["ddgs", "brave"] | None = None,
    thread_count: int | None = None,
    adapter_precision: str | None = None,
    head_precision: str | None = None,
    keep_alive: timedelta | None = None,
    pinned: bool | None = None,
    make_default: bool = False,
    drain_timeout: timedelta | None = None,
    timeout: float | None = None,
) -> Call[server_types.LoadedModel]:
    """Load a model, or swap it when other settings are asked for. None leaves a setting alone."""
    precision = model_pb2.WeightPrecision
    request = model_admin_pb2.LoadModelRequest(
        model_id=model,
        adapter_path=adapter_path,
        harness=enum_value(generation_pb2.Harness, harness, "harness"),
        search_provider=enum_value(
            generation_pb2.SearchProvider, search_provider, "search_provider"
        ),
        thread_count=thread_count,
        adapter_precision=enum_value(precision, adapter_precision, "adapter_precision"),
        head_precision=enum_value(precision, head_precision, "head_precision"),
        pinned=pinned,
        make_default=make_default,
    )
    if keep_alive is not None:
        request.keep_alive.FromTimedelta(keep_alive)
    if drain_timeout is not None:
        request.drain_timeout.FromTimedelta(drain_timeout)
    return _call(
        "ModelAdminService/LoadModel",
        request,
        model_admin_pb2.LoadModelResponse,
        lambda reply: from_message(server_types.LoadedModel, reply),
        timeout,
        long=True,
    )


def unload_model(
    model: str, *, drain_timeout: timedelta | None = None, timeout: float | None = None
) -> Call[server_types.Model]:
    """Take a model out of memory, when its running requests are done or `drain_timeout` is over."""
    request = model_admin_pb2.UnloadModelRequest(model_id=model)
    if drain_timeout is not None:
        request.drain_timeout.FromTimedelta(drain_timeout)
    return _call(
        "ModelAdminService/UnloadModel",
        request,
        model_admin_pb2.UnloadModelResponse,
        lambda reply: from_message(server_types.Model, reply.model),
        timeout,
        long=True,
    )


def server_info(*, timeout: float | None = None) -> Call[server_types.ServerInfo]:
    """What the server is."""
    return _call(
        "ModelAdminService/GetServerInfo",
        model_admin_pb2.GetServerInfoRequest(),
        model_admin_pb2.GetServerInfoResponse,
        lambda reply: from_message(server_types.ServerInfo, reply),
        timeout,
    )


def server_status(*, timeout: float | None = None) -> Call[server_types.ServerStatus]:
    """How the server does."""
    return _call(
        "ModelAdminService/GetServerStatus",
        model_admin_pb2.GetServerStatusRequest(),
        model_admin_pb2.GetServerStatusResponse,
        lambda reply: from_message(server_types.ServerStatus, reply.status),
        timeout,
    )


_HEALTH = tuple(types.HealthState)


def health(service: str = "", *, timeout: float | None = None) -> Call[types.HealthState]:
    """The health of the process, or of a service such as "sterna.v1.InferenceService"."""
    # HealthCheckRequest and its response each hold one field, which is that of these wrappers: a
    # client needs no dependency for them.
    return Call(
        "/grpc.health.v1.Health/Check",
        StringValue(value=service),
        Int32Value,
        lambda reply: _HEALTH[reply.value] if reply.value < len(_HEALTH) else _HEALTH[0],
        timeout,
    )
