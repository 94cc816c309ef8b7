"""`WS /v1/ws`: one conversation on one connection."""
