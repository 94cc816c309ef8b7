"""A server under mixed load that a real Prometheus scrapes, and what the dashboard then shows."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.dashboard import Graph, graphs, instances, legend
from tests.support.hook_server import hook_server
from tests.support.prometheus import Prometheus, Series
from tests.support.server_process import ServerProcess
from tests.support.speech import speech_home
from tests.support.traffic import FLAGS, Traffic, store_models

SPEECH_PACKAGES = ("av", "faster_whisper", "pocket_tts")
# The command as this interpreter runs it: an environment with the extra `voice` may have none.
_PROGRAM = (sys.executable, "-m", "sterna_server.cli")
# Grafana takes rates over at least four intervals.
_INTERVALS = 4


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    begin: float
    end: float
    """Of the time that was looked at, in seconds since 1970."""
    speech: bool
    instances: list[str]
    """What the dashboard offers to choose from."""
    graphs: list[tuple[Graph, list[tuple[str, Series]]]]
    """The panels in their order, each with its lines by legend."""
    rules: dict[str, dict[str, Any]]
    target: dict[str, Any]
    answers: Counter[tuple[str, int]]
    page: str
    """The metrics as they are scraped."""


def monitored_run(directory: Path, seconds: float, interval: int) -> Run:
    """Has a server answer for so long, scraped every `interval` seconds; with speech where the
    packages are there."""
    home = directory / "home"
    store_models(home)
    speech = all(importlib.util.find_spec(name) for name in SPEECH_PACKAGES)
    flags = list(FLAGS)
    if speech:
        speech_home(home)
        flags += ["--voice", "--whisper-model", "digits"]
    window = _INTERVALS * interval
    with (
        hook_server() as hook,
        ServerProcess(
            flags, home=home, program=_PROGRAM, STERNA_WEBHOOK_PRIVATE_TARGETS="1"
        ) as server,
    ):
        # One event in three must be told twice.
        hook.statuses = [204, 204, 503] * 10_000
        address = server.rest_url.removeprefix("http://")
        with Prometheus(address, directory / "prometheus", interval) as prometheus:
            traffic = Traffic(server.rest_url, server.grpc_address, speech=speech)
            begin = time.time()
            asyncio.run(traffic.run(seconds, f"{hook.url}/hook"))
            # What came last is seen, too.
            time.sleep(2 * interval)
            end = time.time()
            shown = [
                (
                    graph,
                    [
                        (legend(text, series.labels), series)
                        for expression, text in graph.queries
                        for series in prometheus.graph(expression, begin, end, interval)
                    ],
                )
                for graph in graphs(window=f"{window}s")
            ]
            return Run(
                begin,
                end,
                speech,
                prometheus.label_values(instances(), "instance"),
                shown,
                prometheus.rules(),
                prometheus.target(),
                traffic.answers,
                httpx.get(f"{server.rest_url}/metrics").raise_for_status().text,
            )
