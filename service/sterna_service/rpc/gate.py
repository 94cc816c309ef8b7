"""Lets calls in: who calls, and whether that is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grpc.aio import ServicerContext

from sterna_service.access.keyring import Keyring
from sterna_service.access.keys import ApiKey
from sterna_service.errors import Reason, ServiceError
from sterna_service.rpc.scopes import SCOPES_OF

_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a call."""

    key: ApiKey | None
    """None where keys are off."""


NOBODY = Caller(None)


class Gate:
    """Decides about every call of one server."""

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring

    @property
    def keys_required(self) -> bool:
        """Whether keys are on."""
        return self._keyring is not None

    async def admit(self, method: str, context: ServicerContext[Any, Any]) -> Caller:
        """Who makes this call.

        Raises:
            ServiceError: Nobody that may: UNAUTHENTICATED or PERMISSION_DENIED.
        """
        if self._keyring is None:
            return NOBODY
        needed = SCOPES_OF.get(method, frozenset())
        key = await self._keyring.recognise(credential_of(context))
        if not key.scopes & needed:
            scopes = " or ".join(sorted(needed))
            name = method.rpartition("/")[2]
            raise ServiceError(
                Reason.PERMISSION_DENIED,
                f"this API key does not allow {name}, which needs the scope {scopes}; it has "
                f"{', '.join(sorted(key.scopes))}",
                metadata={"scope": scopes},
            )
        return Caller(key)


def credential_of(context: ServicerContext[Any, Any]) -> str:
    """The API key that a call carries; empty when it has none."""
    fallback = ""
    for name, value in context.invocation_metadata() or ():
        if not isinstance(value, str):
            continue
        if name == "authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip()
        if name == "x-api-key":
            fallback = value.strip()
    return fallback
