"""The limits of a listener: its own, then those of all, then what its address suggests."""

from __future__ import annotations

from dataclasses import asdict

from sterna_rest.options import ListenerLimits
from sterna_server.exposure import is_loopback
from sterna_server.sections.listener import Listener
from sterna_server.settings import Settings
from sterna_service.access.limits import Limits

_OPEN = Limits(requests=0, tokens=0, concurrent=0, streams=0, upload=0)
# Where others come from: those that LlamaRunner has, whose clients should notice no difference.
_GUARDED = Limits(requests=100, tokens=0, concurrent=10, streams=5, upload=100 * 1024 * 1024)


def grpc_limits(settings: Settings) -> Limits:
    """Of the gRPC port."""
    return _general(settings).over(_suggested(settings.grpc_host))


def rest_limits(settings: Settings, listener: Listener) -> ListenerLimits:
    """Of a REST listener."""
    own = Limits(
        requests=listener.requests,
        tokens=listener.tokens,
        concurrent=listener.concurrent,
        streams=listener.streams,
        upload=listener.upload,
    )
    limits = own.over(_general(settings)).over(_suggested(listener.host))
    return ListenerLimits(**{name: value or 0 for name, value in asdict(limits).items()})


def _general(settings: Settings) -> Limits:
    return Limits(
        requests=settings.limit_requests,
        tokens=settings.limit_tokens,
        concurrent=settings.limit_concurrent,
        streams=settings.limit_streams,
        upload=settings.limit_upload,
    )


def _suggested(host: str) -> Limits:
    return _OPEN if is_loopback(host) else _GUARDED
