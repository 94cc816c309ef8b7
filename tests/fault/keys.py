"""API keys that `sterna keys` made and revoked, and whether the database still knows."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sterna_service.state.database import Database
from sterna_service.state.keys import SqlKeyRepository
from tests.support.server_process import STERNA

_MOST_KEYS = 10


@dataclass
class Keys:
    """Keys that a command printed, by name, over all lives of the server."""

    place: Path | str
    """The database, as `Database.open` takes it."""
    environment: Mapping[str, str]
    random: random.Random
    good: dict[str, str] = field(default_factory=dict)
    revoked: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    """Names of keys that were made by commands which were killed before they printed them."""
    problems: list[str] = field(default_factory=list)
    _maybe_made: str = ""
    _maybe_revoked: str = ""
    _process: asyncio.subprocess.Process | None = None

    async def change(self) -> None:
        """Makes a key or revokes one, until it is done or `interrupt` is called."""
        if self.good and (len(self.good) > _MOST_KEYS or self.random.random() < 0.4):
            name = self._maybe_revoked = self.random.choice(sorted(self.good))
            if await self._run("revoke", name) is not None:
                self.revoked[name] = self.good.pop(name)
                self._maybe_revoked = ""
        else:
            name = self._maybe_made = uuid.uuid4().hex
            if key := await self._run("create", name):
                self.good[name] = key
                self._maybe_made = ""

    def interrupt(self) -> None:
        """Kills the command, if it still runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def compare(self) -> list[str]:
        """What is wrong with the keys in the database. Settles what was open."""
        database = await Database.open(self.place)
        try:
            found = {key.name: key for key in await SqlKeyRepository(database).all()}
        finally:
            await database.close()
        problems, self.problems = self.problems, []
        for name, text in [*self.good.items(), *self.revoked.items()]:
            if name not in found or not found[name].matches(text):
                problems.append(f"the key {name} is lost")
        over = {name for name, key in found.items() if key.revoke_time is not None}
        for name in self.revoked.keys() - over:
            problems.append(f"the key {name} is good again, and was revoked")
        for name in self.good.keys() & over:
            if name != self._maybe_revoked:
                problems.append(f"the key {name} is revoked, and nobody did that")
            self.revoked[name] = self.good.pop(name)
        if self._maybe_made in found:
            self.unknown.add(self._maybe_made)
        for name in found.keys() - self.good.keys() - self.revoked.keys() - self.unknown:
            problems.append(f"the key {name} is there, and nobody made it")
        self._maybe_made = self._maybe_revoked = ""
        return problems

    async def _run(self, *command: str) -> str | None:
        """What `sterna keys` printed; None if it was killed or failed."""
        self._process = await asyncio.create_subprocess_exec(
            STERNA,
            "keys",
            *command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        printed, said = await self._process.communicate()
        if self._process.returncode == 0:
            return printed.decode().strip()
        if self._process.returncode != -signal.SIGKILL:
            self.problems.append(f"sterna keys {command[0]}: {said.decode().strip()}")
        return None
