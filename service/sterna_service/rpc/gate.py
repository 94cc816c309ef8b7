"""Lets calls in: who calls, whether that is allowed, and whether it is too much."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import access_pb2
from sterna_service.access.addresses import (
    Network,
    client_name,
    is_within,
    peer_address,
)
from sterna_service.access.counters import Allowance
from sterna_service.access.keyring import Keyring
from sterna_service.access.keys import ApiKey
from sterna_service.access.limiter import Limiter, Visit
from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.errors import Reason, ServiceError
from sterna_service.rpc.scopes import SCOPES_OF

ADMIT = "/sterna.v1.AccessService/Admit"

_BEARER = "bearer "
_ADMISSION_KEY = "x-sterna-admission"
_FORWARDED_KEY = "x-forwarded-for"

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a call."""

    key: ApiKey | None
    """None where keys are off."""
    visit: Visit | None = None
    """What the call is counted under; None where there are no limits."""
    owns_visit: bool = False
    """The call is the visit; otherwise it belongs to a request that somebody else has counted."""

    @property
    def upload_limit(self) -> int:
        """Bytes that the call may send; 0: as many as any call. Whoever admitted a request has
        looked at what it sent."""
        return (self.visit.limits.upload or 0) if self.visit and self.owns_visit else 0

    def leave(self) -> None:
        """The call has ended."""
        if self.visit is not None and self.owns_visit:
            self.visit.leave()


NOBODY = Caller(None)


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What the gate of one server goes by."""

    limits: Limits = NO_LIMITS
    """Of every client that comes to the TCP listener."""
    trusted: Sequence[Network] = ()
    """Façades and proxies that speak for clients, besides those on the Unix socket."""


class Gate:
    """Decides about every call of one server."""

    def __init__(self, keyring: Keyring | None, limiter: Limiter, options: GateOptions) -> None:
        self._keyring = keyring
        self._limiter = limiter
        self._options = options
        self._admissions: dict[str, tuple[str, Visit | None]] = {}

    @property
    def keys_required(self) -> bool:
        """Whether keys are on."""
        return self._keyring is not None

    async def admit(self, method: str, context: Context) -> Caller:
        """Who makes this call. `Caller.leave` must be called when it ends.

        Raises:
            ServiceError: Nobody that may, or too often: UNAUTHENTICATED, PERMISSION_DENIED,
                RATE_LIMITED or CONCURRENCY_LIMITED.
        """
        metadata = _texts(context)
        key = await self._recognise(method, metadata)
        if method == ADMIT:
            # What it counts is the request of which it tells.
            return Caller(key)
        admission = metadata.get(_ADMISSION_KEY, "")
        if admission and self.trusts(context):
            owner, visit = self._admissions.get(admission, (None, None))
            if owner == _id_of(key):
                return Caller(key, visit)
        limits, client = self._counted(key, metadata, context)
        if not _limits(limits):
            return Caller(key)
        return Caller(key, await self._limiter.enter(client, limits), owns_visit=True)

    def trusts(self, context: Context) -> bool:
        """Whether the caller's word about its clients counts."""
        address = peer_address(context.peer())
        return not address or is_within(address, self._options.trusted)

    async def visit(self, key: ApiKey | None, request: access_pb2.AdmitRequest) -> Visit | None:
        """Counts a request that somebody else got; None where it has no limits.

        Raises:
            ServiceError: RATE_LIMITED or CONCURRENCY_LIMITED.
        """
        limits = _from_message(request.limits)
        client = f"{request.listener}/{client_name(request.client_address)}"
        if key is not None:
            limits, client = key.limits.over(limits), f"key/{key.key_id}"
        if not _limits(limits):
            return None
        return await self._limiter.enter(client, limits, runs=not request.is_connection)

    def open(self, key: ApiKey | None, visit: Visit | None) -> str:
        """The name under which a request's calls come; `close` must be called when it has ended."""
        admission = secrets.token_urlsafe(18)
        self._admissions[admission] = (_id_of(key), visit)
        return admission

    def close(self, admission: str) -> None:
        """Ends what `open` began."""
        _, visit = self._admissions.pop(admission)
        if visit is not None:
            visit.leave()

    async def charge(self, visit: Visit, tokens: int) -> None:
        """Counts what an answer took."""
        await self._limiter.charge(visit, tokens)

    def open_stream(self, visit: Visit) -> None:
        """A streamed answer begins. Raises `ServiceError`: CONCURRENCY_LIMITED."""
        self._limiter.open_stream(visit)

    def close_stream(self, visit: Visit) -> None:
        """It has ended."""
        self._limiter.close_stream(visit)

    async def _recognise(self, method: str, metadata: dict[str, str]) -> ApiKey | None:
        if self._keyring is None:
            return None
        needed = SCOPES_OF.get(method, frozenset())
        key = await self._keyring.recognise(_credential(metadata))
        if not key.scopes & needed:
            scopes = " or ".join(sorted(needed))
            name = method.rpartition("/")[2]
            raise ServiceError(
                Reason.PERMISSION_DENIED,
                f"this API key does not allow {name}, which needs the scope {scopes}; it has "
                f"{', '.join(sorted(key.scopes))}",
                metadata={"scope": scopes},
            )
        return key

    def _counted(
        self, key: ApiKey | None, metadata: dict[str, str], context: Context
    ) -> tuple[Limits, str]:
        """The limits of a call that nobody has counted yet, and whom it is counted under."""
        address = peer_address(context.peer())
        # A Unix socket is this machine's, as loopback is.
        limits = self._options.limits if address else NO_LIMITS
        if key is not None:
            return key.limits.over(limits), f"key/{key.key_id}"
        if address and is_within(address, self._options.trusted):
            address = metadata.get(_FORWARDED_KEY, "").rpartition(",")[2].strip() or address
        return limits, f"grpc/{client_name(address)}"


def allowance_headers(
    requests: Allowance | None, tokens: Allowance | None
) -> tuple[tuple[str, str], ...]:
    """The state of the limits as headers, in the form that OpenAI gives them."""
    headers = []
    for kind, allowance in (("requests", requests), ("tokens", tokens)):
        if allowance is not None:
            headers += [
                (f"x-ratelimit-limit-{kind}", str(allowance.limit)),
                (f"x-ratelimit-remaining-{kind}", str(allowance.remaining)),
                (f"x-ratelimit-reset-{kind}", f"{allowance.reset_seconds:.3f}s"),
            ]
    return tuple(headers)


def _limits(limits: Limits) -> bool:
    return any(limits.to_json().values())


def _from_message(message: access_pb2.Limits) -> Limits:
    def of(name: str) -> int | None:
        return max(0, getattr(message, name)) if message.HasField(name) else None

    return Limits(
        requests=of("requests_per_minute"),
        tokens=of("tokens_per_minute"),
        concurrent=of("concurrent_requests"),
        streams=of("concurrent_streams"),
        upload=of("upload_bytes"),
    )


def _id_of(key: ApiKey | None) -> str:
    return "" if key is None else key.key_id


def _texts(context: Context) -> dict[str, str]:
    return {
        name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)
    }


def _credential(metadata: dict[str, str]) -> str:
    """The API key that a call carries; empty when it has none."""
    authorization = metadata.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return metadata.get("x-api-key", "").strip()
