"""Webhooks, from registration to delivery, over real gRPC and real HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import openai
import pytest
from google.protobuf import duration_pb2

from sterna.v1 import event_pb2, model_admin_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, CoreClient, chat, eventually, refusal, running_core
from tests.support.hook_server import QUICK, HookServer, Told, hook_server
from tests.support.metrics import scrape

STARTED = event_pb2.EVENT_TYPE_MODEL_STARTED
STOPPED = event_pb2.EVENT_TYPE_MODEL_STOPPED
MODEL = "sterna/tern-nano"


@pytest.fixture
def target() -> Iterator[HookServer]:
    with hook_server() as server:
        yield server


@pytest.fixture
def home(sterna_home: Path, tmp_path: Path) -> Path:
    """A home with a database of its own and the packed models of all."""
    bundles = sterna_home / "bundles"
    bundles.mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(bundles)
    return tmp_path


@pytest.fixture
def options(home: Path, database_url: str) -> CoreOptions:
    return CoreOptions(home=home, port=0, webhooks=QUICK, database_url=database_url)


@pytest.fixture
async def core(options: CoreOptions) -> AsyncIterator[CoreClient]:
    async with running_core(options) as client:
        yield client


async def counted(core: CoreClient, **outcomes: int) -> bool:
    """Whether the metrics say so of the attempts of this server."""
    page, name = scrape(core.core.metrics.registry), "sterna_webhook_attempts_total"
    return all(page.value(name, outcome=each) == count for each, count in outcomes.items())


async def create(core: CoreClient, url: str, *types: int) -> model_admin_pb2.CreateWebhookResponse:
    request = model_admin_pb2.CreateWebhookRequest(
        url=url, event_types=cast(Any, types or (STARTED,))
    )
    return await core.admin.CreateWebhook(request, timeout=PATIENCE)


async def get(core: CoreClient, webhook_id: str) -> event_pb2.Webhook:
    request = model_admin_pb2.GetWebhookRequest(webhook_id=webhook_id)
    return (await core.admin.GetWebhook(request, timeout=PATIENCE)).webhook


async def attempts(core: CoreClient, webhook_id: str) -> list[event_pb2.WebhookDelivery]:
    """All of them, oldest first, taken in pages of two."""
    found: list[event_pb2.WebhookDelivery] = []
    token = ""
    while True:
        request = model_admin_pb2.ListWebhookDeliveriesRequest(
            webhook_id=webhook_id, page_size=2, page_token=token
        )
        answer = await core.admin.ListWebhookDeliveries(request, timeout=PATIENCE)
        found += answer.deliveries
        token = answer.next_page_token
        if not token:
            return found[::-1]


async def restart_model(core: CoreClient) -> None:
    """Makes two events: the model stops and starts."""
    unload = model_admin_pb2.UnloadModelRequest(
        model_id=MODEL, drain_timeout=duration_pb2.Duration()
    )
    await core.admin.UnloadModel(unload, timeout=PATIENCE)
    await core.admin.LoadModel(model_admin_pb2.LoadModelRequest(model_id=MODEL), timeout=PATIENCE)


async def told(target: HookServer, count: int) -> list[Told]:
    return await asyncio.to_thread(target.wait, count)


async def test_a_webhook_is_told_what_it_asked_for(core: CoreClient, target: HookServer) -> None:
    made = await create(core, f"{target.url}/hook", STARTED, STOPPED)
    await create(core, f"{target.url}/other", event_pb2.EVENT_TYPE_MODEL_DELETED)
    await restart_model(core)
    first, second = sorted(
        (each.json for each in await told(target, 2)), key=lambda body: body["event"], reverse=True
    )
    port = int(core.core.address.rpartition(":")[2])
    assert first == {
        "event": "model.stopped",
        "type": "model.stopped",
        "timestamp": first["timestamp"],
        "data": {"model_id": MODEL, "port": port, "message": "it was unloaded"},
    }
    assert len(first["timestamp"]) == len("2025-01-06T10:30:00Z")
    assert (second["event"], second["data"]) == ("model.started", {"model_id": MODEL, "port": port})

    async def all_arrived() -> bool:
        return len(await attempts(core, made.webhook.webhook_id)) == 2

    await eventually(all_arrived)
    tried = await attempts(core, made.webhook.webhook_id)
    assert {(each.http_status, each.message, each.attempt_count) for each in tried} == {
        (204, "", 1)
    }
    assert {each.delivery_id for each in tried} == {each.delivery_id for each in target.told}
    assert {each.path for each in target.told} == {"/hook"}
    kept = await get(core, made.webhook.webhook_id)
    assert kept.HasField("last_success_time")
    assert not kept.HasField("last_failure_time")


async def test_openais_client_verifies_a_delivery(core: CoreClient, target: HookServer) -> None:
    made = await create(core, target.url)
    await restart_model(core)
    (delivery,) = await told(target, 1)
    client = openai.OpenAI(api_key="unused", webhook_secret=made.secret)
    event = client.webhooks.unwrap(delivery.body, delivery.headers)
    assert str(event.type) == "model.started"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(delivery.body.replace("nano", "mini"), delivery.headers)
    stranger = openai.OpenAI(api_key="unused", webhook_secret="whsec_" + "A" * 43 + "=")
    with pytest.raises(openai.InvalidWebhookSignatureError):
        stranger.webhooks.unwrap(delivery.body, delivery.headers)


async def test_both_secrets_sign_while_they_are_changed(
    core: CoreClient, target: HookServer
) -> None:
    made = await create(core, target.url)
    request = model_admin_pb2.RotateWebhookSecretRequest(webhook_id=made.webhook.webhook_id)
    new = (await core.admin.RotateWebhookSecret(request, timeout=PATIENCE)).secret
    assert new.startswith("whsec_")
    assert new != made.secret
    await restart_model(core)
    (delivery,) = await told(target, 1)
    assert len(delivery.headers["webhook-signature"].split()) == 2
    for secret in (new, made.secret):
        client = openai.OpenAI(api_key="unused", webhook_secret=secret)
        client.webhooks.unwrap(delivery.body, delivery.headers)


async def test_what_fails_is_sent_again_under_the_same_id(
    core: CoreClient, target: HookServer
) -> None:
    target.statuses = [500, 302, 200]
    target.headers = {"Location": f"{target.url}/elsewhere"}
    made = await create(core, f"{target.url}/hook")
    await restart_model(core)
    deliveries = await told(target, 3)
    assert len({each.delivery_id for each in deliveries}) == 1
    assert len({each.body for each in deliveries}) == 1
    assert {each.path for each in deliveries} == {"/hook"}

    async def all_noted() -> bool:
        return len(await attempts(core, made.webhook.webhook_id)) == 3

    await eventually(all_noted)
    tried = await attempts(core, made.webhook.webhook_id)
    assert [(each.attempt_count, each.http_status) for each in tried] == [
        (1, 500),
        (2, 302),
        (3, 200),
    ]
    assert "500" in tried[0].message
    assert "redirects are not followed" in tried[1].message
    assert tried[0].HasField("next_attempt_time")
    assert not tried[2].HasField("next_attempt_time")
    await eventually(lambda: counted(core, delivered=1, retried=2, given_up=0))


async def test_a_target_that_is_gone_is_told_no_more(core: CoreClient, target: HookServer) -> None:
    target.statuses = [410]
    made = await create(core, target.url)
    await restart_model(core)

    async def is_disabled() -> bool:
        return (await get(core, made.webhook.webhook_id)).disabled

    await eventually(is_disabled)
    await restart_model(core)
    (only,) = await attempts(core, made.webhook.webhook_id)
    assert only.http_status == 410
    assert "disabled" in only.message
    assert len(target.told) == 1


async def test_a_target_that_never_answers_well_is_given_up(
    core: CoreClient, target: HookServer
) -> None:
    target.statuses = [503]
    made = await create(core, target.url)
    await restart_model(core)

    async def is_disabled() -> bool:
        return (await get(core, made.webhook.webhook_id)).disabled

    await eventually(is_disabled)
    tried = await attempts(core, made.webhook.webhook_id)
    assert [each.attempt_count for each in tried] == [1, 2, 3, 4]
    assert "last attempt" in tried[-1].message
    await eventually(lambda: counted(core, delivered=0, retried=3, given_up=1))


async def test_what_was_not_delivered_is_after_a_restart(
    options: CoreOptions, target: HookServer
) -> None:
    target.statuses = [500]
    slow = replace(options, webhooks=replace(QUICK, retry_delays=(2.0,) * 20))
    async with running_core(slow) as core:
        await create(core, f"{target.url}/hook")
        await restart_model(core)
        await told(target, 1)
    target.statuses = [204]
    owed = {each.delivery_id for each in target.told}

    async def told_of_both() -> bool:
        accepted = {each.delivery_id for each in target.told if each.status == 204}
        return owed < accepted

    async with running_core(options):
        # What was owed, and what tells of the start of the second server.
        await eventually(told_of_both)


@pytest.mark.parametrize("behaviour", ["slow", "endless header", "garbage"])
async def test_hostile_targets_hold_up_nobody(
    options: CoreOptions, target: HookServer, behaviour: str
) -> None:
    quick = replace(options, webhooks=replace(QUICK, timeout_seconds=0.5, retry_delays=(0.01,)))
    with hook_server() as good:
        async with running_core(quick) as core:
            target.hold = threading.Event()
            if behaviour == "endless header":
                target.garbage = b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 65536
            elif behaviour == "garbage":
                target.garbage = b"\x00\xff" * 32768
            path = "/slow" if behaviour == "slow" else "/"
            bad = await create(core, f"{target.url}{path}")
            await create(core, good.url)
            await restart_model(core)
            await told(good, 1)
            await core.generate(chat("What is the capital of France?"))

            async def is_disabled() -> bool:
                return (await get(core, bad.webhook.webhook_id)).disabled

            await eventually(is_disabled)
            for each in await attempts(core, bad.webhook.webhook_id):
                assert each.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "http:///path",
        "https://user:password@example.com/",
        "https://example.com/with space",
        "https://exämple.com/",
        "http://[::1",
        "http://example.com:99999/",
    ],
)
async def test_addresses_that_are_none(core: CoreClient, url: str) -> None:
    refused = await refusal(create(core, url))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["url"])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "100.64.0.1",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
    ],
)
async def test_private_addresses_are_refused(home: Path, host: str) -> None:
    options = CoreOptions(home=home, port=0, preload=False)
    async with running_core(options) as core:
        refused = await refusal(create(core, f"http://{host}/hook"))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["url"])
    assert "webhook_private_targets" in refused.message


async def test_a_name_that_becomes_private_is_not_connected_to(
    options: CoreOptions, target: HookServer
) -> None:
    """The address counts that the connection is made to, not the one at registration."""
    async with running_core(options) as core:
        made = await create(core, target.url)
    strict = replace(
        options, webhooks=replace(QUICK, private_targets=False, retry_delays=()), preload=False
    )
    async with running_core(strict) as core:
        await core.admin.LoadModel(
            model_admin_pb2.LoadModelRequest(model_id=MODEL), timeout=PATIENCE
        )

        async def was_tried() -> bool:
            return len(await attempts(core, made.webhook.webhook_id)) == 1

        await eventually(was_tried)
        (only,) = await attempts(core, made.webhook.webhook_id)
    assert "not a public address" in only.message
    assert target.told == []


async def test_events_must_be_some(core: CoreClient) -> None:
    request = model_admin_pb2.CreateWebhookRequest(url="https://example.com/")
    refused = await refusal(core.admin.CreateWebhook(request, timeout=PATIENCE))
    assert refused.fields == ["event_types"]
    refused = await refusal(create(core, "https://example.com/", 99))
    assert refused.fields == ["event_types[0]"]


async def test_lists_and_the_end(core: CoreClient, target: HookServer) -> None:
    ids = [(await create(core, f"{target.url}/{i}")).webhook.webhook_id for i in range(5)]
    found: list[str] = []
    token = ""
    for _ in range(3):
        request = model_admin_pb2.ListWebhooksRequest(page_size=2, page_token=token)
        answer = await core.admin.ListWebhooks(request, timeout=PATIENCE)
        found += [each.webhook_id for each in answer.webhooks]
        token = answer.next_page_token
    assert (found, token) == (ids, "")
    gone = model_admin_pb2.DeleteWebhookRequest(webhook_id=ids[0])
    await core.admin.DeleteWebhook(gone, timeout=PATIENCE)
    for call in (
        core.admin.DeleteWebhook(gone, timeout=PATIENCE),
        get(core, ids[0]),
        get(core, "wh_unknown"),
        attempts(core, ids[0]),
        core.admin.RotateWebhookSecret(
            model_admin_pb2.RotateWebhookSecretRequest(webhook_id=ids[0]), timeout=PATIENCE
        ),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "WEBHOOK_NOT_FOUND")
    refused = await refusal(get(core, ""))
    assert refused.fields == ["webhook_id"]
    bad = model_admin_pb2.ListWebhooksRequest(page_token="%%%")
    refused = await refusal(core.admin.ListWebhooks(bad, timeout=PATIENCE))
    assert refused.fields == ["page_token"]
