"""The speech models that exist: what each is, where it comes from, how large, under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a model does; also the name of its folder under `speech/` in the home directory."""

    RECOGNITION = "recognition"
    SYNTHESIS = "synthesis"


@dataclass(frozen=True, slots=True)
class Weights:
    """One model of the catalogue."""

    name: str
    kind: Kind
    repository: str
    """Its repository on the Hugging Face hub."""
    megabytes: int
    """About how much is downloaded."""
    licence: str
    gated_repository: str = ""
    """Where weights that can also clone voices are, for those who accepted its terms."""

    @property
    def command(self) -> str:
        """What downloads it."""
        return f"sterna pull --voice {self.name}"


def _whisper(name: str, megabytes: int, repository: str = "") -> Weights:
    return Weights(
        name,
        Kind.RECOGNITION,
        repository or f"Systran/faster-whisper-{name}",
        megabytes,
        "MIT",
    )


def _pocket(name: str, megabytes: int) -> Weights:
    return Weights(
        name,
        Kind.SYNTHESIS,
        "kyutai/pocket-tts-without-voice-cloning",
        megabytes,
        "CC-BY-4.0",
        gated_repository="kyutai/pocket-tts",
    )


_ALL = (
    _whisper("tiny", 78),
    _whisper("tiny.en", 78),
    _whisper("base", 148),
    _whisper("base.en", 148),
    _whisper("small", 486),
    _whisper("small.en", 486),
    _whisper("medium", 1530),
    _whisper("medium.en", 1530),
    _whisper("large-v1", 3090),
    _whisper("large-v2", 3090),
    _whisper("large-v3", 3090),
    _whisper("turbo", 1620, "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    _whisper("distil-small.en", 335, "Systran/faster-distil-whisper-small.en"),
    _whisper("distil-medium.en", 790, "Systran/faster-distil-whisper-medium.en"),
    _whisper("distil-large-v3", 1510, "Systran/faster-distil-whisper-large-v3"),
    _pocket("english", 440),
    _pocket("english_18m_refl_2026-10", 112),
    _pocket("english_7m_refl_2026-10", 67),
    _pocket("english_2m_refl_2026-10", 47),
    _pocket("french", 440),
    _pocket("german", 440),
    _pocket("italian", 440),
    _pocket("spanish", 440),
    _pocket("portuguese", 440),
    _pocket("dutch", 440),
)

CATALOGUE: dict[str, Weights] = {weights.name: weights for weights in _ALL}
"""By name. Names of both kinds differ."""

_ALIASES = {"large": "large-v3", "large-v3-turbo": "turbo"}
_DEFAULTS = {Kind.RECOGNITION: {"", "whisper-1", "whisper"}, Kind.SYNTHESIS: {"", "tts-1", "tts"}}
_PREFIXES = ("faster-whisper-", "faster-distil-whisper-", "whisper-")


def is_default(kind: Kind, name: str) -> bool:
    """Whether a request's `model` stands for the configured one."""
    return name in _DEFAULTS[kind]


def short_name(kind: Kind, name: str) -> str:
    """A request's `model` as the catalogue spells it, if it is there at all."""
    if kind is Kind.RECOGNITION and name not in CATALOGUE:
        # `whisper-base`, or the repository that it comes from.
        last = name.rpartition("/")[2]
        for prefix in _PREFIXES:
            if last.startswith(prefix):
                name = last.removeprefix(prefix)
                break
    return _ALIASES.get(name, name)
