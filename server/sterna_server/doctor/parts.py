"""Checks of what the settings ask for: models, speech, ports, database, extras."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection

import sqlalchemy as sa

from sterna_server import ports
from sterna_server.composition import database_place
from sterna_server.doctor.finding import Finding, error, ok
from sterna_server.errors import CommandError
from sterna_server.listing import size_text
from sterna_server.sections.listener import Listener, listener
from sterna_server.settings import Settings
from sterna_server.store.models import find
from sterna_server.tls import grpc_files, rest_files
from sterna_service.errors import ServiceError, StartupError
from sterna_service.models.description import ModelDescription, describe
from sterna_service.speech.catalogue import Kind
from sterna_service.speech.models import SpeechModels
from sterna_service.state.migrate import NEWEST_REVISION, revision_of
from sterna_service.state.place import make_engine, place_of


def check_model(settings: Settings) -> tuple[Finding, ModelDescription | None]:
    """Whether the model that the server would start with is here, and can be read."""
    name = settings.model or "the embedded model"
    try:
        source = find(settings, settings.model)
    except CommandError as problem:
        remedy = f"sterna pull {settings.model}, or name a directory with a checkpoint"
        return error("model", str(problem), remedy), None
    description = describe(source)
    facts = {
        "model": source.model_id,
        "path": str(source.path),
        "bytes": description.size_bytes,
        "parameters": description.parameter_count,
    }
    if description.problem:
        remedy = f"sterna verify {source.model_id}; then pull or import it again"
        return error("model", f"{name}: {description.problem}", remedy, **facts), description
    bundles = settings.home.expanduser() / "bundles"
    packed = any(bundles.glob(f"{source.bundle_stem}*"))
    state = "packed" if packed else "packed at the first start, which takes a while"
    message = f"{source.model_id}, {size_text(description.size_bytes)}, {state}"
    return ok("model", message, packed=packed, **facts), description


def check_speech(settings: Settings) -> Iterator[Finding]:
    """Whether speech has its packages and its weights; nothing when it is off."""
    if not settings.voice:
        return
    packages = ("faster_whisper", "pocket_tts", "av")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        yield error(
            "speech packages",
            f"voice is on, and {', '.join(missing)} is not installed",
            'pip install "sterna-server[voice]"',
            missing=missing,
        )
    else:
        yield ok("speech packages", "installed")
    home = settings.home.expanduser()
    for kind, configured in (
        (Kind.RECOGNITION, settings.whisper_model),
        (Kind.SYNTHESIS, settings.tts_model),
    ):
        models = SpeechModels(kind, home, configured)
        check = f"{kind.value} weights"
        try:
            model = models.find("")
        except ServiceError as problem:
            command = problem.metadata.get("command", "sterna pull --voice")
            yield error(check, problem.message, command)
        else:
            yield ok(check, f"{model.model_id} at {model.path}", path=str(model.path))


def check_extras(settings: Settings) -> Iterator[Finding]:
    """Whether the packages are there that other settings need."""
    wanted = (
        (settings.harness == "search", "search", ("ddgs", "trafilatura")),
        (bool(settings.otlp_endpoint), "otel", ("opentelemetry.sdk", "opentelemetry.exporter")),
    )
    for is_on, extra, modules in wanted:
        missing = [name for name in modules if is_on and not _is_installed(name)]
        if missing:
            yield error(
                f"extra {extra}",
                f"the settings need {', '.join(missing)}, which is not installed",
                f'pip install "sterna-server[{extra}]"',
                missing=missing,
            )


def check_certificates(settings: Settings) -> Iterator[Finding]:
    """Whether the certificates of the listeners can be read, and fit their keys."""
    wanted: list[tuple[str, Listener | None]] = [("TLS", None)]
    for text in settings.listen:
        each = listener(text)
        if each.cert is not None or each.client_ca is not None:
            wanted.append((f"TLS {text}", each))
    for check, each_listener in wanted:
        try:
            files = (
                grpc_files(settings)
                if each_listener is None
                else rest_files(settings, each_listener)
            )
            if files is not None:
                files.read()
                yield ok(check, f"{files.chain} and its key", certificate=str(files.chain))
        except (CommandError, StartupError) as problem:
            yield error(check, str(problem), "name PEM files that the server's user can read")


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Whether each address can be listened on. A Sterna server that already does is no problem."""
    wanted = [
        ("REST port", settings.host, settings.port, "--port"),
        ("gRPC port", settings.grpc_host, settings.grpc_port, "--grpc-port"),
    ]
    for text in settings.listen:
        each = listener(text)
        wanted.append((f"listener {text}", each.host, each.port, "--listen"))
    if settings.metrics_listen:
        each = listener(settings.metrics_listen)
        host, port = each.host, each.port
        wanted.append(("metrics port", host, port, "--metrics-listen"))
    running = _answers(settings)
    for check, host, port, flag in wanted:
        try:
            ports.check_free(host, port, flag=flag)
        except CommandError as problem:
            if running:
                yield ok(check, f"{host}:{port}, where a Sterna server runs", running=True)
            else:
                yield error(check, str(problem), f"choose another with {flag}")
        else:
            yield ok(check, f"{host}:{port} is free", running=False)


def check_database(settings: Settings) -> Iterator[Finding]:
    """Whether the database can be read, and is of this version or an older one."""
    place = database_place(settings)
    if isinstance(place, str):
        yield _check_url(place)
        return
    path = place
    if not path.exists():
        yield ok("database", f"{path} will be made", path=str(path))
        return
    remedy = "restore a backup, or move the file away to begin with an empty one"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            revision = _revision(connection)
    except sqlite3.Error as failure:
        yield error("database", f"{path}: {failure}", remedy, path=str(path))
        return
    size = path.stat().st_size
    facts = {"path": str(path), "revision": revision, "bytes": size}
    if problem != "ok":
        yield error("database", f"{path}: {problem}", remedy, **facts)
    elif revision > NEWEST_REVISION:
        yield error(
            "database",
            f"{path} was written by a newer version (schema {revision}, here {NEWEST_REVISION})",
            "install that version, or use another home",
            **facts,
        )
    else:
        older = f"; it becomes {NEWEST_REVISION} at the next start"
        state = f"schema {revision or 'none'}{older if revision != NEWEST_REVISION else ''}"
        yield ok("database", f"{path}, {size_text(size)}, {state}", **facts)


def _check_url(url: str) -> Finding:
    remedy = "check database_url, and that the database server runs"
    try:
        place = place_of(url)
        engine = make_engine(place)
        try:
            with engine.connect() as connection:
                revision = revision_of(connection) or ""
        finally:
            engine.dispose()
    except StartupError as failure:
        return error("database", str(failure), remedy)
    except sa.exc.SQLAlchemyError as failure:
        return error("database", f"{place.name}: {failure}".partition("\n")[0], remedy)
    facts = {"url": place.name, "revision": revision}
    if revision > NEWEST_REVISION:
        newer = f"{place.name} was written by a newer version (schema {revision})"
        return error("database", newer, "install that version, or use another database", **facts)
    return ok("database", f"{place.name}, schema {revision or 'none'}", **facts)


def _revision(connection: sqlite3.Connection) -> str:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'")
    if tables.fetchone() is None:
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _answers(settings: Settings) -> bool:
    """Whether a Sterna server answers at the address of the REST listener."""
    if not settings.port:
        return False
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = HTTPConnection(host, settings.port, timeout=2.0)
    if settings.tls_cert is not None:
        # Whoever listens there is only asked what it is; nothing is told to it.
        context = ssl._create_unverified_context()
        connection = HTTPSConnection(host, settings.port, timeout=2.0, context=context)
    try:
        with closing(connection):
            connection.request("GET", "/health")
            answer = connection.getresponse()
            return answer.status == 200 and "uptime" in json.loads(answer.read())
    except (OSError, HTTPException, ValueError):
        return False
