"""TLS on both ports of the real command, and the commands that call such a server."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest

from tests.e2e.conftest import FREE_PORTS
from tests.support.certificates import Authority, Issued
from tests.support.server_process import ServerProcess, run_sterna

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@dataclass
class Stand:
    """A server with TLS, whose second listener has none and whose third asks for a certificate."""

    server: ServerProcess
    authority: Authority
    issued: Issued
    client: Issued

    @property
    def further(self) -> list[str]:
        return re.findall(r"^ {9}(http\S+)$", self.server.output, re.MULTILINE)

    def trusting(self, client: Issued | None = None) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if client is not None:
            context.load_cert_chain(client.chain, client.key)
        return httpx.Client(verify=context, timeout=60)


@pytest.fixture(scope="module")
def stand(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder, "authority")
    issued = authority.issue("127.0.0.1", as_file="server")
    arguments = ["serve", *FREE_PORTS, "--tls-cert", str(issued.chain), "--tls-key"]
    arguments += [str(issued.key), "--listen", "127.0.0.1:0,plain"]
    arguments += ["--listen", f"127.0.0.1:0,ollama,client_ca={authority.file}"]
    with ServerProcess(arguments, home=home) as server:
        yield Stand(server, authority, issued, authority.issue("ann"))


def test_rest_speaks_tls(stand: Stand) -> None:
    assert stand.server.rest_url.startswith("https://")
    with stand.trusting() as client:
        api = openai.OpenAI(
            base_url=f"{stand.server.rest_url}/v1",
            api_key="unused",
            http_client=client,  # type: ignore[arg-type]
        )
        answer = api.chat.completions.create(
            model="", messages=[{"role": "user", "content": QUESTION}], temperature=0
        )
        assert answer.choices[0].message.content == ANSWER
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{stand.server.rest_url}/health")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{stand.server.rest_url}/health".replace("https", "http"))


def test_each_listener_has_its_own_way(stand: Stand) -> None:
    plain, mutual = stand.further
    assert httpx.get(f"{plain}/health").status_code == 200
    with stand.trusting() as client, pytest.raises(httpx.HTTPError):
        client.get(f"{mutual}/api/version")
    with stand.trusting(stand.client) as client:
        assert client.get(f"{mutual}/api/version").status_code == 200


def test_the_commands_call_it(stand: Stand, home: Path) -> None:
    core = stand.server.grpc_address
    trusted = ("--core", core, "--core-ca", str(stand.authority.file))
    good = run_sterna("chat", *trusted, home=home, stdin=f"{QUESTION}\n")
    assert good.stdout == f"{ANSWER}\n", good.stderr
    assert run_sterna("models", *trusted, home=home).returncode == 0
    assert run_sterna("models", "--core", core, home=home).returncode == 2
    assert run_sterna("models", "--core", core, "--core-tls", home=home).returncode == 2


def test_a_facade_in_front_of_it(stand: Stand, home: Path) -> None:
    arguments = ["rest", "--port", "0", "--core", stand.server.grpc_address]
    with ServerProcess([*arguments, "--core-ca", str(stand.authority.file)], home=home) as facade:
        assert httpx.get(f"{facade.rest_url}/ready").status_code == 200
        assert httpx.get(f"{facade.rest_url}/v1/models").json()["data"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--tls-cert", "{chain}"), "need each other"),
        (("--tls-client-ca", "{chain}"), "needs --tls-cert"),
        (("--tls-cert", "{chain}", "--tls-key", "{chain}"), "are not a certificate and its key"),
        (("--tls-cert", "/nowhere.pem", "--tls-key", "{key}"), "/nowhere.pem"),
        (("--listen", "127.0.0.1:0,cert={chain}"), "need each other"),
        (("--listen", "127.0.0.1:0,fancy"), "'fancy' is no option of a listener"),
    ],
)
def test_bad_settings(arguments: tuple[str, ...], problem: str, stand: Stand, home: Path) -> None:
    given = [each.format(chain=stand.issued.chain, key=stand.issued.key) for each in arguments]
    result = run_sterna("serve", *FREE_PORTS, *given, home=home)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert problem in line
