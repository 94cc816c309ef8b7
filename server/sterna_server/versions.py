"""Versions of what is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "not installed"


def server_version() -> str:
    """The version of the distribution `sterna-server`."""
    return _version("sterna-server")


def client_version() -> str:
    """The version of the distribution `sterna`."""
    return _version("sterna")


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return NOT_INSTALLED
