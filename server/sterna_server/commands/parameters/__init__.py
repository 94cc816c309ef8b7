"""Parameters that several commands share: one file for each section of the settings.

None means "not given": the defaults are in `Settings`.
"""

from sterna_server.commands.parameters import (
    access,
    configuration,
    embeddings,
    engine,
    limits,
    listeners,
    models,
    requests,
    speech,
    telemetry,
    tls,
)

__all__ = [
    "access",
    "configuration",
    "embeddings",
    "engine",
    "limits",
    "listeners",
    "models",
    "requests",
    "speech",
    "telemetry",
    "tls",
]
