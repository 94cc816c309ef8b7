"""The Free Spoken Digit Dataset, and utterances put together from it.

Features are Whisper's: 80 mel bands of 25 ms windows every 10 ms, as powers; joining, noise and
loudness happen on powers, and the logarithm is taken last.
"""

from __future__ import annotations

import io
import re
import tarfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

RATE = 16_000
FRAME_SECONDS = 0.01
TEST_TAKES = range(5)
"""The takes that the dataset's authors set aside for testing, of every speaker and digit."""

_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
_FILTERS = torch.from_numpy(FeatureExtractor.get_mel_filters(RATE, 400, n_mels=80)).float()
_WINDOW = torch.hann_window(400)
# The mean frequency of every band, in bins of the spectrum.
_CENTRES = (_FILTERS @ torch.arange(201.0) / _FILTERS.sum(1)).numpy().astype(np.float64)

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """One digit, spoken once. `power` has the shape [80, frames]."""

    digit: int
    speaker: str
    take: int
    samples: NDArray[np.int16]
    """At 8 kHz."""
    power: Features


def load(archive: Path) -> list[Recording]:
    """All recordings of the dataset's archive."""
    recordings = []
    with tarfile.open(archive) as tar:
        for member in tar:
            match = _NAME.fullmatch(Path(member.name).name)
            file = tar.extractfile(member) if match else None
            if match is None or file is None:
                continue
            with wave.open(io.BytesIO(file.read())) as wav:
                samples = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
            power = mel_power(doubled(samples.astype(np.float32) / 32768))
            recordings.append(
                Recording(int(match[1]), match[2], int(match[3]), samples.astype(np.int16), power)
            )
    return sorted(recordings, key=lambda each: (each.speaker, each.digit, each.take))


def doubled(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same sound at twice the rate, band-limited."""
    spectrum = np.fft.rfft(samples)
    padded = np.zeros(len(samples) + 1, dtype=spectrum.dtype)
    padded[: len(spectrum)] = spectrum
    return (np.fft.irfft(padded, 2 * len(samples)) * 2).astype(np.float32)


def mel_power(samples: NDArray[np.float32]) -> Features:
    """Powers in mel bands, [80, frames]."""
    signal = torch.from_numpy(np.pad(samples, 200))
    spectrum = torch.stft(signal, 400, 160, window=_WINDOW, center=False, return_complex=True)
    return (_FILTERS @ spectrum.abs().square()).numpy().astype(np.float32)


def normalized(power: Features) -> Features:
    """Whisper's logarithm of powers: 80 dB below the loudest is the floor."""
    log = np.log10(np.maximum(power, 1e-10))
    return ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


@dataclass(frozen=True)
class Utterance:
    """Digits in a row. Times are in seconds."""

    digits: tuple[int, ...]
    power: Features
    start: float
    end: float


def utter(recordings: Sequence[Recording], rng: np.random.Generator, most: int) -> Utterance:
    """Up to `most` digits of one speaker, made to sound like many: with another length of the
    vocal tract and another pace, pauses, another loudness, and some noise."""
    first = recordings[rng.integers(len(recordings))]
    same = [each for each in recordings if each.speaker == first.speaker]
    count = int(rng.integers(1, most + 1))
    chosen = [first, *(same[rng.integers(len(same))] for _ in range(count - 1))]
    lead = int(rng.integers(0, 150 if rng.random() < 0.1 else 40))
    parts = [np.zeros((80, lead), dtype=np.float32)]
    tract, pace = _between(rng, 0.82, 1.22), _between(rng, 0.8, 1.25)
    for index, each in enumerate(chosen):
        if index:
            parts.append(np.zeros((80, int(rng.integers(0, 25))), dtype=np.float32))
        # Loudness varies from word to word as it does in speech.
        changed = _varied(each.power, tract, pace * _between(rng, 0.92, 1.09))
        parts.append(changed * np.float32(10 ** rng.uniform(-0.3, 0.3)))
    power = np.concatenate(parts, axis=1)
    power *= np.float32(10 ** rng.uniform(-1.5, 0.8))
    if rng.random() < 0.7:
        level = power.max() * 10 ** rng.uniform(-7.0, -2.5)
        tilt = 10 ** (np.linspace(0, 1, 80)[:, None] * rng.uniform(-1.5, 0.5))
        power = power + (level * tilt * rng.exponential(size=power.shape)).astype(np.float32)
    end = power.shape[1] * FRAME_SECONDS
    return Utterance(tuple(each.digit for each in chosen), power, lead * FRAME_SECONDS, end)


def _varied(power: Features, tract: float, pace: float) -> Features:
    """The same word from a vocal tract of another length, and at another pace.

    Frequencies are scaled by `tract` and time by `1 / pace`, both by linear interpolation: Jaitly
    and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition", 2013.
    """
    bands = np.interp(_CENTRES * tract, _CENTRES, np.arange(len(_CENTRES)))
    length = max(2, round(power.shape[1] / pace))
    return _sampled(_sampled(power, bands).T, np.linspace(0, power.shape[1] - 1, length)).T


def _sampled(rows: Features, places: NDArray[np.float64]) -> Features:
    """Rows at places between them."""
    low = np.minimum(places.astype(np.int64), len(rows) - 2)
    share = (places - low).astype(np.float32)[:, None]
    mixed: Features = rows[low] * (1 - share) + rows[low + 1] * share
    return mixed


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """A factor, evenly spread on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
