"""What models may be called, and which model a name means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

# A component of an id is also the name of a directory in the store.
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def is_model_id(text: str) -> bool:
    """Whether this can be the id of a model in the store: `ORG/NAME`, and no way out of it."""
    components = text.split("/")
    return len(components) == 2 and all(
        _COMPONENT.fullmatch(component) is not None for component in components
    )


def is_glob(alias: str) -> bool:
    """Whether an alias stands for many names."""
    return any(character in alias for character in "*?[")


def match_model(
    name: str, ids: Sequence[str], aliases: Mapping[str, str], default: str | None
) -> str | None:
    """The id that a name means, or None.

    In this order: the empty name (the default model), an id, the last component of an id, an alias,
    an alias that is a glob. When two ids end alike, the default model goes before the others, and
    then the order of `ids` decides; of several globs the longest decides, so that `*` comes last.
    """
    if not name:
        return default
    found = _match_id(name, ids, default)
    if found is not None:
        return found
    if name in aliases:
        return _match_id(aliases[name], ids, default)
    globs = sorted(filter(is_glob, aliases), key=len, reverse=True)
    for glob in globs:
        if fnmatchcase(name, glob):
            return _match_id(aliases[glob], ids, default)
    return None


def aliases_of(model_id: str, ids: Sequence[str], aliases: Mapping[str, str]) -> list[str]:
    """The aliases that lead to a model, sorted."""
    return sorted(
        alias for alias, target in aliases.items() if _match_id(target, ids, None) == model_id
    )


def _match_id(name: str, ids: Sequence[str], default: str | None) -> str | None:
    if name in ids:
        return name
    ending = [id for id in ids if id.rpartition("/")[2] == name]
    if default in ending:
        return default
    return ending[0] if ending else None
