"""A REST listener as people write it: `HOST:PORT`, and what is special about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ByteSize, TypeAdapter, ValidationError

_FORM = "should be HOST:PORT, or HOST:PORT,OPTION,…"
_SWITCHES = ("ollama", "plain")
_NUMBERS = ("requests", "tokens", "concurrent", "streams")
_FILES = ("cert", "key", "client_ca")


@dataclass(frozen=True, slots=True)
class Listener:
    """A REST listener."""

    host: str
    port: int
    ollama: bool = False
    """Ollama's API under `/api`."""
    plain: bool = False
    """No TLS, whatever the others have."""
    cert: Path | None = None
    """A certificate of its own."""
    key: Path | None = None
    client_ca: Path | None = None
    requests: int | None = None
    """Limits of its own; None: those of all listeners."""
    tokens: int | None = None
    concurrent: int | None = None
    streams: int | None = None
    upload: int | None = None


def listener(text: str) -> Listener:
    """Reads `HOST:PORT`, `HOST:PORT,ollama` or `HOST:PORT,plain,…`.

    Raises:
        ValueError: It is none of these.
    """
    address, *options = (part.strip() for part in text.split(","))
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) <= 65535):
        raise ValueError(_FORM)
    found = Listener(host.strip("[]"), int(port))
    for option in options:
        found = replace(found, **_option(option))
    return found


def _option(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if name in _SWITCHES and not equals:
        return {name: True}
    if name in _FILES and value:
        return {name: Path(value).expanduser()}
    if name in _NUMBERS and value.isdecimal() and len(value) < 16:
        return {name: int(value)}
    if name == "upload" and value:
        try:
            return {name: int(TypeAdapter(ByteSize).validate_python(value))}
        except ValidationError:
            raise ValueError(f"{text!r} should be a size such as upload=20MiB") from None
    known = ", ".join(
        (
            *_SWITCHES,
            *(f"{each}=FILE" for each in _FILES),
            *(f"{each}=N" for each in _NUMBERS),
            "upload=SIZE",
        )
    )
    raise ValueError(f"{text!r} is no option of a listener; there are {known}")
