"""Errors: what went wrong, as one exception, one table and one body per family of paths."""

from sterna_rest.errors.api_error import ApiError

__all__ = ["ApiError"]
