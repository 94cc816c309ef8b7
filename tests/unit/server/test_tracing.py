"""Traces that cannot be had."""

from __future__ import annotations

import sys

import pytest

from sterna_server.errors import CommandError
from sterna_server.settings import Settings
from sterna_server.tracing import open_traces


def test_nothing_is_opened_without_an_endpoint() -> None:
    assert open_traces(Settings()) is None


def test_missing_packages_are_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # What an import meets when the package is not there.
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(CommandError, match=r'pip install "sterna-server\[otel\]"'):
        open_traces(Settings(otlp_endpoint="http://127.0.0.1:4317"))
