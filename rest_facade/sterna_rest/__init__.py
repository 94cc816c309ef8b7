"""The stateless HTTP façade of Sterna: JSON and SSE on one side, gRPC on the other.

One folder per family of endpoints. Each has a `router` (thin), `schemas` (what is accepted and
returned) and `transcode` (pure functions between JSON and the protocol).
"""
