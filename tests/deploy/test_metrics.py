"""Every metric and label that the dashboard and the alerts name is one that a server has."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from sterna_rest.app import FacadeOptions, create_app
from sterna_server.settings import load_settings
from sterna_server.telemetry import Telemetry
from sterna_service.app import CoreOptions
from sterna_service.speech.options import SpeechOptions
from tests.deploy.expressions import alerts, dashboard_expressions, selections
from tests.support.core import eventually, running_core
from tests.support.facade_server import facade_server
from tests.support.metrics import Scrape, parse, scrape

# What Prometheus adds to everything that it scrapes.
ADDED = {"instance", "job"}


@pytest.fixture
async def page(sterna_home: Path, monkeypatch: pytest.MonkeyPatch) -> Scrape:
    """What a server with speech shows after a few requests, good and bad."""
    monkeypatch.setenv("STERNA_HOME", str(sterna_home))
    telemetry = Telemetry(load_settings({}))
    with telemetry.core() as registry:
        options = CoreOptions(home=sterna_home, port=0, metrics=registry, speech=SpeechOptions())
        async with running_core(options) as core:
            facade = FacadeOptions(core_address=core.core.unix_address, metrics=telemetry.http)
            async with (
                facade_server(create_app(facade)) as url,
                httpx.AsyncClient(base_url=url, timeout=60) as client,
            ):
                body = {"messages": [{"role": "user", "content": "Tell me a story."}]}
                for _ in range(2):
                    answer = await client.post("/v1/chat/completions", json=body)
                    assert answer.status_code == 200, answer.text
                answer = await client.post("/v1/chat/completions", json={**body, "model": "none"})
                assert answer.status_code == 404
                # What a transcription would note; speech itself needs packages that are not
                # always here.
                core.core.metrics.heard("recognition", 2.0, 1.0)

                async def counted() -> bool:
                    # The core counts a call when its answer has left already.
                    return scrape(registry).value("sterna_rpc_errors_total") > 0

                await eventually(counted)
                return parse((await client.get("/metrics")).text)


async def test_names_and_labels_exist(page: Scrape) -> None:
    expressions = dashboard_expressions() + [rule["expr"] for rule in alerts()]
    # Prometheus' own.
    asked = {each for text in expressions for each in selections(text) if each.metric != "up"}
    assert len({each.metric for each in asked}) > 25
    for each in sorted(asked, key=lambda each: each.metric):
        samples = page.samples.get(each.metric)
        assert samples, f"no server has {each.metric}"
        labels = set().union(*(its for its, _ in samples))
        assert each.labels <= labels | ADDED, (each.metric, each.labels - labels)


async def test_every_metric_of_the_server_is_described(page: Scrape) -> None:
    """What is measured is told of in docs/operations.md."""
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for family in sorted(page.families):
        if not family.startswith(("process_", "python_")):
            assert f"`{family}" in text, family
