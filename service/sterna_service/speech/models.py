"""From the name in a request to a directory on this machine; names never become paths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sterna_service.errors import Reason, ServiceError
from sterna_service.speech.bundle import missing_bundle_file, missing_recognition_file
from sterna_service.speech.catalogue import CATALOGUE, Kind, is_default, short_name


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """A model that is here."""

    model_id: str
    path: Path


class SpeechModels:
    """The speech models under `home/speech/KIND`, and the one that the settings name.

    `configured` is a name of the catalogue or a directory; only the operator can give the latter.
    """

    def __init__(self, kind: Kind, home: Path, configured: str) -> None:
        self._kind = kind
        self._folder = home / "speech" / kind.value
        directory = Path(configured).expanduser()
        is_directory = os.sep in configured or directory.is_dir()
        self._outside = directory.resolve() if is_directory else None
        self._default = self._outside.name if self._outside else short_name(kind, configured)

    @property
    def default_path(self) -> Path:
        """Where the configured model is, or would be."""
        return self._outside or self._folder / self._default

    def available(self) -> list[str]:
        """The ids of the models that are here, the configured one first."""
        found = {path.name for path in self._folder.glob("*") if self._missing(path) is None}
        if self._missing(self.default_path) is None:
            return [self._default, *sorted(found - {self._default})]
        return sorted(found)

    def find(self, name: str) -> SpeechModel:
        """The model that a request names.

        Raises:
            ServiceError: There is no such model, or its weights are not on this machine.
        """
        wanted = self._default if is_default(self._kind, name) else short_name(self._kind, name)
        if wanted == self._default:
            return self._checked(self.default_path, wanted)
        if wanted in self.available() or wanted in self._known():
            return self._checked(self._folder / wanted, wanted)
        here = ", ".join(self.available()) or "none"
        raise ServiceError(
            Reason.MODEL_NOT_FOUND,
            f"there is no {self._kind} model {name!r}; on this server: {here}",
            metadata={"model": name},
        )

    def _known(self) -> set[str]:
        return {name for name, weights in CATALOGUE.items() if weights.kind is self._kind}

    def _missing(self, path: Path) -> str | None:
        if self._kind is Kind.RECOGNITION:
            return missing_recognition_file(path)
        return missing_bundle_file(path)

    def _checked(self, path: Path, name: str) -> SpeechModel:
        missing = self._missing(path)
        if missing is None:
            return SpeechModel(name, path)
        if name in self._known() and self._outside is None:
            command = CATALOGUE[name].command
            raise ServiceError(
                Reason.SPEECH_WEIGHTS_MISSING,
                f"the weights of the {self._kind} model {name} are not on this server; run "
                f"{command} there",
                metadata={"model": name, "command": command},
            )
        raise ServiceError(
            Reason.SPEECH_WEIGHTS_MISSING,
            f"the {self._kind} model {name} lacks the file {missing}; run sterna pull --voice, or "
            "name another directory in the settings",
            metadata={"model": name, "command": "sterna pull --voice"},
        )
