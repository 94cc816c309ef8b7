"""TLS, with certificates made for the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from sterna import AsyncClient, Tls
from sterna.errors import UnavailableError
from tests.support.flaky_server import running

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A key, and a self-signed certificate for the name `sterna.test`."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    name = ["-subj", "/CN=sterna.test", "-addext", "subjectAltName=DNS:sterna.test"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *name, *files], check=True, capture_output=True)
    return key.read_bytes(), certificate.read_bytes()


async def test_a_trusted_server(pem: tuple[bytes, bytes]) -> None:
    certificate = pem[1]
    async with running(grpc.ssl_server_credentials([pem])) as server:
        trusted = Tls(root_certificates=certificate, server_name="sterna.test")
        async with AsyncClient(server.address, tls=trusted, api_key="sk") as client:
            assert await client.tokenize("a") == (97,)
            assert (await client.stream_chat("a").collect()).text
        assert server.metadata[0]["authorization"] == "Bearer sk"


async def test_an_untrusted_server(pem: tuple[bytes, bytes]) -> None:
    certificate = pem[1]
    async with running(grpc.ssl_server_credentials([pem])) as server:
        refused: list[Tls | bool] = [
            True,  # the system's authorities do not know it
            Tls(root_certificates=certificate),  # the certificate is for another name
            False,  # no TLS at all
        ]
        for tls in refused:
            async with AsyncClient(server.address, tls=tls) as client:
                with pytest.raises(UnavailableError):
                    await client.create_session(timeout=10)
        assert server.methods == []


async def test_client_certificates(pem: tuple[bytes, bytes]) -> None:
    key, certificate = pem
    credentials = grpc.ssl_server_credentials([pem], certificate, require_client_auth=True)
    async with running(credentials) as server:
        anonymous = Tls(root_certificates=certificate, server_name="sterna.test")
        async with AsyncClient(server.address, tls=anonymous) as client:
            with pytest.raises(UnavailableError):
                await client.create_session(timeout=10)
        known = Tls(
            root_certificates=certificate,
            certificate_chain=certificate,
            private_key=key,
            server_name="sterna.test",
        )
        async with AsyncClient(server.address, tls=known) as client:
            assert await client.tokenize("a") == (97,)
        assert "PRIVATE" not in repr(known)
