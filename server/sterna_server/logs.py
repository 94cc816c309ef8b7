"""The logs of a server, from its settings."""

from __future__ import annotations

import logging

from sterna_server.settings import Settings, unknown_variables
from sterna_service.telemetry.logs import configure_logging


def start_logging(settings: Settings) -> None:
    """Sends the process's logs where the settings say, and tells of variables that look wrong."""
    configure_logging(settings.log_level, settings.log_format)
    for line in unknown_variables():
        logging.getLogger(__name__).warning(line)
