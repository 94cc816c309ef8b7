"""Turns the descriptions of calls into methods, so that both clients share one signature each."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sterna._calls.call import Call, PartsCall, Plan, StreamCall

if TYPE_CHECKING:
    from sterna.async_client import AsyncClient, AsyncGenerationStream
    from sterna.client import Client, GenerationStream

P = ParamSpec("P")
R = TypeVar("R")


def _describe(method: Any, build: Callable[..., Any], returns: str) -> Any:
    """Gives a method the name, documentation and signature of the call that it makes."""
    functools.update_wrapper(method, build)
    signature = inspect.signature(build)
    receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = signature.replace(
        parameters=[receiver, *signature.parameters.values()], return_annotation=returns
    )
    return method


def _result(build: Callable[..., Any]) -> str:
    """The result in an annotation such as "Call[types.Session]"."""
    annotation: str = inspect.signature(build).return_annotation
    return annotation.partition("[")[2].removesuffix("]")


def unary(build: Callable[P, Call[R]]) -> Callable[Concatenate[Client, P], R]:
    """A method of Client that makes one call."""

    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return client._run(build(*args, **kwargs))

    described: Callable[Concatenate[Client, P], R] = _describe(method, build, _result(build))
    return described


def gathered(build: Callable[P, PartsCall[R]]) -> Callable[Concatenate[Client, P], R]:
    """A method of Client that makes one call, and puts the parts of its answer together."""

    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return client._gather(build(*args, **kwargs))

    described: Callable[Concatenate[Client, P], R] = _describe(method, build, _result(build))
    return described


def planned(build: Callable[P, Plan[R]]) -> Callable[Concatenate[Client, P], R]:
    """A method of Client that makes several calls."""

    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = build(*args, **kwargs)
        try:
            call = next(plan)
            while True:
                call = plan.send(client._run(call))
        except StopIteration as stop:
            result: R = stop.value
            return result

    described: Callable[Concatenate[Client, P], R] = _describe(method, build, _result(build))
    return described


def streamed(build: Callable[P, StreamCall]) -> Callable[Concatenate[Client, P], GenerationStream]:
    """A method of Client that starts a stream."""

    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> GenerationStream:
        return client._start(build(*args, **kwargs))

    described: Callable[Concatenate[Client, P], GenerationStream] = _describe(
        method, build, "GenerationStream"
    )
    return described


def async_unary(
    build: Callable[P, Call[R]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """A method of AsyncClient that makes one call."""

    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await client._run(build(*args, **kwargs))

    described: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]] = _describe(
        method, build, _result(build)
    )
    return described


def async_gathered(
    build: Callable[P, PartsCall[R]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """A method of AsyncClient that makes one call, and puts the parts of its answer together."""

    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await client._gather(build(*args, **kwargs))

    described: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]] = _describe(
        method, build, _result(build)
    )
    return described


def async_planned(
    build: Callable[P, Plan[R]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """A method of AsyncClient that makes several calls."""

    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = build(*args, **kwargs)
        try:
            call = next(plan)
            while True:
                call = plan.send(await client._run(call))
        except StopIteration as stop:
            result: R = stop.value
            return result

    described: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]] = _describe(
        method, build, _result(build)
    )
    return described


def async_streamed(
    build: Callable[P, StreamCall],
) -> Callable[Concatenate[AsyncClient, P], AsyncGenerationStream]:
    """A method of AsyncClient that starts a stream."""

    def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerationStream:
        return client._start(build(*args, **kwargs))

    described: Callable[Concatenate[AsyncClient, P], AsyncGenerationStream] = _describe(
        method, build, "AsyncGenerationStream"
    )
    return described
