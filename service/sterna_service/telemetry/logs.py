"""One line per thing that happened, as text or as JSON.

Modules log as usual (`logging.getLogger(__name__)`) and put the variable parts into `extra`. What
users wrote and what models answered never goes into a log.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

# What every record has; whatever else it has came from `extra`.
# (uvicorn repeats its messages in colour there).
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}

# Libraries whose ordinary talk is of no use to whoever runs the server.
_QUIET = ("alembic", "asyncio", "grpc", "httpx", "uvicorn")


def configure_logging(
    level: str = "INFO", format: Literal["text", "json"] = "text", stream: TextIO | None = None
) -> None:
    """Sends all logs of the process to one stream (stderr by default), one line each.

    Raises:
        ValueError: There is no such level.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    root.setLevel(level.upper())
    for previous in list(root.handlers):
        root.removeHandler(previous)
    root.addHandler(handler)
    quiet = logging.NOTSET if root.level <= logging.DEBUG else logging.WARNING
    for name in _QUIET:
        logging.getLogger(name).setLevel(quiet)


class TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO sterna_service.app listening address=127.0.0.1:50051`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).isoformat(timespec="milliseconds")
        parts = [moment, record.levelname, record.name, _one_line(record.getMessage())]
        parts += [f"{key}={_shown(value)}" for key, value in _extra(record).items()]
        line = " ".join(parts)
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and what came in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


def _shown(value: object) -> str:
    text = _one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
