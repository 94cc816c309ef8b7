"""Checks of what a server would refuse at its start, by the functions with which it refuses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

from sterna_server import ports
from sterna_server.composition import core_options
from sterna_server.doctor.finding import Finding, error, ok, warning
from sterna_server.errors import CommandError
from sterna_server.sections.models import adapter_paths
from sterna_server.settings import Settings
from sterna_server.store.models import find
from sterna_service.access.counters import Counters
from sterna_service.errors import StartupError
from sterna_service.models.adapters import given_at_start
from sterna_service.options import check_options
from sterna_service.search.providers import BRAVE_KEY_VARIABLE


def check_core(settings: Settings) -> Iterator[Finding]:
    """Whether the core takes the options, and both ports have a place; nothing when they do."""
    try:
        ports.check_differ((settings.host, settings.port), (settings.grpc_host, settings.grpc_port))
        # Without its port: certificates have a check of their own.
        check_options(core_options(settings, tcp=False, unix_path=settings.unix_path))
    except (CommandError, StartupError) as problem:
        yield error("settings", str(problem), "docs/configuration.md lists every setting")
    if settings.unix_path is not None:
        folder = settings.unix_path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            yield error(
                "Unix socket",
                f"{settings.unix_path} cannot be made: {folder} is not there or not writable",
                "make the directory, or choose another unix_path",
            )


def check_adapters(settings: Settings) -> Iterator[Finding]:
    """Whether the adapters of the default model are here; nothing without any."""
    if not settings.adapter and not settings.default_adapter:
        return
    try:
        specs = given_at_start(
            settings.home.expanduser(),
            adapter_paths(settings.adapter),
            settings.default_adapter,
            settings.adapter_precision,
        )
    except StartupError as problem:
        yield error("adapters", str(problem), "name directories with adapters: NAME=PATH")
    else:
        yield ok("adapters", ", ".join(spec.adapter_id for spec in specs))


def check_embedding_model(settings: Settings) -> Iterator[Finding]:
    """Whether the model of requests for vectors is here; nothing when it is the default model."""
    if not settings.embedding_model:
        return
    try:
        source = find(settings, settings.embedding_model)
    except CommandError as problem:
        remedy = f"sterna pull {settings.embedding_model}, or name a directory with a model"
        yield error("embedding model", str(problem), remedy)
    else:
        yield ok("embedding model", source.model_id, path=str(source.path))


def check_search(settings: Settings) -> Iterator[Finding]:
    """Whether the search provider can be asked; nothing unless chats search by themselves."""
    if settings.harness != "search" or settings.search_provider != "brave":
        return
    if not os.environ.get(BRAVE_KEY_VARIABLE):
        yield error(
            "search",
            f"search_provider is brave, and the variable {BRAVE_KEY_VARIABLE} is not set: every "
            "search fails",
            f"set {BRAVE_KEY_VARIABLE}, or choose ddgs",
        )


def check_counters(settings: Settings) -> Iterator[Finding]:
    """Whether the Redis in which servers count together answers; nothing without one."""
    url = settings.limits_storage.get_secret_value()
    if not url:
        return
    try:
        answers = asyncio.run(Counters(url).shared_storage_answers())
    except StartupError as problem:
        yield error("limits_storage", str(problem), 'pip install "sterna-server[redis]"')
        return
    if answers:
        yield ok("limits_storage", "answers")
    else:
        yield warning(
            "limits_storage",
            "does not answer: until it does, each server counts by itself",
            "check limits_storage, and that Redis runs",
        )
