"""The server works under the system-call filter of its unit."""

from __future__ import annotations

import ctypes.util
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.deploy.expressions import DEPLOY
from tests.support.server_process import STERNA, ServerProcess

SANDBOX = Path(__file__).parent / "sandbox.py"
UNIT = DEPLOY / "systemd" / "sterna.service"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
    reason="needs systemd-analyze and libseccomp",
)
def test_it_starts_packs_answers_and_stops(tmp_path: Path) -> None:
    program = [sys.executable, str(SANDBOX), str(UNIT), str(STERNA)]
    flags = ["serve", "--port", "0", "--grpc-port", "0"]
    with ServerProcess(flags, home=tmp_path, program=program) as server:
        schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
        body = {
            "messages": [{"role": "user", "content": "Hi"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": schema},
            },
        }
        url = f"{server.rest_url}/v1/chat/completions"
        assert httpx.post(url, json=body, timeout=60).status_code == 200
        assert httpx.get(f"{server.rest_url}/metrics", timeout=60).status_code == 200
        assert list((tmp_path / "bundles").iterdir())
        assert (tmp_path / "state.db").exists()
    assert server.process.returncode == 0
