"""Every setting of the server, and where its value comes from.

A value is taken from the first of: a flag of the command line, a `STERNA_*` variable, the TOML
file, the default in its section. The file is `--config`, else `STERNA_CONFIG`, else `config.toml`
in the home directory when there is one. The service and the façade know nothing of this module:
they receive plain options of their own (see `composition`).
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from sterna_server.errors import CommandError
from sterna_server.masking import is_secret, masked
from sterna_server.sections.access import AccessSettings
from sterna_server.sections.embeddings import EmbeddingSettings
from sterna_server.sections.engine import EngineSettings
from sterna_server.sections.kinds import DEFAULT_HOME
from sterna_server.sections.limits import LimitSettings
from sterna_server.sections.listeners import ListenerSettings
from sterna_server.sections.models import ModelSettings
from sterna_server.sections.requests import RequestSettings
from sterna_server.sections.speech import SpeechSettings
from sterna_server.sections.state import StateSettings
from sterna_server.sections.telemetry import TelemetrySettings
from sterna_server.sections.tls import TlsSettings

ENV_PREFIX = "STERNA_"
CONFIG_VARIABLE = "STERNA_CONFIG"

# Variables that are read, and are no settings.
_OTHER_VARIABLES = {CONFIG_VARIABLE, "STERNA_KERNELS"}
_JSON_LIST = ("list of strings", '["0.0.0.0:1234"]')
_JSON_NUMBERS = ("list of numbers", "[5, 300]")
_JSON_TABLE = ("object of strings", '{"gpt-*": "sterna/tern-nano"}')


class ConfigurationError(CommandError):
    """A setting cannot be accepted. The message has one line per problem and names the source."""


class Settings(
    TelemetrySettings,
    StateSettings,
    RequestSettings,
    SpeechSettings,
    EngineSettings,
    TlsSettings,
    LimitSettings,
    AccessSettings,
    ListenerSettings,
    EmbeddingSettings,
    ModelSettings,
    BaseSettings,
):
    """The settings of `sterna serve`, `core`, `rest` and `chat`. Times are seconds.

    Each field is the flag `--field-name`, the variable `STERNA_FIELD_NAME` and the key
    `field_name` of the configuration file.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, protected_namespaces=()
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load_settings` merges the sources itself, so that it can name the one at fault.
        return (init_settings,)


def sections() -> list[type[BaseModel]]:
    """The sections, in the order in which people read them."""
    # pydantic collects fields from the last base to the first.
    return [base for base in reversed(Settings.__bases__) if base is not BaseSettings]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The effective settings, and where each value came from."""

    settings: Settings
    origins: Mapping[str, str]
    """`--port`, `STERNA_PORT`, `/etc/sterna/config.toml` or `default`, by field name."""
    path: Path | None
    """The configuration file, when there is one."""


def load_settings(flags: Mapping[str, Any], config: Path | None = None) -> Settings:
    """Merges flags, environment, file and defaults.

    `flags` holds what the command line gave, by field name; None means that a flag was absent.
    `config` is the file that `--config` names.

    Raises:
        ConfigurationError: A value is of the wrong kind or out of range, a key is unknown, or the
            file cannot be read.
    """
    return resolve(flags, config).settings


def resolve(flags: Mapping[str, Any], config: Path | None = None) -> Resolved:
    """As `load_settings`, and says where each value came from."""
    # A flag that may be repeated and was not given is an empty list.
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    environment = _environment()
    path = _config_path(given, environment, config)
    contents = _read_file(path) if path else {}
    origins = {
        **dict.fromkeys(Settings.model_fields, "default"),
        **dict.fromkeys(contents, str(path)),
        **{name: ENV_PREFIX + name.upper() for name in environment},
        **{name: _flag(name) for name in given},
    }
    try:
        settings = Settings(**{**contents, **environment, **given})
    except ValidationError as error:
        lines = (_explain(detail, origins, path) for detail in error.errors())
        raise ConfigurationError("\n".join(lines)) from None
    return Resolved(settings, origins, path)


def unknown_variables() -> list[str]:
    """One line for each variable that looks like a setting and is none, with a suggestion.

    They are no errors: an orchestrator may set variables with this prefix for reasons of its own.
    """
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | _OTHER_VARIABLES
    return [
        f"{name} is not a setting{_suggestion(name, known)}"
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX) and name not in known
    ]


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        # Lists and tables are read as JSON.
        named = re.search(r'field "(\w+)"', str(error))
        name = named[1] if named else ""
        default = Settings.model_fields[name].get_default(call_default_factory=True) if name else []
        kind, example = _JSON_TABLE if isinstance(default, dict) else _JSON_LIST
        if isinstance(default, list) and default and not isinstance(default[0], str):
            kind, example = _JSON_NUMBERS
        raise ConfigurationError(
            f"{ENV_PREFIX}{name.upper()} must be a JSON {kind}, for example {example}"
        ) from None


def _config_path(
    given: Mapping[str, Any], environment: Mapping[str, Any], config: Path | None
) -> Path | None:
    """The file to read: the one that was named, or the one in the home directory if it exists."""
    if config is not None:
        return config
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    home = given.get("home") or environment.get("home") or DEFAULT_HOME
    standard = Path(home).expanduser() / "config.toml"
    return standard if standard.is_file() else None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from None


def _explain(detail: ErrorDetails, origins: Mapping[str, str], path: Path | None) -> str:
    """One line: where the value came from, what it was, and what would be accepted."""
    names = [str(part) for part in detail["loc"]]
    if not names:
        return detail["msg"].removeprefix("Value error, ")
    source = origins.get(names[0], "default")
    if source == str(path):
        source = f"{path}: {'.'.join(names)}"
    if detail["type"] == "extra_forbidden":
        return f"{source} is not a setting{_suggestion(names[0], Settings.model_fields)}"
    problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if is_secret(Settings.model_fields[names[0]].annotation):
        return f"{source}: {problem}"
    return f"{source}: {problem}; got {masked(detail['input'])!r}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/configuration.md lists them all"
