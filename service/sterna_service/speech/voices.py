"""The voices of this server: predefined ones, and those that were made from recordings.

A voice that was made is a directory with the state that the weights computed from the sample and a
manifest. The recording itself is not kept.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sterna_service.directories import interrupted, mend, remove
from sterna_service.errors import Reason, ServiceError, invalid
from sterna_service.speech.bundle import WEIGHTS_NAME, built_in_voice, can_clone, language_of
from sterna_service.speech.espeak import ENGINE, PREFIX, Espeak
from sterna_service.speech.models import SpeechModels
from sterna_service.speech.options import MEBIBYTE, SpeechOptions
from sterna_service.speech.upload import Upload
from sterna_service.speech.worker import Worker

_log = logging.getLogger(__name__)

PREDEFINED = ("alba", "marius", "javert", "jean", "fantine", "cosette", "eponine", "azelma")
DEFAULT_VOICE = "alba"

MOST_SAMPLE_BYTES = 8 * MEBIBYTE
LONGEST_SAMPLE_SECONDS = 30.0

_VOICE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_STATE_NAME = "state.safetensors"
_MANIFEST_NAME = "voice.json"
_UNFINISHED = ".new-"


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice; times and length are None when it is built in."""

    voice_id: str
    built_in: bool
    usable: bool
    """Whether it can be used with the configured weights."""
    languages: tuple[str, ...] = ()
    create_time: datetime | None = None
    sample_seconds: float | None = None
    consent_time: datetime | None = None
    engine: str = "pocket-tts"
    """What speaks with it."""


class Voices:
    """Keeps voices in a directory; every change is whole or not at all."""

    def __init__(
        self,
        directory: Path,
        models: SpeechModels,
        recognition: Worker,
        synthesis: Worker,
        options: SpeechOptions,
    ) -> None:
        self._directory = directory
        self._models = models
        self._recognition = recognition
        self._synthesis = synthesis
        self._options = options
        self.espeak = Espeak(options.espeak)
        self._fingerprints: dict[tuple[str, int, int], str] = {}

    async def find(self, voice_id: str, bundle: Path) -> tuple[str, Path]:
        """The id of a voice (the default one for "") and the file of its state for a bundle.

        Raises:
            ServiceError: There is no such voice, or it was made with other weights.
        """
        voice_id = voice_id or DEFAULT_VOICE
        if not _VOICE_ID.fullmatch(voice_id):
            raise await self._unknown(voice_id)
        shipped = built_in_voice(bundle, voice_id)
        if shipped.is_file():
            return voice_id, shipped
        if voice_id in PREDEFINED:
            raise ServiceError(
                Reason.SPEECH_WEIGHTS_MISSING,
                f"the predefined voice {voice_id} is not among the weights of {bundle.name}; run "
                "sterna pull --voice",
                metadata={"model": bundle.name, "command": "sterna pull --voice"},
            )
        manifest = await asyncio.to_thread(self._manifest, voice_id)
        if manifest is None:
            raise await self._unknown(voice_id)
        if manifest.get("fingerprint") != await self._fingerprint(bundle):
            raise ServiceError(
                Reason.MODEL_UNSUPPORTED,
                f"the voice {voice_id} was made with other weights than those of {bundle.name}; "
                "make it again",
                metadata={"model": bundle.name, "voice": voice_id},
            )
        return voice_id, self._directory / voice_id / _STATE_NAME

    async def all(self) -> list[Voice]:
        """All voices: predefined ones first, then by id; those of espeak-ng last."""
        bundle = self._models.default_path
        shipped = await asyncio.to_thread(_shipped, bundle)
        built_in = [*PREDEFINED, *sorted(shipped - set(PREDEFINED))]
        language = language_of(bundle)
        voices = [
            Voice(each, True, each in shipped, (language,) if language else ()) for each in built_in
        ]
        made = [each for each in await self._made(bundle) if each.voice_id not in built_in]
        espeak = [
            Voice(each, True, True, (each.removeprefix(PREFIX).partition("-")[0],), engine=ENGINE)
            for each in await self.espeak.voices()
        ]
        return voices + made + espeak

    async def get(self, voice_id: str) -> Voice:
        """A voice. Raises `ServiceError` when there is none."""
        for voice in await self.all():
            if voice.voice_id == voice_id:
                return voice
        raise await self._unknown(voice_id)

    async def create(
        self, voice_id: str, language: str, consent: bool, parts: AsyncIterator[bytes]
    ) -> Voice:
        """Makes a voice from a recording.

        Raises:
            ServiceError: The id is taken or malformed, the sample is unusable, the consent is
                missing, the weights cannot clone, or a worker died. Nothing was kept.
        """
        if not _VOICE_ID.fullmatch(voice_id):
            raise invalid(
                "config.voice_id",
                'must be 1 to 64 of a-z, 0-9, "_" and "-", and begin with a letter or digit',
            )
        if language and not _LANGUAGE.fullmatch(language):
            raise invalid("config.language", 'must be an ISO 639-1 code such as "en"')
        if self._options.consent_required and not consent:
            raise invalid(
                "config.consent", "must be true: this server makes voices with consent only"
            )
        self._synthesis.check_installed()
        model = self._models.find("")
        if voice_id in PREDEFINED or built_in_voice(model.path, voice_id).is_file():
            raise _built_in(voice_id, "replaced")
        if (self._directory / voice_id).exists():
            raise _taken(voice_id)
        if not can_clone(model.path):
            command = f"sterna pull --voice {model.model_id} --cloning"
            raise ServiceError(
                Reason.VOICE_CLONING_UNAVAILABLE,
                "the installed weights cannot make voices; accept the terms of "
                f"https://huggingface.co/kyutai/pocket-tts and run {command}",
                metadata={"command": command},
            )
        self._recognition.check_room()
        self._synthesis.check_room()
        with Upload(min(MOST_SAMPLE_BYTES, self._options.max_audio_bytes)) as upload:
            await upload.fill(parts, self._options.upload_idle_seconds)
            return await self._make(voice_id, language, consent, upload, model.path)

    async def delete(self, voice_id: str) -> None:
        """Removes a voice. Raises `ServiceError` when it is built in or not there."""
        if voice_id in (*PREDEFINED, *await self.espeak.voices()) or (
            _VOICE_ID.fullmatch(voice_id)
            and built_in_voice(self._models.default_path, voice_id).is_file()
        ):
            raise _built_in(voice_id, "deleted")
        if not _VOICE_ID.fullmatch(voice_id):
            raise await self._unknown(voice_id)
        try:
            # It asks the disk for nothing, which may be full.
            await asyncio.to_thread(remove, self._directory / voice_id)
        except FileNotFoundError:
            raise await self._unknown(voice_id) from None

    def clean_up(self) -> None:
        """Removes what a server that was killed left half done."""
        for left in self._directory.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        for place in interrupted(self._directory):
            mend(place)

    async def _make(
        self, voice_id: str, language: str, consent: bool, upload: Upload, bundle: Path
    ) -> Voice:
        with self._recognition.place(), self._synthesis.place():
            async with self._synthesis.session() as synthesis:
                loaded = await synthesis.ask("load", path=str(bundle))
                async with self._recognition.session() as recognition:
                    for part in upload.parts():
                        await recognition.post("feed", part)
                    sample = await recognition.ask(
                        "sample",
                        rate=loaded.header["sample_rate"],
                        max_seconds=LONGEST_SAMPLE_SECONDS,
                    )
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                new = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._directory))
                try:
                    state = new / _STATE_NAME
                    await synthesis.ask("clone", data=sample.data, path=str(state))
                    now = datetime.now(UTC)
                    manifest = {
                        "voice_id": voice_id,
                        "create_time": now.isoformat(),
                        "sample_seconds": sample.header["seconds"],
                        "language": language,
                        "consent_time": now.isoformat() if consent else None,
                        "fingerprint": await self._fingerprint(bundle),
                        "model": bundle.name,
                        "state_sha256": await asyncio.to_thread(_sha256, state),
                    }
                    (new / _MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n")
                    try:
                        # Fails when a directory with files has the name: somebody was faster.
                        os.rename(new, self._directory / voice_id)  # noqa: PTH104
                    except OSError as error:
                        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                            raise
                        raise _taken(voice_id) from None
                finally:
                    shutil.rmtree(new, ignore_errors=True)
        _log.info("a voice was made", extra={"voice": voice_id})
        return _voice(manifest, usable=True)

    async def _made(self, bundle: Path) -> list[Voice]:
        manifests = await asyncio.to_thread(self._manifests)
        if not manifests:
            return []
        try:
            fingerprint = await self._fingerprint(bundle)
        except OSError:
            fingerprint = ""
        return [_voice(each, usable=each["fingerprint"] == fingerprint) for each in manifests]

    def _manifests(self) -> list[dict[str, Any]]:
        names = sorted(path.name for path in self._directory.glob("*") if path.is_dir())
        found = (self._manifest(name) for name in names if _VOICE_ID.fullmatch(name))
        return [manifest for manifest in found if manifest is not None]

    def _manifest(self, voice_id: str) -> dict[str, Any] | None:
        path = self._directory / voice_id / _MANIFEST_NAME
        try:
            manifest = json.loads(path.read_text())
            datetime.fromisoformat(manifest["create_time"])
            return {**manifest, "voice_id": voice_id, "fingerprint": manifest["fingerprint"]}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is no voice: %r", path, error)
            return None

    async def _fingerprint(self, bundle: Path) -> str:
        """The SHA-256 of the weights, computed once: states belong to the weights."""
        path = bundle / WEIGHTS_NAME
        facts = path.stat()
        key = (str(path), facts.st_size, facts.st_mtime_ns)
        if key not in self._fingerprints:
            self._fingerprints[key] = await asyncio.to_thread(_sha256, path)
        return self._fingerprints[key]

    async def _unknown(self, voice_id: str) -> ServiceError:
        usable = ", ".join(voice.voice_id for voice in await self.all() if voice.usable)
        return ServiceError(
            Reason.VOICE_NOT_FOUND,
            f"there is no voice {voice_id!r}; usable on this server: {usable or 'none'}",
            metadata={"voice": voice_id},
        )


def _shipped(bundle: Path) -> set[str]:
    folder = built_in_voice(bundle, "any").parent
    return {path.stem for path in folder.glob("*.safetensors") if _VOICE_ID.fullmatch(path.stem)}


def _voice(manifest: dict[str, Any], *, usable: bool) -> Voice:
    consent = manifest.get("consent_time")
    return Voice(
        voice_id=manifest["voice_id"],
        built_in=False,
        usable=usable,
        languages=(manifest["language"],) if manifest.get("language") else (),
        create_time=datetime.fromisoformat(manifest["create_time"]),
        sample_seconds=manifest.get("sample_seconds"),
        consent_time=datetime.fromisoformat(consent) if consent else None,
    )


def _built_in(voice_id: str, what: str) -> ServiceError:
    return ServiceError(
        Reason.VOICE_BUILT_IN,
        f"the voice {voice_id} is predefined and cannot be {what}; use another id",
        metadata={"voice": voice_id},
    )


def _taken(voice_id: str) -> ServiceError:
    return ServiceError(
        Reason.VOICE_ALREADY_EXISTS,
        f"there is a voice {voice_id} already; delete it first, or use another id",
        metadata={"voice": voice_id},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
