"""`/v1/webhooks`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from sterna.v1.event_pb2 import Webhook
from sterna.v1.model_admin_pb2 import (
    DeleteWebhookRequest,
    GetWebhookRequest,
    ListWebhookDeliveriesRequest,
    ListWebhooksRequest,
    RotateWebhookSecretRequest,
)
from sterna_rest.core import CoreLink, core_link
from sterna_rest.http.openapi import error_documentation
from sterna_rest.http.strict_json import JsonRoute
from sterna_rest.webhooks.schemas import (
    DELIVERY_EXAMPLE,
    REGISTER_EXAMPLES,
    SECRET,
    WEBHOOK_EXAMPLE,
    DeliveryList,
    RegisterRequest,
    WebhookDeleted,
    WebhookList,
    WebhookObject,
    WebhookSecret,
    WebhookWithSecret,
)
from sterna_rest.webhooks.transcode import (
    delivery_object,
    register_parameter,
    register_request,
    webhook_object,
)

router = APIRouter(tags=["webhooks"], route_class=JsonRoute)

Core = Annotated[CoreLink, Depends(core_link)]
WebhookId = Annotated[str, Path(description="The id of a webhook.")]


def _responses(model: type[BaseModel], example: dict[str, Any], *errors: int) -> dict[Any, Any]:
    return {
        200: {
            "model": model,
            "description": "The answer.",
            "content": {"application/json": {"example": example}},
        },
        **error_documentation(*errors, 500, 503, 504, 507),
    }


@router.post(
    "/v1/webhooks/register",
    operation_id="registerWebhook",
    summary="Have an address told what happens",
    response_model=None,
    responses=_responses(
        WebhookWithSecret, {**WEBHOOK_EXAMPLE, "secret": SECRET}, 400, 413, 415, 422
    ),
)
async def register_webhook(
    request: Request,
    body: Annotated[RegisterRequest, Body(openapi_examples=REGISTER_EXAMPLES)],
    core: Core,
) -> Response:
    """Deliveries are signed as Standard Webhooks says; the secret is shown only here."""
    answer = await core.control(
        request, core.admin.CreateWebhook, register_request(body), register_parameter
    )
    return _json({**webhook_object(answer.webhook), "secret": answer.secret})


@router.get(
    "/v1/webhooks",
    operation_id="listWebhooks",
    summary="List the webhooks",
    response_model=None,
    responses=_responses(WebhookList, {"object": "list", "data": [WEBHOOK_EXAMPLE]}),
)
async def list_webhooks(request: Request, core: Core) -> Response:
    """All of them, oldest first, without their secrets."""
    webhooks: list[Webhook] = []
    token = ""
    while True:
        page = ListWebhooksRequest(page_size=1000, page_token=token)
        answer = await core.control(request, core.admin.ListWebhooks, page)
        webhooks += answer.webhooks
        token = answer.next_page_token
        if not token:
            return _json({"object": "list", "data": [webhook_object(each) for each in webhooks]})


@router.get(
    "/v1/webhooks/{webhook}",
    operation_id="getWebhook",
    summary="Show a webhook",
    response_model=None,
    responses=_responses(WebhookObject, WEBHOOK_EXAMPLE, 404),
)
async def get_webhook(request: Request, webhook: WebhookId, core: Core) -> Response:
    """One webhook, without its secret."""
    message = GetWebhookRequest(webhook_id=webhook)
    answer = await core.control(request, core.admin.GetWebhook, message)
    return _json(webhook_object(answer.webhook))


@router.delete(
    "/v1/webhooks/{webhook}",
    operation_id="deleteWebhook",
    summary="Remove a webhook",
    response_model=None,
    responses=_responses(
        WebhookDeleted, {"id": WEBHOOK_EXAMPLE["id"], "object": "webhook", "deleted": True}, 404
    ),
)
async def delete_webhook(request: Request, webhook: WebhookId, core: Core) -> Response:
    """What it was still owed is dropped."""
    message = DeleteWebhookRequest(webhook_id=webhook)
    await core.control(request, core.admin.DeleteWebhook, message)
    return _json({"id": webhook, "object": "webhook", "deleted": True})


@router.post(
    "/v1/webhooks/{webhook}/rotate",
    operation_id="rotateWebhookSecret",
    summary="Change a webhook's secret",
    response_model=None,
    responses=_responses(
        WebhookSecret,
        {"id": WEBHOOK_EXAMPLE["id"], "object": "webhook.secret", "secret": SECRET},
        404,
    ),
)
async def rotate_webhook(request: Request, webhook: WebhookId, core: Core) -> Response:
    """For 24 hours deliveries carry two signatures, one of each secret."""
    message = RotateWebhookSecretRequest(webhook_id=webhook)
    answer = await core.control(request, core.admin.RotateWebhookSecret, message)
    return _json({"id": webhook, "object": "webhook.secret", "secret": answer.secret})


@router.get(
    "/v1/webhooks/{webhook}/deliveries",
    operation_id="listWebhookDeliveries",
    summary="List the attempts to tell a webhook something",
    response_model=None,
    responses=_responses(
        DeliveryList, {"object": "list", "data": [DELIVERY_EXAMPLE], "next": None}, 400, 404, 422
    ),
)
async def list_deliveries(
    request: Request,
    webhook: WebhookId,
    core: Core,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 50,
    after: Annotated[str, Query(description="`next` of the page before.", max_length=100)] = "",
) -> Response:
    """Latest first."""
    message = ListWebhookDeliveriesRequest(webhook_id=webhook, page_size=limit, page_token=after)
    answer = await core.control(
        request,
        core.admin.ListWebhookDeliveries,
        message,
        lambda field: "after" if field == "page_token" else field,
    )
    return _json(
        {
            "object": "list",
            "data": [delivery_object(each) for each in answer.deliveries],
            "next": answer.next_page_token or None,
        }
    )


def _json(body: dict[str, Any]) -> Response:
    return Response(to_json(body), media_type="application/json")
