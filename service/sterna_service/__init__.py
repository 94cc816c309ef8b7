"""The gRPC core: a native engine for ternary language models behind `sterna.v1`."""
