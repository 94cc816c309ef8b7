"""How a server stops: SIGTERM lets running streams finish, a second signal does not."""

from __future__ import annotations

import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai

from tests.e2e.conftest import FREE_PORTS, SLOWLY
from tests.support.server_process import (
    STERNA,
    STOP_SECONDS,
    ServerProcess,
    clean_environment,
)

STREAMS = 4
TOKENS = 200
ARGUMENTS = ("serve", *FREE_PORTS, "--threads", "1")


class LongStream:
    """One chat that goes on for `TOKENS` tokens, because its end tokens are forbidden."""

    def __init__(self, rest_url: str, subject: str) -> None:
        self.client = openai.OpenAI(base_url=f"{rest_url}/v1", api_key="unused", max_retries=0)
        self.subject = subject
        self.began = threading.Event()
        self.ended = threading.Event()

    def read(self) -> tuple[str, str | None]:
        """The text and the finish reason, when the stream has ended."""
        text, reason = "", None
        stream = self.client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": f"Tell me about {self.subject}."}],
            max_tokens=TOKENS,
            logit_bias={"1": -100, "2": -100},
            stream=True,
        )
        try:
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                reason = chunk.choices[0].finish_reason or reason
                if text:
                    self.began.set()
        finally:
            self.began.set()
            self.ended.set()
        return text, reason


def test_sigterm_lets_four_streams_finish(home: Path) -> None:
    subjects = [f"river number {number}" for number in range(STREAMS)]
    with (
        ServerProcess(ARGUMENTS, home=home, **SLOWLY) as server,
        ThreadPoolExecutor(STREAMS) as pool,
    ):
        alone = [LongStream(server.rest_url, subject).read() for subject in subjects]

        streams = [LongStream(server.rest_url, subject) for subject in subjects]
        results = [pool.submit(stream.read) for stream in streams]
        for stream in streams:
            assert stream.began.wait(60)
        assert not any(stream.ended.is_set() for stream in streams), "too fast to be interrupted"
        server.terminate()

        # New work is refused while the old work goes on.
        server.wait_for_output("Stopping", 10)
        refused = httpx.post(
            f"{server.rest_url}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "Hello"}]},
        )
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"]["code"] == "service_unavailable"
        assert httpx.get(f"{server.rest_url}/ready").status_code == 503
        assert httpx.get(f"{server.rest_url}/health").status_code == 200
        assert not any(stream.ended.is_set() for stream in streams), "too fast to be interrupted"

        assert [result.result(120) for result in results] == alone
        assert {reason for _, reason in alone} == {"length"}
        assert server.wait() == 0


def test_streams_that_outlive_the_grace_period_fail(home: Path) -> None:
    with ServerProcess([*ARGUMENTS, "--grace", "0"], home=home, **SLOWLY) as server:
        stream = LongStream(server.rest_url, "the sea")
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(stream.read)
            assert stream.began.wait(60)
            server.terminate()
            error = result.exception(60)
        assert isinstance(error, openai.APIError)
        assert server.wait() == 0


def test_second_signal_stops_at_once(home: Path) -> None:
    with ServerProcess(ARGUMENTS, home=home, **SLOWLY) as server:
        stream = LongStream(server.rest_url, "the sea")
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(stream.read)
            assert stream.began.wait(60)
            server.terminate()
            server.wait_for_output("Stopping", 10)
            server.process.send_signal(signal.SIGINT)
            assert server.wait() == 128 + signal.SIGINT
            assert result.exception(60) is not None


def test_idle_server_stops_on_ctrl_c(home: Path) -> None:
    with ServerProcess(ARGUMENTS, home=home, **SLOWLY) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        assert "Traceback" not in server.output


def test_sigterm_stops_a_server_that_nobody_listens_to(home: Path) -> None:
    """As in `sterna serve 2>&1 | head`: what it would say when it stops cannot be written."""
    with subprocess.Popen(
        [STERNA, *ARGUMENTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(home),
    ) as process:
        try:
            assert process.stdout is not None
            assert any("Ctrl-C stops the server." in line for line in process.stdout)
            process.stdout.close()
            process.terminate()
            assert process.wait(STOP_SECONDS) >= 0, "it did not end by itself"
        finally:
            process.kill()
