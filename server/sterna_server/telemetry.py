"""What a process measures, and where it shows it.

Core and façade of one process share a registry, so that one page has both. Processes on their own
have a page each.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    make_asgi_app,
)

from sterna_rest.http.metrics import HttpMetrics
from sterna_server import ports
from sterna_server.rest_listener import RestListener
from sterna_server.sections.listener import listener
from sterna_server.settings import Settings
from sterna_server.tracing import open_traces

_log = logging.getLogger(__name__)


class Telemetry:
    """The measurements and the traces of one process.

    Raises:
        CommandError: The packages that traces need are not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self.traces = open_traces(settings)
        # When each series began is of no use to Prometheus, and would double their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.http = HttpMetrics(self.registry)

    @contextlib.contextmanager
    def core(self) -> Iterator[CollectorRegistry]:
        """A registry for one core, which is part of this one while inside."""
        part = CollectorRegistry()
        self.registry.register(part)
        try:
            yield part
        finally:
            self.registry.unregister(part)

    async def close(self) -> None:
        """Sends the spans that are left."""
        if self.traces is not None:
            await self.traces.close()


@contextlib.asynccontextmanager
async def metrics_listener(settings: Settings, telemetry: Telemetry) -> AsyncIterator[None]:
    """Shows the measurements at `metrics_listen` while inside; nothing without that setting.

    Raises:
        PortError: The address cannot be listened on.
    """
    if not settings.metrics_listen:
        yield
        return
    address = listener(settings.metrics_listen)
    host, port = address.host, address.port
    with contextlib.closing(ports.listen(host, port, flag="--metrics-listen")) as socket:
        page = RestListener(make_asgi_app(telemetry.registry), socket, linger=1.0, lifespan=False)
        await page.start()
        _log.info("metrics", extra={"address": page.address})
        try:
            yield
        finally:
            await page.stop()
