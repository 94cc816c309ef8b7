"""TLS and client certificates on the gRPC port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from sterna import AsyncClient, Client, Tls
from sterna.errors import UnavailableError
from sterna_service.app import Core, CoreOptions, start_core
from sterna_service.errors import StartupError
from sterna_service.network.certificates import CertificateFiles
from tests.support.certificates import Authority, Issued
from tests.support.core import eventually

Serve = Callable[[CertificateFiles], AbstractAsyncContextManager[Core]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def serve(sterna_home: Path) -> Serve:
    @asynccontextmanager
    async def running(files: CertificateFiles) -> AsyncIterator[Core]:
        core = await start_core(CoreOptions(home=sterna_home, port=0, certificates=files))
        try:
            yield core
        finally:
            await core.stop(0)

    return running


def trusting(authority: Authority, issued: Issued | None = None, name: str = "") -> Tls:
    return Tls(
        root_certificates=authority.file.read_bytes(),
        certificate_chain=issued.chain.read_bytes() if issued else None,
        private_key=issued.key.read_bytes() if issued else None,
        server_name=name,
    )


async def answers(core: Core, tls: Tls | bool) -> bool:
    # A channel for each try: what one has found out about a server, it keeps for a while.
    async with AsyncClient(core.address, tls=tls, timeout=20) as client:
        try:
            return bool(await client.tokenize("Hello"))
        except UnavailableError:
            return False


async def test_who_trusts_the_authority_is_answered(serve: Serve, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1")
    async with serve(CertificateFiles(issued.chain, issued.key)) as core:
        assert await answers(core, trusting(authority))
        # The system does not know this authority, and without TLS there is nothing to hear.
        assert not await answers(core, True)
        assert not await answers(core, False)
        async with AsyncClient(core.unix_address) as inside:
            assert await inside.tokenize("Hello")


async def test_another_name_is_no_obstacle_when_it_is_named(
    serve: Serve, authority: Authority
) -> None:
    issued = authority.issue("sterna.example")
    async with serve(CertificateFiles(issued.chain, issued.key)) as core:
        assert not await answers(core, trusting(authority))
        assert await answers(core, trusting(authority, name="sterna.example"))


async def test_clients_must_show_a_certificate(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    issued = authority.issue("127.0.0.1")
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    async with serve(CertificateFiles(issued.chain, issued.key, clients.file)) as core:
        assert await answers(core, trusting(authority, clients.issue("ann")))
        assert not await answers(core, trusting(authority))
        assert not await answers(core, trusting(authority, strangers.issue("eve")))


async def test_a_new_certificate_is_used_without_a_restart(
    serve: Serve, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issued = authority.issue("127.0.0.1", as_file="server")
    successor = Authority(tmp_path, "successor")
    async with serve(CertificateFiles(issued.chain, issued.key)) as core:
        assert await answers(core, trusting(authority))
        issued.chain.write_text("no certificate")
        assert await answers(core, trusting(authority))
        assert "the old one stays" in caplog.text
        successor.issue("127.0.0.1", as_file="server")
        await eventually(lambda: answers(core, trusting(successor)))
        assert not await answers(core, trusting(authority))


async def test_the_blocking_client(serve: Serve, authority: Authority) -> None:
    import asyncio

    issued = authority.issue("127.0.0.1")

    def ask(address: str) -> bool:
        with Client(address, tls=trusting(authority)) as client:
            return bool(client.tokenize("Hello"))

    async with serve(CertificateFiles(issued.chain, issued.key)) as core:
        assert await asyncio.to_thread(ask, core.address)


def test_bad_files_are_named(authority: Authority, tmp_path: Path) -> None:
    issued, other = authority.issue("a.example"), authority.issue("b.example")
    nothing = tmp_path / "nothing.pem"
    with pytest.raises(StartupError, match=r"nothing\.pem: cannot be read"):
        CertificateFiles(nothing, issued.key).read()
    with pytest.raises(StartupError, match="are not a certificate and its key"):
        CertificateFiles(issued.chain, other.key).read()
    nothing.write_text("hello")
    with pytest.raises(StartupError, match=r"nothing\.pem: holds no certificates"):
        CertificateFiles(issued.chain, issued.key, nothing).read()
    CertificateFiles(issued.chain, issued.key, authority.file).read()
