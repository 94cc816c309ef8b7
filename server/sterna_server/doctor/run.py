"""All checks, in the order in which people read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sterna_server.doctor import machine, parts, refusals
from sterna_server.doctor.finding import Finding, Verdict, error, ok, warning
from sterna_server.errors import CommandError
from sterna_server.exposure import check_exposure
from sterna_server.settings import (
    ConfigurationError,
    Resolved,
    Settings,
    resolve,
    unknown_variables,
)

_SIGNS = {Verdict.OK: "ok     ", Verdict.WARNING: "warning", Verdict.ERROR: "ERROR  "}


def examine(flags: Mapping[str, Any], config: Path | None) -> list[Finding]:
    """What a server with these flags would find here. Changes nothing, and loads no model."""
    findings = list(machine.check_versions())
    try:
        resolved = resolve(flags, config)
    except ConfigurationError as problem:
        remedy = "mend it; docs/configuration.md lists every setting"
        findings += [error("configuration", line, remedy) for line in str(problem).splitlines()]
        return findings
    findings += _configuration(resolved)
    for check in _checks(resolved.settings):
        findings += _safely(check)
    return findings


def as_text(findings: list[Finding]) -> str:
    """A line for each finding, and one with a remedy below what is not well."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for each in findings:
        lines.append(f"{_SIGNS[each.verdict]}  {each.check:<{width}}  {each.message}")
        if each.remedy:
            lines.append(f"{'':9}{'':{width}}  -> {each.remedy}")
    count = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Verdict}
    summary = f"{count[Verdict.ERROR]} errors, {count[Verdict.WARNING]} warnings"
    return "\n".join([*lines, "", summary])


def as_json(findings: list[Finding]) -> str:
    """`{"ok": …, "findings": [{"check", "verdict", "message", "remedy", "facts"}]}`."""
    entries = [
        {
            "check": each.check,
            "verdict": each.verdict,
            "message": each.message,
            "remedy": each.remedy,
            "facts": each.facts,
        }
        for each in findings
    ]
    return json.dumps({"ok": is_well(findings), "findings": entries}, indent=2, ensure_ascii=False)


def is_well(findings: list[Finding]) -> bool:
    """Whether a server would start and do what the settings ask for."""
    return all(each.verdict is not Verdict.ERROR for each in findings)


def _configuration(resolved: Resolved) -> Iterator[Finding]:
    path = resolved.path
    changed = sum(origin != "default" for origin in resolved.origins.values())
    message = f"{path or 'no file'}, {changed} settings changed"
    yield ok("configuration", message, file=str(path) if path else None, changed=changed)
    for line in unknown_variables():
        yield warning("configuration", line, "mend or unset it")


def _checks(settings: Settings) -> Iterator[Callable[[], Iterator[Finding]]]:
    model, description = parts.check_model(settings)
    weights = description.size_bytes if description is not None else 0
    yield lambda: machine.check_processor(settings)
    yield lambda: machine.check_memory(settings, weights)
    yield lambda: machine.check_disk(settings.home)
    yield machine.check_files
    yield lambda: iter((model,))
    yield lambda: refusals.check_adapters(settings)
    yield lambda: refusals.check_embedding_model(settings)
    yield lambda: parts.check_speech(settings)
    yield lambda: parts.check_extras(settings)
    yield lambda: refusals.check_search(settings)
    yield lambda: parts.check_database(settings)
    yield lambda: refusals.check_counters(settings)
    yield lambda: parts.check_certificates(settings)
    yield lambda: refusals.check_core(settings)
    yield lambda: parts.check_ports(settings)
    yield lambda: _exposure(settings)


def _exposure(settings: Settings) -> Iterator[Finding]:
    try:
        check_exposure(settings, rest=True, grpc=True)
    except CommandError as problem:
        yield error("exposure", str(problem), "sterna keys create, then --auth keys")


def _safely(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """One check that fails must not hide the others."""
    try:
        return list(check())
    except Exception as problem:
        told = f"{type(problem).__name__}: {problem}"
        return [error("doctor", f"a check failed: {told}", "report it, with this line")]
