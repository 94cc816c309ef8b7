"""What a call is: the method, what is sent, and what the answer becomes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message as ProtoMessage

from sterna.v1 import inference_pb2

R = TypeVar("R")
Reply = TypeVar("Reply", bound=ProtoMessage)

# How many of anything are asked for at once.
PAGE_SIZE = 1000


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


@dataclass(frozen=True, slots=True)
class PartsCall(Generic[R]):
    """One call whose answer comes in parts, each small enough for a message of gRPC.

    Attributes:
        method: The full method name, "/package.Service/Method".
        request: What is sent.
        reply: The class of each part.
        result: Makes the method's result of all parts.
        timeout: Seconds; None: the client's default for calls that compute for long.
    """

    method: str
    request: ProtoMessage
    reply: type[ProtoMessage]
    result: Callable[[list[Any]], R]
    timeout: float | None = None


# A method that needs several calls yields each, is sent its result, and returns its own.
Plan = Generator[Call[Any], Any, R]


@dataclass(frozen=True, slots=True)
class StreamCall:
    """One generation, streamed."""

    request: inference_pb2.StreamGenerateRequest
    timeout: float | None
    method: str = "/sterna.v1.InferenceService/StreamGenerate"
    reply: type[inference_pb2.StreamGenerateResponse] = inference_pb2.StreamGenerateResponse


def call(
    method: str,
    request: ProtoMessage,
    reply: type[Reply],
    result: Callable[[Reply], R],
    timeout: float | None = None,
    long: bool = False,
) -> Call[R]:
    """A call of sterna.v1; `method` is "Service/Method"."""
    return Call(f"/sterna.v1.{method}", request, reply, result, timeout, long)
