"""Logs: one line each, readable by people or by programs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from sterna_service.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_is_one_line_with_what_varies_at_its_end() -> None:
    stream = io.StringIO()
    configure_logging("info", "text", stream)
    logging.getLogger("a.b").info("model\nloaded", extra={"model": "org/x", "words": "two words"})
    logging.getLogger("a.b").debug("not shown")
    (line,) = stream.getvalue().splitlines()
    moment, rest = line.split(" ", 1)
    assert datetime.fromisoformat(moment).tzinfo is None
    assert rest == 'INFO a.b model\\nloaded model=org/x words="two words"'


def test_json_is_one_object_per_line() -> None:
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream)
    log = logging.getLogger("a.b")
    log.warning("a %s", "Grüße\n", extra={"seconds": 0.5, "odd": object})
    try:
        raise ValueError("inner")
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("warning", "a.b", "a Grüße\n")
    assert first["seconds"] == 0.5
    assert "object" in first["odd"]
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert "ValueError: inner" in second["exception"]


def test_configuring_again_replaces_and_does_not_double() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("INFO", "text", first)
    configure_logging("INFO", "text", second)
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("loud")
