"""A PostgreSQL server of a test, on a small disk of its own that can be filled."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from tests.support.core import PATIENCE
from tests.support.small_disk import fill, on_small_disk, seen_by

BIN_VARIABLE = "STERNA_POSTGRES_BIN"
"""The directory of initdb and postgres; `make postgres-test` sets it."""

# Each line that it reads starts the server once more. The write-ahead log has segments of 1 MiB.
_SCRIPT = """
bin=$1 disk=$2 port=$3
"$bin/initdb" -D "$disk/data" -U sterna --auth=trust -E UTF8 --no-sync --wal-segsize=1 || exit 1
while read -r; do
  "$bin/postgres" -D "$disk/data" -h 127.0.0.1 -p "$port" -k "$disk" -c max_connections=20 \\
    -c shared_buffers=8MB -c min_wal_size=2MB -c max_wal_size=8MB -c autovacuum=off <&- >&2 &
  echo "started $!"
  wait
  echo ended
done
"""


class PostgresServer:
    """The server, its disk, and the way to them. Blocks. Made by `postgres_server`."""

    def __init__(self, holder: subprocess.Popen[str], disk: Path, port: int) -> None:
        self.url = f"postgresql://sterna@127.0.0.1:{port}/postgres"
        self._holder = holder
        self._disk = disk
        self._pid = 0

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        assert self._holder.stdin is not None
        self._holder.stdin.write("start\n")
        self._holder.stdin.flush()
        self._pid = int(self._line("started").split()[1])
        engine = self._engine()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with engine.connect():
                    return
            except sa.exc.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)

    def keep_log(self) -> None:
        """Lets nothing of its write-ahead log be used again, as a replica that lags behind does."""
        with self._engine().connect() as connection:
            connection.exec_driver_sql("SELECT pg_create_physical_replication_slot('lags', true)")

    def exhaust_log(self) -> None:
        """Fills its write-ahead log, as others who use it might, and returns when it has ended.

        Before that it may come back by itself: a failed checkpoint stops it, too, and it recovers
        as long as the log has room.
        """
        message = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 500000))"
        deadline = time.monotonic() + PATIENCE
        while self._runs():
            assert time.monotonic() < deadline, "PostgreSQL does not end"
            with (
                contextlib.suppress(sa.exc.OperationalError),
                self._engine().connect() as connection,
            ):
                connection.exec_driver_sql(message)
        self._line("ended")
        self._pid = 0

    def _runs(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        return True

    def fill_disk(self) -> None:
        """Leaves no room on its disk."""
        fill(self._filler)

    def make_room(self) -> None:
        """Takes that back."""
        self._filler.unlink()

    @property
    def _filler(self) -> Path:
        return seen_by(self._holder.pid, self._disk / "filler")

    def close(self) -> None:
        """Ends it at once, and gives the disk back."""
        assert self._holder.stdin is not None
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGQUIT)
        self._holder.stdin.close()
        self._holder.wait(PATIENCE)

    def _engine(self) -> sa.Engine:
        place = sa.make_url(self.url).set(drivername="postgresql+psycopg")
        return sa.create_engine(place, poolclass=sa.NullPool)

    def _line(self, word: str) -> str:
        assert self._holder.stdout is not None
        for line in self._holder.stdout:
            if line.startswith(word):
                return line
        raise AssertionError(f"PostgreSQL never {word}; its messages are above")


@contextlib.contextmanager
def postgres_server(size: str, directory: Path) -> Iterator[PostgresServer]:
    """Runs one on a disk of a size such as "96m", seen at a directory."""
    directory.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [_SCRIPT, "bash", os.environ[BIN_VARIABLE], str(directory), str(port)]
    holder = subprocess.Popen(
        on_small_disk(size, directory, "bash", "-c", *arguments, as_root=False),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    server = PostgresServer(holder, directory, port)
    try:
        server.start()
        yield server
    finally:
        server.close()
