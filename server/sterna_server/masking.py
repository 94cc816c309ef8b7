"""Which settings must not be shown, and how their values are shown instead."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import SecretStr

MASK = "********"
# The password of `scheme://user:password@host`. It may have a slash, but what looks like a port
# before one is none.
_PASSWORD = re.compile(r"(?<=://)([^/:@\s]*):(?:[^/@\s]+|(?!\d+/)[^@\s]+)@")
# libpq takes it as a parameter, too.
_PARAMETER = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&\s]+")


def is_secret(annotation: Any) -> bool:
    """Whether a setting of this type is a secret as a whole: `SecretStr`, or that or None."""
    return annotation is SecretStr or SecretStr in get_args(annotation)


def masked(value: Any) -> Any:
    """`value` without what only its owner should see: secrets, and passwords in addresses."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, str):
        return _PARAMETER.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", value))
    if isinstance(value, dict):
        return {key: masked(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(each) for each in value]
    return value
