"""Reads metrics as Prometheus does."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    """One page of metrics."""

    samples: dict[str, list[tuple[dict[str, str], float]]]
    families: set[str]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, 0 when there is none."""
        return sum(
            value
            for its, value in self.samples.get(name, [])
            if all(its.get(label) == wanted for label, wanted in labels.items())
        )

    def labels(self, name: str, label: str) -> set[str]:
        """The values that a label has."""
        return {its[label] for its, _ in self.samples.get(name, [])}


def parse(text: str) -> Scrape:
    """Reads a page; fails when it is not well-formed."""
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    families = set()
    for family in text_string_to_metric_families(text):
        families.add(family.name)
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return Scrape(samples, families)


def scrape(registry: CollectorRegistry) -> Scrape:
    """What a registry would show now."""
    return parse(generate_latest(registry).decode())
