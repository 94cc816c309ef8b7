"""Every setting of the server, and where its value comes from.

A value is taken from the first of: a flag of the command line, a `STERNA_*` variable, the TOML
file, the default below. The file is `--config`, else `STERNA_CONFIG`, else `config.toml` in the
home directory when there is one. The service and the façade know nothing of this module: they
receive plain options of their own (see `composition`).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from sterna_server.errors import CommandError

ENV_PREFIX = "STERNA_"
CONFIG_VARIABLE = "STERNA_CONFIG"
DEFAULT_HOME = Path("~/.sterna")

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
KvCacheDtype = Literal["f32", "bf16", "int8"]
Speculation = Literal["auto", "off"]
Port = Annotated[int, Field(ge=0, le=65535)]


class ConfigurationError(CommandError):
    """A setting cannot be accepted. The message has one line per problem and names the source."""


class Settings(BaseSettings):
    """The settings of `sterna serve`, `core`, `rest` and `chat`. Times are seconds.

    Each field is the flag `--field-name`, the variable `STERNA_FIELD_NAME` and the key
    `field_name` of the configuration file.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, protected_namespaces=()
    )

    model: str = ""
    """A checkpoint directory, or an id in the store (`ORG/NAME`); empty: the embedded model."""
    home: Path = DEFAULT_HOME
    """Where models and packed bundles live."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Further names for models, alias to id; an alias may be a glob (`gpt-*`, `*`)."""

    harness: Literal["default", "search"] = "default"
    """What chats go through that name no harness."""
    search_provider: Literal["ddgs", "brave"] = "ddgs"
    """Where the search harness searches; `brave` needs the variable SEARCH_API_KEY."""
    search_endpoint: str = ""
    """Brave's address, where it is not the public one."""
    search_private_pages: bool = False
    """Whether pages of private networks are read, too."""
    hub_endpoint: str = ""
    """Where models are pulled from; empty: HF_ENDPOINT, or the public hub."""
    autoload: bool = True
    """Whether a request for a model of the store loads it."""
    keep_alive: float = Field(default=-1.0, ge=-1, le=3650 * 86400)
    """How long a model stays loaded without a request; negative: for good."""
    model_memory: ByteSize = Field(default=ByteSize(0), ge=0)
    """What the loaded models may take together, for example `16GiB`; 0: four fifths of what there
    is."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address of the REST listener."""
    port: Port = 8000
    """The port of the REST listener; 0 takes any free one."""
    listen: list[str] = Field(default_factory=list)
    """Further REST listeners: `HOST:PORT`, or `HOST:PORT,ollama` for one that speaks Ollama's API
    under `/api`."""
    grpc_host: str = Field(default="127.0.0.1", min_length=1)
    """The address of the gRPC listener."""
    grpc_port: Port = 50051
    """The port of the gRPC listener; 0 takes any free one."""
    unix_path: Path | None = None
    """A Unix socket for gRPC beside the TCP listener; None: a private one between the two parts."""
    core: str = ""
    """A running core that `sterna rest`, `chat` and `models` use: `host:port` or `unix:/path`."""

    threads: int = Field(default=0, ge=0, le=1024)
    """Engine threads; 0 takes what the process may use."""
    max_batch: int = Field(default=16, ge=1, le=1024)
    """Sequences that run at the same time."""
    max_queue: int = Field(default=64, ge=0, le=1_000_000)
    """Requests that wait for a place in the batch; one more is refused."""
    max_batch_tokens: int = Field(default=256, ge=1, le=65536)
    """Prompt tokens computed in one step of the engine."""
    kv_cache_tokens: int = Field(default=0, ge=0, le=2**31 - 1)
    """Capacity of the KV cache in tokens; 0 lets the engine choose."""
    kv_cache_dtype: KvCacheDtype = "bf16"
    """How the KV cache holds its numbers."""
    prefix_cache: bool = True
    """Whether prompts that begin alike share what was computed."""
    attention_tiles: bool = True
    """Whether rows of a prompt share passes over the KV cache, and threads share long rows."""
    speculation: Speculation = "auto"
    """Whether tokens are guessed ahead and verified together: `auto` where it pays, or `off`."""
    max_draft_tokens: int = Field(default=8, ge=1, le=64)
    """Tokens guessed ahead of one sequence."""
    exact_head_screening: bool = True
    """Whether tokens are chosen from half of the bytes of a large output head."""
    sparsity: bool = True
    """Whether weights that the zeros of a ReLU² model make superfluous are skipped."""

    voice: bool = False
    """Whether speech is recognised and made; needs the extra `voice` and `sterna pull --voice`."""
    voice_preload: bool = False
    """Start the speech workers with the server, and not with the first request."""
    voice_queue: int = Field(default=8, ge=0, le=1000)
    """Requests that wait for a speech worker; one more is refused."""
    voice_consent: bool = False
    """Whether a voice may only be made with the speaker's consent attested."""
    voices_dir: Path | None = None
    """Where voices that were made live; None: `voices` in the home directory."""
    whisper_model: str = Field(default="base.en", min_length=1)
    """The recognition model: a Whisper size (`base.en`), or a directory in CTranslate2's format."""
    whisper_compute_type: Literal["int8", "int8_float32", "float32"] = "int8"
    """The recogniser's arithmetic."""
    whisper_threads: int = Field(default=0, ge=0, le=1024)
    """The recogniser's threads; 0 takes up to four, and leaves one processor to the others."""
    tts_model: str = Field(default="english", min_length=1)
    """The synthesis model: a name such as `english`, or a directory with a bundle."""
    max_audio_bytes: ByteSize = Field(default=ByteSize(100 * 1024 * 1024), ge=1024)
    """The largest recording that is taken, as it is uploaded."""
    max_audio_seconds: float = Field(default=1800.0, gt=0, le=86400)
    """The longest recording that is taken, decoded."""

    session_ttl: float = Field(default=30 * 86400.0, ge=1, le=3650 * 86400)
    """How many seconds a stored conversation is kept without use."""

    request_timeout: float = Field(default=600.0, gt=0, le=86400)
    """The longest one generation may take."""
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest JSON body that REST accepts."""
    grace: float = Field(default=30.0, ge=0, le=3600)
    """How long running streams may take to finish when the server is told to stop."""

    log_level: LogLevel = "info"
    """The least severe message that is logged."""
    log_format: LogFormat = "text"
    """`text` for people, `json` for log collectors."""

    @field_validator("home", "unix_path", "voices_dir", mode="after")
    @classmethod
    def _expand_home(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser()

    @field_validator("listen", mode="after")
    @classmethod
    def _check_listen(cls, value: list[str]) -> list[str]:
        for each in value:
            listener(each)
        return value

    @field_validator("core", mode="after")
    @classmethod
    def _check_core(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        is_unix = value.startswith("unix:") and len(value) > len("unix:")
        if value and not is_unix and ("://" in value or not (host and colon and port.isdigit())):
            raise ValueError("should be HOST:PORT or unix:/PATH, the address of a gRPC core")
        return value

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


class Listener(NamedTuple):
    """A further REST listener."""

    host: str
    port: int
    ollama: bool


def listener(text: str) -> Listener:
    """Reads `HOST:PORT` or `HOST:PORT,ollama`.

    Raises:
        ValueError: It is neither.
    """
    address, comma, api = text.partition(",")
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) <= 65535):
        raise ValueError("should be HOST:PORT or HOST:PORT,ollama")
    if comma and api.strip() != "ollama":
        raise ValueError(f"{api.strip()!r} is no API that a listener speaks; there is: ollama")
    return Listener(host.strip("[]"), int(port), bool(comma))


def load_settings(flags: Mapping[str, Any], config: Path | None = None) -> Settings:
    """Merges flags, environment, file and defaults.

    `flags` holds what the command line gave, by field name; None means that a flag was absent.
    `config` is the file that `--config` names.

    Raises:
        ConfigurationError: A value is of the wrong kind or out of range, a key is unknown, or the
            file cannot be read.
    """
    # A flag that may be repeated and was not given is an empty list.
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    environment = _environment()
    path = _config_path(given, environment, config)
    contents = _read_file(path) if path else {}
    try:
        return Settings(**{**contents, **environment, **given})
    except ValidationError as error:
        lines = (_explain(detail, given, environment, path) for detail in error.errors())
        raise ConfigurationError("\n".join(lines)) from None


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        # The only settings that are read as JSON.
        if '"listen"' in str(error):
            raise ConfigurationError(
                f'{ENV_PREFIX}LISTEN must be a JSON list of strings, for example ["0.0.0.0:1234"]'
            ) from None
        raise ConfigurationError(
            f"{ENV_PREFIX}ALIASES must be a JSON object of strings, for example "
            '{"gpt-*": "sterna/tern-nano"}'
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


def _explain(
    detail: ErrorDetails,
    given: Mapping[str, Any],
    environment: Mapping[str, Any],
    path: Path | None,
) -> str:
    """One line: where the value came from, what it was, and what would be accepted."""
    names = [str(part) for part in detail["loc"]]
    if not names:
        return detail["msg"].removeprefix("Value error, ")
    name, key = names[0], ".".join(names)
    if name in given:
        source = f"--{name.replace('_', '-')}"
    elif name in environment:
        source = f"{ENV_PREFIX}{name.upper()}"
    else:
        source = f"{path}: {key}"
    if detail["type"] == "extra_forbidden":
        return f"{source} is not a setting{_suggestion(name)}"
    problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{source}: {problem}; got {detail['input']!r}"


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/configuration.md lists them all"
