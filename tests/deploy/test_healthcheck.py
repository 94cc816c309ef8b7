"""The health check of the container image, against a real server and against none."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading

from tests.deploy.expressions import DEPLOY

SCRIPT = DEPLOY / "container" / "healthcheck.py"


def _check(port: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STERNA_PORT": str(port)}
    environment.pop("STERNA_TLS_CERT", None)
    command = [sys.executable, str(SCRIPT)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_alive_ill_and_gone() -> None:
    status = 200

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert _check(port).returncode == 0
            status = 500
            ill = _check(port)
            assert (ill.returncode, ill.stderr.strip()) == (1, "/livez answered 500")
        finally:
            server.shutdown()
            thread.join()
    gone = _check(port)
    assert gone.returncode == 1
    assert f"no answer on port {port}" in gone.stderr
