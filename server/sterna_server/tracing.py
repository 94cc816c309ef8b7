"""Traces, sent to a collector by OTLP. Nothing of OpenTelemetry is imported while they are off."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from sterna_server.errors import CommandError
from sterna_server.settings import Settings
from sterna_server.versions import server_version

if TYPE_CHECKING:
    from sterna_rest.http.tracing import HttpTracing
    from sterna_service.telemetry.otel import CallTracing

INSTALL_COMMAND = 'pip install "sterna-server[otel]"'
# How long spans that were not sent yet may take when the server stops.
_FLUSH_SECONDS = 5.0


class Traces:
    """Where the spans of this process go, and who records them.

    Raises:
        CommandError: The packages are not installed.
    """

    def __init__(self, endpoint: str, sample_ratio: float) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
        except ImportError as error:
            raise CommandError(
                f"otlp_endpoint needs packages that are not installed ({error.name}); run "
                f"{INSTALL_COMMAND}"
            ) from None
        from sterna_rest.http.tracing import HttpTracing
        from sterna_service.telemetry.otel import CallTracing

        attributes = {SERVICE_VERSION: server_version()}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            attributes[SERVICE_NAME] = "sterna"
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(sample_ratio), resource=Resource.create(attributes)
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https:"))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.http: HttpTracing = HttpTracing(self._provider)
        self.calls: CallTracing = CallTracing(self._provider)

    async def close(self) -> None:
        """Sends what is left, if the collector takes it soon."""
        await asyncio.to_thread(self._provider.force_flush, int(_FLUSH_SECONDS * 1000))
        await asyncio.to_thread(self._provider.shutdown)


def open_traces(settings: Settings) -> Traces | None:
    """The traces that the settings ask for. Raises as `Traces`."""
    if not settings.otlp_endpoint:
        return None
    return Traces(settings.otlp_endpoint, settings.trace_sample_ratio)
