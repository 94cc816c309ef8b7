"""Spans of a trace, whoever records them; without a recorder they cost next to nothing.

What users wrote and what models answered never goes into a span.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from sterna_service.errors import ServiceError

Attribute = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Attribute]


class Span:
    """A stretch of work. This one is of no trace and notes nothing."""

    recording = False
    """Whether anybody will see it; if not, attributes need not be worked out."""
    trace_id = ""
    """32 hexadecimal digits, for the log; empty: none."""

    def child(
        self, name: str, attributes: Attributes | None = None, begin: float | None = None
    ) -> Span:
        """A part of it, which begins now, or at `begin` in seconds since 1970."""
        return self

    def set(self, attributes: Attributes) -> None:
        """Notes what was not known at the beginning."""

    def end(self, at: float | None = None, error: str = "") -> None:
        """Ends it now, or at a time in seconds since 1970. `error` says what kind of failure it
        was; a second call does nothing."""


class Tracing(Protocol):
    """Whoever records spans."""

    def begin(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """The span of a call to `package.Service/Method`, as part of its caller's trace, if the
        metadata of the call tells of one."""
        ...


NO_SPAN = Span()
_current: contextvars.ContextVar[Span] = contextvars.ContextVar("span", default=NO_SPAN)


def current_span() -> Span:
    """The span that the running task works for."""
    return _current.get()


def enter_span(span: Span) -> None:
    """Makes `span` the one that the running task works for from now on."""
    _current.set(span)


@contextlib.contextmanager
def traced(name: str, **attributes: Attribute) -> Iterator[Span]:
    """A part of the current span, and the current one inside. Not for code that yields inside."""
    span = current_span().child(name, attributes)
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        span.end(error=kind_of(error))
        raise
    finally:
        _current.reset(token)
        span.end()


def kind_of(error: BaseException | None) -> str:
    """What a span says of a failure: the protocol's reason, or a type, and never a message."""
    if error is None:
        return ""
    if isinstance(error, ServiceError):
        return error.reason.value
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return "CANCELLED"
    return type(error).__name__
