"""Whether a recording will do as the sample of a voice."""

from __future__ import annotations

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from sterna_service.speech.workers.decode import decode
from sterna_service.speech.workers.serve import WorkerError
from sterna_service.speech.workers.voice_activity import RATE as VAD_RATE
from sterna_service.speech.workers.voice_activity import speech_seconds

SHORTEST_SECONDS = 3.0
LEAST_SPEECH_SECONDS = 2.0
# Quieter than this, a microphone's noise is a good part of the voice.
QUIETEST_DBFS = -45.0
# Full-scale samples in a row of recordings that are loud, but not clipped, are rarer than this.
_MOST_CLIPPED = 0.01
_CLIPPED_LEVEL = 0.999


def check_sample(data: bytes, rate: int, max_seconds: float) -> tuple[NDArray[np.float32], float]:
    """The samples at `rate` Hz, mono, and their length in seconds.

    Raises:
        WorkerError: The file cannot be decoded, is too long, or makes no voice.
    """
    audio = decode(data, rate, max_seconds)
    seconds = len(audio) / rate
    if seconds < SHORTEST_SECONDS:
        raise _unusable(
            "length", f"is {seconds:.1f} s long; send {SHORTEST_SECONDS:g} to {max_seconds:g} s"
        )
    level = 20.0 * float(np.log10(max(float(np.sqrt(np.mean(audio**2))), 1e-9)))
    if level < QUIETEST_DBFS:
        raise _unusable(
            "level", f"is too quiet ({level:.0f} dBFS, at least {QUIETEST_DBFS:g}); speak louder"
        )
    clipped = float(np.mean(np.abs(audio) >= _CLIPPED_LEVEL))
    if clipped > _MOST_CLIPPED:
        raise _unusable(
            "clipping",
            f"is clipped ({clipped:.0%} of it at full scale); record it with less gain",
        )
    spoken = speech_seconds(_resampled(audio, rate, VAD_RATE))
    if spoken < LEAST_SPEECH_SECONDS:
        raise _unusable(
            "speech",
            f"holds {spoken:.1f} s of speech; {LEAST_SPEECH_SECONDS:g} s are the least",
        )
    return audio, seconds


def _resampled(audio: NDArray[np.float32], source: int, rate: int) -> NDArray[np.float32]:
    frame = AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
    frame.sample_rate = source
    resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([each.to_ndarray()[0] for each in frames])


def _unusable(check: str, problem: str) -> WorkerError:
    return WorkerError("VOICE_SAMPLE_UNUSABLE", f"the sample {problem}", check=check)
