"""The server from Python: `Server(LLM("./my-model")).run()`.

Imported as `from sterna import Server, LLM`.
"""

from __future__ import annotations

import os
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from sterna_rest.app import create_app
from sterna_server import banner, serving
from sterna_server.composition import facade_options
from sterna_server.sections.listener import Listener
from sterna_server.sections.models import own_adapter
from sterna_server.settings import Settings, load_settings
from sterna_server.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class LLM:
    """A language model to serve.

    Attributes:
        model_dir: A checkpoint directory, or an id in the store (`ORG/NAME`). None: the embedded
            model.
        adapter_dir: A LoRA adapter in the PEFT format, for every request that names no other: a
            directory, or an id in the store.
        num_threads: Engine threads; 0 takes what the process may use.
        trust_remote_code: Must be False: Sterna never runs code from a checkpoint.
        lora_quant: How the adapter is held: `none`, `bf16`, `int8`, `q8_0` or `q4_0`.
        unembed_quant: How the output head is held: `bf16`, `int8`, `q8_0`, `q6_k`, `q5_0` or
            `q4_0`. None: the server's setting.
        max_batch: Sequences that run at the same time. None: the server's setting.
        max_queue: Requests that wait; one more is refused. None: the server's setting.
        kv_cache_tokens: Capacity of the KV cache in tokens. None: the server's setting.

    Raises:
        NotImplementedError: An argument asks for what this version does not do.
        ValueError: An argument asks for what Sterna will never do.
    """

    model_dir: str | os.PathLike[str] | None = None
    adapter_dir: str | os.PathLike[str] | None = None
    num_threads: int = 0
    trust_remote_code: bool = False
    lora_quant: str | None = None
    unembed_quant: str | None = None
    max_batch: int | None = None
    max_queue: int | None = None
    kv_cache_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.trust_remote_code:
            raise ValueError(
                "LLM(trust_remote_code=True): Sterna never runs code from a checkpoint; "
                "leave trust_remote_code out"
            )

    def settings(self) -> dict[str, Any]:
        """The settings that this model implies; None where it implies nothing."""
        adapter = {} if self.adapter_dir is None else own_adapter(_expanded(self.adapter_dir))
        return adapter | {
            "model": None if self.model_dir is None else _expanded(self.model_dir),
            "adapter_precision": self.lora_quant,
            # 0 means "automatic", which is also what an absent setting means.
            "threads": self.num_threads or None,
            "max_batch": self.max_batch,
            "max_queue": self.max_queue,
            "kv_cache_tokens": self.kv_cache_tokens,
            "unembed_quant": self.unembed_quant,
        }


@dataclass(frozen=True, slots=True)
class Whisper:
    """Speech recognition beside a language model. Needs the extra `voice`.

    Attributes:
        model_size: A Whisper size that `sterna pull --voice` brought, or a directory with a
            CTranslate2 model.
        compute_type: `int8`, `int8_float32` or `float32`.
        cpu_threads: Threads of the recogniser; 0 takes up to four, and leaves one processor.
    """

    model_size: str | os.PathLike[str] = "base.en"
    compute_type: str = "int8"
    cpu_threads: int = 2

    def settings(self) -> dict[str, Any]:
        """The settings that this implies."""
        return {
            "voice": True,
            "whisper_model": _expanded(self.model_size),
            "whisper_compute_type": self.compute_type,
            "whisper_threads": self.cpu_threads,
        }


@dataclass(frozen=True, slots=True)
class TTS:
    """Speech synthesis beside a language model. Needs the extra `voice`.

    Attributes:
        voices_dir: Where voices that are made live. None: `voices` in the home directory.
        model: A synthesis model that `sterna pull --voice` brought, or a directory with a bundle.
            None: the server's setting.
    """

    voices_dir: str | os.PathLike[str] | None = None
    model: str | os.PathLike[str] | None = None

    def settings(self) -> dict[str, Any]:
        """The settings that this implies; None where it implies nothing."""
        return {
            "voice": True,
            "voices_dir": None if self.voices_dir is None else Path(self.voices_dir),
            "tts_model": None if self.model is None else _expanded(self.model),
        }


Component = LLM | Whisper | TTS


class Server:
    """A server with one language model and, if wanted, with speech, over gRPC and REST.

    `components` are an `LLM`, a `Whisper` and a `TTS`, at most one of each, in any order. Without
    an `LLM` the embedded model is served.

    `settings` are those of the configuration file, for example `grpc_port=0` or
    `aliases={"gpt-*": "sterna/tern-nano"}`; what is not given comes from `STERNA_*` variables, the
    configuration file and the defaults.

    Raises:
        ConfigurationError: A setting is unknown or out of range; the message names it.
        TypeError: There is nothing to serve, or two components of one kind.
    """

    def __init__(self, *components: Component, **settings: Any) -> None:
        kinds = [type(component) for component in components]
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= {LLM, Whisper, TTS}:
            names = ", ".join(kind.__name__ for kind in kinds) or "nothing"
            raise TypeError(
                "Server needs an LLM, a Whisper or a TTS, at most one of each, and was given "
                f"{names}: Server(LLM(...), Whisper(...), TTS(...))"
            )
        self._flags = dict(settings)
        for component in components:
            self._flags |= _given(component.settings())
        self.settings: Settings = load_settings(self._flags)
        self._unix_path = self.settings.unix_path or self._private_socket()
        self._telemetry = Telemetry(self.settings)
        address = f"unix:{self._unix_path}"
        listener = Listener(self.settings.host, self.settings.port)
        self._app = create_app(
            facade_options(self.settings, self._telemetry, core_address=address, listener=listener)
        )

    def _private_socket(self) -> Path:
        directory = serving.private_directory()
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        return directory / "core.sock"

    @property
    def app(self) -> FastAPI:
        """The FastAPI application. Routes added here before `run` are served with the others."""
        return self._app

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        grpc_host: str | None = None,
        grpc_port: int | None = None,
    ) -> None:
        """Serves until SIGINT or SIGTERM, which let running requests finish first.

        Arguments that are None keep the setting: 127.0.0.1, 8000 and 50051 by default.

        Raises:
            CommandError: A port is taken, or the model cannot be loaded; the message is one line.
        """
        listeners = _given(
            {"host": host, "port": port, "grpc_host": grpc_host, "grpc_port": grpc_port}
        )
        settings = load_settings({**self._flags, **listeners})
        serving.run(
            serving.serve(
                settings,
                ready=banner.announce,
                telemetry=self._telemetry,
                app=self._app,
                unix_path=self._unix_path,
            )
        )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _expanded(path: str | os.PathLike[str]) -> str:
    # An id such as ORG/NAME comes out as it went in.
    return str(Path(path).expanduser())
