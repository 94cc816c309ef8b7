"""`sterna doctor`: what it says of machines and settings, good and bad."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sterna_service.models.catalogue import Catalogue
from tests.e2e.conftest import FREE_PORTS
from tests.support.certificates import Authority
from tests.support.server_process import ServerProcess, run_sterna

pytestmark = pytest.mark.e2e


def _doctor(home: Path, *flags: str, **variables: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by the name of their check; the worst one of a name."""
    result = run_sterna("doctor", "--json", *flags, home=home, **variables)
    report = json.loads(result.stdout)
    assert report["ok"] == (result.returncode == 0)
    order = ["ok", "warning", "error"]
    findings = sorted(report["findings"], key=lambda each: order.index(each["verdict"]))
    for each in findings:
        assert each["verdict"] == "ok" or each["remedy"], each
    return result.returncode, {each["check"]: each for each in findings}


def test_all_is_well(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS)
    assert status == 0
    assert found["kernels"]["facts"]["chosen"] in found["kernels"]["facts"]["available"]
    assert found["threads"]["facts"]["allowed"] >= 1
    assert found["memory"]["facts"]["total"] > 0
    assert found["disk"]["facts"]["free"] > 0
    assert found["model"]["facts"]["model"] == "sterna/tern-nano"
    assert found["database"]["message"].endswith("will be made")
    assert "recognition weights" not in found
    # It has changed nothing.
    assert list(tmp_path.iterdir()) == []


def test_text_has_a_line_for_each_check_and_a_summary(tmp_path: Path) -> None:
    result = run_sterna("doctor", "--port", "0", "--grpc-port", "0", home=tmp_path)
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok       versions")
    assert lines[-1].startswith("0 errors, ")


def test_bad_settings_are_findings(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("theads = 2\nmax_queue = -1\n")
    result = run_sterna("doctor", home=tmp_path)
    assert result.returncode == 1
    assert "theads is not a setting; did you mean threads?" in result.stdout
    assert "max_queue" in result.stdout


def test_a_variable_that_is_no_setting(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, STERNA_THREDS="2")
    assert status == 0
    assert "STERNA_THREDS" in found["configuration"]["message"]


def test_a_model_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, "no/such-model")
    assert status == 1
    assert "sterna pull no/such-model" in found["model"]["remedy"]
    damaged = tmp_path / "damaged"
    shutil.copytree(Catalogue(tmp_path).sources()[0].path, damaged)
    (damaged / "config.json").write_text("{")
    status, found = _doctor(tmp_path, *FREE_PORTS, str(damaged))
    assert status == 1
    assert "config.json" in found["model"]["message"]


def test_a_model_too_large_for_the_budget(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, "--model-memory", "1KiB")
    assert status == 1
    assert "raise model_memory" in found["memory"]["remedy"]


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, found = _doctor(tmp_path, "--port", str(port), "--grpc-port", "0")
    assert status == 1
    assert f"port {port} on 127.0.0.1 is already in use" in found["REST port"]["message"]
    assert found["gRPC port"]["verdict"] == "ok"


def test_a_server_that_runs_is_no_problem(home: Path) -> None:
    with ServerProcess(["serve", *FREE_PORTS], home=home) as server:
        rest, grpc = server.rest_url.rpartition(":")[2], server.grpc_address.rpartition(":")[2]
        status, found = _doctor(home, "--port", rest, "--grpc-port", grpc)
    assert status == 0
    assert found["REST port"]["facts"]["running"]
    assert found["database"]["facts"]["revision"]


def test_databases(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("this is no database, and long enough to be read as one" * 30)
    status, found = _doctor(tmp_path, *FREE_PORTS)
    assert (status, found["database"]["verdict"]) == (1, "error")
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    status, found = _doctor(tmp_path, *FREE_PORTS)
    assert status == 1
    assert "newer version" in found["database"]["message"]


def test_too_many_threads_and_unknown_kernels(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, "--threads", "1000")
    assert (status, found["threads"]["verdict"]) == (0, "warning")
    status, found = _doctor(tmp_path, *FREE_PORTS, STERNA_KERNELS="abacus")
    assert (status, found["kernels"]["verdict"]) == (1, "error")


def test_speech_without_weights(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, "--voice")
    assert status == 1
    assert "sterna pull" in found["recognition weights"]["remedy"]


def test_an_address_that_others_reach_without_keys(tmp_path: Path) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, "--host", "0.0.0.0")
    assert status == 1
    assert "keys" in found["exposure"]["message"]


def test_certificates(tmp_path: Path) -> None:
    issued = Authority(tmp_path, "ours").issue("localhost", "127.0.0.1")
    other = Authority(tmp_path, "theirs").issue("localhost")
    flags = [*FREE_PORTS, "--tls-cert", str(issued.chain), "--tls-key"]
    status, found = _doctor(tmp_path, *flags, str(issued.key))
    assert (status, found["TLS"]["verdict"]) == (0, "ok")
    status, found = _doctor(tmp_path, *flags, str(other.key))
    assert (status, found["TLS"]["verdict"]) == (1, "error")
    assert str(issued.chain) in found["TLS"]["message"]


def test_a_server_that_runs_with_tls_is_no_problem(home: Path, tmp_path: Path) -> None:
    issued = Authority(tmp_path, "ours").issue("localhost", "127.0.0.1")
    flags = ["--tls-cert", str(issued.chain), "--tls-key", str(issued.key)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ports = ["--port", str(port), "--grpc-port", "0"]
    with ServerProcess(["serve", *ports, *flags], home=home):
        status, found = _doctor(home, *ports, *flags)
    assert status == 0
    assert found["REST port"]["facts"]["running"]


@pytest.mark.parametrize(
    ("flags", "check", "said"),
    [
        (["--adapter", "a=/nowhere"], "adapters", "/nowhere"),
        (["--default-adapter", "b"], "adapters", "'b' is none"),
        (["--embedding-model", "no/such"], "embedding model", "no/such"),
        (["--unix-path", "/nowhere/core.sock"], "Unix socket", "/nowhere is not there"),
        (["--unix-path", f"/tmp/{'a' * 120}"], "settings", "at most 107 bytes"),
        (["--port", "18999", "--grpc-port", "18999"], "settings", "both 18999"),
        (["--harness", "search", "--search-provider", "brave"], "search", "SEARCH_API_KEY"),
    ],
)
def test_what_a_server_would_refuse_or_fail_at(
    tmp_path: Path, flags: list[str], check: str, said: str
) -> None:
    status, found = _doctor(tmp_path, *FREE_PORTS, *flags, SEARCH_API_KEY="")
    assert (status, found[check]["verdict"]) == (1, "error")
    assert said in found[check]["message"]


def test_a_redis_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"redis://127.0.0.1:{closed.getsockname()[1]}"
        status, found = _doctor(tmp_path, *FREE_PORTS, STERNA_LIMITS_STORAGE=address)
    assert (status, found["limits_storage"]["verdict"]) == (0, "warning")
    assert address not in found["limits_storage"]["message"]
