"""AccessService: requests that reached somebody else first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from google.protobuf import duration_pb2
from grpc.aio import ServicerContext

from sterna.v1 import access_pb2, access_pb2_grpc
from sterna_service.access.counters import Allowance
from sterna_service.access.limits import Limits
from sterna_service.rpc.calls import current_call
from sterna_service.rpc.gate import Gate

Context = ServicerContext[Any, Any]


class AccessServicer(access_pb2_grpc.AccessServiceServicer):
    """Admissions. The gate has judged the call itself before it arrives here."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def Admit(
        self, request: access_pb2.AdmitRequest, context: Context
    ) -> AsyncGenerator[access_pb2.AdmitResponse]:
        key = current_call().caller.key
        response = access_pb2.AdmitResponse(keys_required=self._gate.keys_required)
        if key is not None:
            response.key_id = key.key_id
            response.scopes.extend(sorted(key.scopes))
        if not self._gate.trusts(context):
            yield response
            return
        visit = await self._gate.visit(key, request)
        if visit is not None:
            response.limits.CopyFrom(_limits_message(visit.limits))
            if visit.requests is not None:
                response.requests.CopyFrom(_allowance_message(visit.requests))
            if visit.tokens is not None:
                response.tokens.CopyFrom(_allowance_message(visit.tokens))
        response.admission_id = self._gate.open(key, visit)
        try:
            yield response
            # Until the caller cancels.
            await asyncio.Event().wait()
        finally:
            self._gate.close(response.admission_id)


def _limits_message(limits: Limits) -> access_pb2.Limits:
    return access_pb2.Limits(
        requests_per_minute=limits.requests,
        tokens_per_minute=limits.tokens,
        concurrent_requests=limits.concurrent,
        concurrent_streams=limits.streams,
        upload_bytes=limits.upload,
    )


def _allowance_message(allowance: Allowance) -> access_pb2.Allowance:
    reset = duration_pb2.Duration()
    reset.FromMilliseconds(round(allowance.reset_seconds * 1000))
    return access_pb2.Allowance(limit=allowance.limit, remaining=allowance.remaining, reset=reset)
