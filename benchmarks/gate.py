"""What keys and limits cost: microseconds of one request, over REST and over gRPC.

    python -m benchmarks.gate

Core and façade run in this process, as in `sterna serve`. The request is a small one (one model
looked up over REST, a word tokenized over gRPC), so that little else is measured. The settings take
turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sterna import AsyncClient
from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.options import ListenerLimits
from sterna_server import ports
from sterna_server.rest_listener import RestListener
from sterna_service.access.keys import ApiKey, digest_of, new_key
from sterna_service.access.limits import Limits
from sterna_service.access.scopes import EVERY_SCOPE
from sterna_service.app import CoreOptions, start_core
from sterna_service.state.database import Database
from sterna_service.state.keys import SqlKeyRepository

_MANY = 10**9

Request = Callable[[], Awaitable[object]]


async def _new_key(home: Path) -> str:
    key_id, key = new_key()
    database = await Database.open(home / "state.db")
    try:
        record = ApiKey(key_id, key_id, digest_of(key), EVERY_SCOPE, datetime.now(UTC))
        await SqlKeyRepository(database).create(record)
    finally:
        await database.close()
    return key


@asynccontextmanager
async def _served(home: Path, *, keys: bool, limits: bool) -> AsyncIterator[dict[str, Request]]:
    """Requests to a server with these settings."""
    key = await _new_key(home) if keys else ""
    bounds = {"requests": _MANY, "tokens": _MANY, "concurrent": _MANY, "streams": _MANY}
    core = await start_core(
        CoreOptions(
            home=home, port=0, threads=1, keys=keys, limits=Limits(**bounds if limits else {})
        )
    )
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(core.stop, 0.0)
        options = FacadeOptions(
            core_address=core.unix_address,
            keys=keys,
            limits=ListenerLimits(**bounds if limits else {}),
        )
        listener = RestListener(
            create_app(options), ports.listen("127.0.0.1", 0, flag="--port"), linger=1.0
        )
        await listener.start()
        cleanup.push_async_callback(listener.stop)
        reader, writer = await asyncio.open_connection(*listener.address.rsplit(":", 1))
        cleanup.callback(writer.close)
        credential = f"Authorization: Bearer {key}\r\n" if key else ""
        asked = f"GET /v1/models/tern-nano HTTP/1.1\r\nHost: x\r\n{credential}\r\n".encode()
        rpc = await cleanup.enter_async_context(AsyncClient(core.address, api_key=key))

        async def rest() -> None:
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = next(
                int(line[15:])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)

        async def grpc() -> None:
            await rpc.tokenize("Hello")

        yield {"REST": rest, "gRPC": grpc}


async def _microseconds(request: Request, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        await request()
    return (time.perf_counter() - begin) / count * 1e6


async def measure(rounds: int, count: int) -> None:
    """Prints the medians of all rounds, and what each setting adds."""
    settings = {
        "open": (False, False),
        "keys": (True, False),
        "limits": (False, True),
        "both": (True, True),
    }
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, (keys, limits) in settings.items():
                home = Path(folder) / name
                home.mkdir(exist_ok=True)
                async with _served(home, keys=keys, limits=limits) as requests:
                    for kind, request in requests.items():
                        await _microseconds(request, count // 4)
                        spent = await _microseconds(request, count)
                        found.setdefault((kind, name), []).append(spent)
    for kind in ("REST", "gRPC"):
        bare = statistics.median(found[kind, "open"])
        for name in settings:
            spent = statistics.median(found[kind, name])
            low, high = min(found[kind, name]), max(found[kind, name])
            added = f"{spent - bare:+6.0f}"
            print(f"{kind}  {name:6}  {spent:7.0f} us  ({low:.0f} to {high:.0f})  {added}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=100, help="requests of one round")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.count))


if __name__ == "__main__":
    main()
