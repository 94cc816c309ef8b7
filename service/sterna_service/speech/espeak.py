"""Voices of espeak-ng, a program that the operator installs: robotic, small, of many languages.

It is never used unless a request names one of its voices, `espeak:<language>`, and the server was
told to offer them. It is GPL-3, and neither linked nor shipped.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess

from sterna_service.errors import Reason, ServiceError

PROGRAM = "espeak-ng"
PREFIX = "espeak:"
ENGINE = "espeak-ng"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}")
_SECONDS = 10.0


class Espeak:
    """The program, if there is one."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._languages: list[str] | None = None

    async def voices(self) -> list[str]:
        """The ids of its voices; none where it is not offered or not there."""
        if not self._enabled:
            return []
        if self._languages is None:
            self._languages = await _languages()
        return [f"{PREFIX}{language}" for language in self._languages or ()]

    async def language(self, voice_id: str) -> str | None:
        """The language of one of its voices; None for any other voice.

        Raises:
            ServiceError: The voice is one of its own, and cannot be used.
        """
        if not voice_id.startswith(PREFIX):
            return None
        if not self._enabled or shutil.which(PROGRAM) is None:
            missing = f"{PROGRAM} is not on its PATH" if self._enabled else "voice_espeak is off"
            raise _unknown(voice_id, f"this server has no voices of espeak-ng: {missing}")
        if voice_id not in await self.voices():
            raise _unknown(voice_id, f"espeak-ng has no voice {voice_id!r}; see the list of voices")
        return voice_id.removeprefix(PREFIX)


async def _languages() -> list[str] | None:
    """What the program can speak; None when it is not there, or does not say it now."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    try:
        # Not by the event loop, whose fork may crash; see `process.py`.
        done = await asyncio.to_thread(
            subprocess.run,
            [program, "--voices"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    columns = [line.split() for line in done.stdout.decode(errors="replace").splitlines()[1:]]
    found = {each[1] for each in columns if len(each) > 1 and _LANGUAGE.fullmatch(each[1])}
    return sorted(found)


def _unknown(voice_id: str, message: str) -> ServiceError:
    return ServiceError(Reason.VOICE_NOT_FOUND, message, metadata={"voice": voice_id})
