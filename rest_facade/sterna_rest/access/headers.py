"""The state of the limits as headers, in the form that OpenAI gives them."""

from __future__ import annotations

from sterna.v1.access_pb2 import AdmitResponse, Allowance

PREFIX = "x-ratelimit-"

EXPOSED_HEADERS = (
    "x-request-id",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(
        f"{PREFIX}{part}-{kind}"
        for kind in ("requests", "tokens")
        for part in ("limit", "remaining", "reset")
    ),
)
"""What scripts of other origins may read of an answer."""


def admission_headers(response: AdmitResponse) -> dict[str, str]:
    """Those of a request that was let in."""
    headers: dict[str, str] = {}
    for kind in ("requests", "tokens"):
        if response.HasField(kind):
            allowance: Allowance = getattr(response, kind)
            seconds = allowance.reset.ToMilliseconds() / 1000
            headers[f"{PREFIX}limit-{kind}"] = str(allowance.limit)
            headers[f"{PREFIX}remaining-{kind}"] = str(allowance.remaining)
            headers[f"{PREFIX}reset-{kind}"] = f"{seconds:.3f}s"
    return headers
