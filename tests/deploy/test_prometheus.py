"""A real Prometheus with the rules of deploy/ scrapes a real server under mixed load.

scripts/test_prometheus.sh installs the program and runs them.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.monitored import Run, monitored_run
from tests.support.prometheus import Series
from tests.support.traffic import BROKEN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "STERNA_TEST_PROMETHEUS" not in os.environ, reason="scripts/test_prometheus.sh runs them"
    ),
]

SECONDS, INTERVAL = 30, 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return monitored_run(tmp_path_factory.mktemp("monitored"), SECONDS, INTERVAL)


def test_the_page_is_scraped(run: Run) -> None:
    assert (run.target["health"], run.target["lastError"]) == ("up", "")
    assert len(run.instances) == 1
    assert run.instances[0] in run.target["scrapeUrl"]


def test_the_page_has_no_lint(run: Run) -> None:
    command = ["promtool", "check", "metrics"]
    result = subprocess.run(command, input=run.page, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_every_request_was_answered_as_it_should(run: Run) -> None:
    """Else the graphs show something else than they are to show."""
    # 503: the queue was full.
    wanted = {"unknown": {404}, "malformed": {400}, "range": {422}, "broken": {400, 500}}
    for name, status in run.answers:
        assert status in wanted.get(name, {200, 503}), (name, status)


def test_every_panel_shows_something(run: Run) -> None:
    empty = [
        graph.title
        for graph, lines in run.graphs
        if not any(series.numbers for _, series in lines) and (run.speech or graph.row != "Speech")
    ]
    assert empty == []


def test_legends_tell_lines_apart(run: Run) -> None:
    for graph, lines in run.graphs:
        legends = [text for text, _ in lines]
        assert len(set(legends)) == len(legends), graph.title
        assert all(legends), graph.title


def test_numbers_make_sense(run: Run) -> None:
    for graph, lines in run.graphs:
        for text, series in lines:
            top = 1.0 if graph.unit == "percentunit" else float("inf")
            assert all(0 <= number <= top for number in series.numbers), (graph.title, text)
    kv_blocks = dict(_lines(run, "KV cache"))
    sums = zip(*(series.numbers for series in kv_blocks.values()), strict=True)
    # tests/second has as many while it is loaded.
    totals = {round(sum(each)) for each in sums}
    assert totals <= {256, 512}, totals


def test_what_clients_did_is_seen(run: Run) -> None:
    statuses = {text for text, series in _lines(run, "Answers by status") if max(series.numbers)}
    assert {"200", "400", "404", "422"} <= statuses
    reasons = {text for text, series in _lines(run, "Errors by reason") if max(series.numbers)}
    assert {"CHECKPOINT_INVALID", "MODEL_NOT_FOUND"} <= reasons
    operations = {text for text, _ in _lines(run, "Requests by operation")}
    assert operations == {"chat", "embeddings", "text_completion"}
    [(_, failed), _] = _lines(run, "Failures")
    assert max(failed.numbers) == 0
    batch = dict(_lines(run, "Mean size of a batch"))["sterna/tern-nano"]
    assert 1 <= max(batch.numbers) <= 4
    delivered = dict(_lines(run, "Webhooks"))
    assert max(delivered["delivered"].numbers) > 0
    assert max(delivered["retried"].numbers) > 0


def test_rules_are_evaluated_and_one_alert_fires(run: Run) -> None:
    assert len(run.rules) > 10
    for name, rule in run.rules.items():
        assert rule["health"] == "ok", (name, rule["lastError"])
    # All others wait for minutes before they fire.
    firing = {name: rule for name, rule in run.rules.items() if rule["state"] == "firing"}
    assert list(firing) == ["SternaModelNotLoaded"]
    [alert] = firing["SternaModelNotLoaded"]["alerts"]
    assert alert["labels"]["model"] == BROKEN


def _lines(run: Run, title: str) -> list[tuple[str, Series]]:
    [found] = [lines for graph, lines in run.graphs if graph.title == title]
    assert found, title
    return found
