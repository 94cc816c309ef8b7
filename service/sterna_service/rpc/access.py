"""AccessService: requests that reached somebody else first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import access_pb2, access_pb2_grpc
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
        yield response
        # Until the caller cancels.
        await asyncio.Event().wait()
