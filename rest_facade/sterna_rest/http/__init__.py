"""What every endpoint needs of HTTP: bodies, request ids, streams, departing clients."""
