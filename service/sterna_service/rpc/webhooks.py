"""The RPCs of ModelAdminService about webhooks."""

from __future__ import annotations

from typing import Any

from grpc.aio import ServicerContext

from sterna.v1 import model_admin_pb2
from sterna_service.rpc.from_webhooks import (
    attempt_message,
    attempt_page_start,
    attempt_page_token,
    webhook_message,
    webhook_page_start,
    webhook_page_token,
)
from sterna_service.rpc.pages import size_of_page
from sterna_service.rpc.to_models import event_kinds
from sterna_service.webhooks.webhooks import Webhooks

Context = ServicerContext[Any, Any]


class WebhookMethods:
    """One method for each RPC; a part of the servicer."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(
        self, request: model_admin_pb2.CreateWebhookRequest, context: Context
    ) -> model_admin_pb2.CreateWebhookResponse:
        kinds = event_kinds("event_types", request.event_types)
        record, secret = await self._webhooks.create(request.url, kinds)
        return model_admin_pb2.CreateWebhookResponse(webhook=webhook_message(record), secret=secret)

    async def GetWebhook(
        self, request: model_admin_pb2.GetWebhookRequest, context: Context
    ) -> model_admin_pb2.GetWebhookResponse:
        record = await self._webhooks.get(request.webhook_id)
        return model_admin_pb2.GetWebhookResponse(webhook=webhook_message(record))

    async def ListWebhooks(
        self, request: model_admin_pb2.ListWebhooksRequest, context: Context
    ) -> model_admin_pb2.ListWebhooksResponse:
        size = size_of_page(request.page_size)
        # One more tells whether this is the last page.
        records = await self._webhooks.page(size + 1, webhook_page_start(request.page_token))
        page = records[:size]
        return model_admin_pb2.ListWebhooksResponse(
            webhooks=map(webhook_message, page),
            next_page_token=webhook_page_token(page[-1]) if len(records) > size else "",
        )

    async def DeleteWebhook(
        self, request: model_admin_pb2.DeleteWebhookRequest, context: Context
    ) -> model_admin_pb2.DeleteWebhookResponse:
        await self._webhooks.delete(request.webhook_id)
        return model_admin_pb2.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: model_admin_pb2.RotateWebhookSecretRequest, context: Context
    ) -> model_admin_pb2.RotateWebhookSecretResponse:
        secret = await self._webhooks.rotate(request.webhook_id)
        return model_admin_pb2.RotateWebhookSecretResponse(secret=secret)

    async def ListWebhookDeliveries(
        self, request: model_admin_pb2.ListWebhookDeliveriesRequest, context: Context
    ) -> model_admin_pb2.ListWebhookDeliveriesResponse:
        size = size_of_page(request.page_size)
        start = attempt_page_start(request.page_token)
        records = await self._webhooks.attempts(request.webhook_id, size + 1, start)
        page = records[:size]
        return model_admin_pb2.ListWebhookDeliveriesResponse(
            deliveries=map(attempt_message, page),
            next_page_token=attempt_page_token(page[-1]) if len(records) > size else "",
        )
