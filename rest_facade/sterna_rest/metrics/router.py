"""`/metrics`: what this process has measured."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client.exposition import choose_encoder

from sterna_rest.access.admission import require_scope
from sterna_rest.http.metrics import HttpMetrics

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """Prometheus' text, or OpenMetrics for those who ask for it; 404 where it is switched off."""
    require_scope(request, "metrics", "admin")
    metrics: HttpMetrics | None = request.app.state.sterna_shown_metrics
    if metrics is None:
        raise HTTPException(404)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(metrics.registry), headers={"content-type": content_type})
