"""The settings as people read them: the effective ones, and an example of the file."""

from __future__ import annotations

import ast
import inspect
import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sterna_server.masking import MASK, masked
from sterna_server.settings import Resolved, sections

# Variables that are no settings: the names are those that other programs use, too.
SECRET_VARIABLES = ("HF_TOKEN", "SEARCH_API_KEY")
_COMMENT_COLUMN = 48
_WIDTH = 96


def as_toml(resolved: Resolved) -> str:
    """The effective settings as a configuration file; a comment says where each comes from. What
    has a secret in it is masked, and a comment as a whole."""
    lines = [f"# Configuration file: {resolved.path or 'none'}"]
    for section in sections():
        lines += ["", f"# {_title(section)}"]
        for name in section.model_fields:
            value = getattr(resolved.settings, name)
            shown = masked(value)
            # TOML has no value that means "not set".
            line = f"# {name} is not set" if value is None else f"{name} = {toml_value(shown)}"
            if shown not in (value, "", None):
                # As a file this must not pass for the secret.
                line = f"# {line}"
            lines.append(f"{line:<{_COMMENT_COLUMN}} # {resolved.origins[name]}")
    lines += ["", "# Secrets in variables of their own"]
    lines += [
        f"# {name} is {'set' if os.environ.get(name) else 'not set'}" for name in SECRET_VARIABLES
    ]
    return "\n".join(lines)


def as_json(resolved: Resolved) -> str:
    """The effective settings as a JSON object: name to `{"value", "source", "section"}`."""
    entries = {
        name: {
            "value": _plain(masked(getattr(resolved.settings, name))),
            "source": resolved.origins[name],
            "section": _title(section).lower(),
        }
        for section in sections()
        for name in section.model_fields
    }
    secrets = {
        name: {
            "value": MASK if os.environ.get(name) else None,
            "source": name,
            "section": "secrets",
        }
        for name in SECRET_VARIABLES
    }
    return json.dumps(entries | secrets, indent=2, ensure_ascii=False)


def example() -> str:
    """A configuration file with every setting, its meaning and its default, all commented out."""
    lines = [
        "# Sterna's configuration. Every setting, with its default; remove a # to change one.",
        "# The same names are flags (--max-batch) and variables (STERNA_MAX_BATCH), which win.",
    ]
    for section in sections():
        title = _title(section)
        lines += ["", f"# {title}", f"# {'-' * len(title)}"]
        meanings = _meanings(section)
        for name, field in section.model_fields.items():
            lines += [
                "",
                *textwrap.wrap(meanings[name], _WIDTH, initial_indent="# ", subsequent_indent="# "),
            ]
            value = masked(field.get_default(call_default_factory=True))
            lines.append(f"#{name} = {'' if value is None else toml_value(value)}".rstrip())
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A value as TOML spells it."""
    value = _plain(value)
    if isinstance(value, dict):
        inside = ", ".join(f"{_string(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    if isinstance(value, str):
        return _string(value)
    return json.dumps(value)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but for one character that only TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value


def _title(section: type[BaseModel]) -> str:
    return (section.__doc__ or section.__name__).strip().rstrip(".")


def _meanings(section: type[BaseModel]) -> dict[str, str]:
    """What the text below each field says."""
    body = ast.parse(textwrap.dedent(inspect.getsource(section))).body[0]
    assert isinstance(body, ast.ClassDef)
    return dict(_documented(body))


def _documented(body: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(text.value.value).split())
