"""The version of the distribution that this package is part of."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("sterna-server")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"


VERSION = _version()
