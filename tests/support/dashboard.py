"""The dashboard of deploy/, with Grafana's own variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "sterna.json"


@dataclass(frozen=True)
class Graph:
    """A panel: its queries are (expression, legend)."""

    row: str
    title: str
    unit: str
    queries: list[tuple[str, str]]
    place: Mapping[str, int]
    """`x`, `y`, `w` and `h` of 24 columns."""


def graphs(instance: str = ".*", window: str = "5m") -> list[Graph]:
    """The panels in their order, for the instances that a regular expression names.

    `window` is over how long rates are taken, which Grafana chooses by the interval of scrapes.
    """
    found = []
    row = ""
    for panel in json.loads(FILE.read_text())["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        queries = [
            (
                target["expr"].replace("$__rate_interval", window).replace("$instance", instance),
                target["legendFormat"],
            )
            for target in panel["targets"]
        ]
        unit = panel["fieldConfig"]["defaults"]["unit"]
        found.append(Graph(row, panel["title"], unit, queries, panel["gridPos"]))
    return found


def instances() -> str:
    """The selector by which the dashboard finds its instances."""
    [query] = [
        each["query"]
        for each in json.loads(FILE.read_text())["templating"]["list"]
        if each["name"] == "instance"
    ]
    match = re.fullmatch(r"label_values\((.*), instance\)", query)
    assert match is not None, query
    return match[1]


def legend(template: str, labels: Mapping[str, str]) -> str:
    """A legend as Grafana writes it."""
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), template)
