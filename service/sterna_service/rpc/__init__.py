"""The services of `sterna.v1` over gRPC. No other package imports grpc, except `app`."""
