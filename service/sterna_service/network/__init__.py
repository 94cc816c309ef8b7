"""Connections to addresses that others named."""
