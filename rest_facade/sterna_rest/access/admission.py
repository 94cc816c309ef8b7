"""The core's word about a request, for as long as the request lasts."""

from __future__ import annotations

import asyncio
import logging

import grpc
from fastapi.requests import HTTPConnection
from starlette.types import Scope

from sterna.v1.access_pb2 import AdmitRequest, AdmitResponse
from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import internal_error
from sterna_rest.errors.from_core import core_error
from sterna_rest.http.request_context import request_context

_logger = logging.getLogger("sterna.rest")

STATE_KEY = "sterna.admission"


class Admission:
    """A request that was let in. Whoever opens one must close it."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[AdmitRequest, AdmitResponse]) -> None:
        self._call = call
        self.response = AdmitResponse()

    @classmethod
    async def open(
        cls, core: CoreLink, connection: HTTPConnection, request: AdmitRequest
    ) -> Admission:
        """Asks the core. Raises `ApiError` when it refuses, or cannot be asked."""
        context = request_context(connection.scope)
        # The stream is as long as the request, which has deadlines of its own.
        call = core.access.Admit(request, metadata=context.metadata(), timeout=None)
        admission = cls(call)
        try:
            async with asyncio.timeout(core.options.control_timeout_seconds):
                response = await call.read()
        except grpc.aio.AioRpcError as error:
            raise core_error(error) from None
        except TimeoutError:
            call.cancel()
            raise ApiError(
                503,
                "The inference core does not answer; try again in a moment.",
                code="service_unavailable",
            ) from None
        except BaseException:
            call.cancel()
            raise
        if not isinstance(response, AdmitResponse):
            # The end of the stream, without an error.
            raise internal_error()
        admission.response = response
        if not response.admission_id:
            _warn_once(core)
        if core.options.keys and not response.keys_required:
            call.cancel()
            _logger.error("the core does not ask for API keys although this façade is told to")
            raise ApiError(
                503,
                "This server is told to ask for API keys, and its core does not; the operator must "
                "turn keys on in the core, too.",
                code="service_unavailable",
            )
        return admission

    def close(self) -> None:
        """Says that the request has ended."""
        self._call.cancel()


def _warn_once(core: CoreLink) -> None:
    """Says that the core counts this façade, and not its clients."""
    if not core.untrusted:
        core.untrusted = True
        _logger.warning(
            "the core does not trust this façade to tell its clients apart: limits hold for all of "
            "them together; list this façade in the core's trusted_proxies"
        )


def admission_of(scope: Scope) -> Admission | None:
    """The admission of the request that `scope` describes; None where none is needed."""
    found = scope.get(STATE_KEY)
    return found if isinstance(found, Admission) else None


def require_scope(connection: HTTPConnection, scope: str, *others: str) -> None:
    """Refuses a request whose key allows neither `scope` nor one of `others`; for answers that ask
    no core.

    Where keys are off, everything is allowed.
    """
    admission = admission_of(connection.scope)
    if admission is None or not admission.response.keys_required:
        return
    scopes = admission.response.scopes
    if not {scope, *others} & set(scopes):
        raise ApiError(
            403,
            f"This API key does not allow this, which needs the scope {scope}; it has "
            f"{', '.join(scopes)}.",
            code="permission_denied",
        )
