"""Kinds of values that several sections use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

DEFAULT_HOME = Path("~/.sterna")

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 takes any free one."""

HomePath = Annotated[Path, AfterValidator(lambda path: path.expanduser())]
"""A path, in which a leading `~` is somebody's home directory."""
