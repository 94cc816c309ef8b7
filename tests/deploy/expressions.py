"""What expressions of Prometheus ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from tests.support.dashboard import graphs

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True)
class Selection:
    """A metric, and the labels that are asked of it."""

    metric: str
    labels: frozenset[str]


def dashboard_expressions() -> list[str]:
    """Those of the panels, with Grafana's own variables filled in."""
    return [expression for graph in graphs() for expression, _ in graph.queries]


def alerts() -> list[dict[str, Any]]:
    """The alerting rules."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selections(expression: str) -> list[Selection]:
    """What an expression selects. Raises `ValueError` when it is none."""
    return list(_selected(promql_parser.parse(expression), frozenset()))


def _selected(node: Any, grouped: frozenset[str]) -> Iterator[Selection]:
    if isinstance(node, promql_parser.VectorSelector):
        labels = {matcher.name for matcher in node.matchers.matchers}
        yield Selection(node.name or "", frozenset(labels) | grouped)
        return
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        grouped = grouped | frozenset(node.modifier.labels)
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from _selected(child, grouped)
    for child in getattr(node, "args", None) or ():
        yield from _selected(child, grouped)
