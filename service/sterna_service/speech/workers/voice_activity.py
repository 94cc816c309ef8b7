"""Where somebody speaks, while the audio still comes: Silero's detector, frame by frame."""

from __future__ import annotations

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

RATE = 16_000
FRAME = 512
_CONTEXT = 64


class VoiceDetector:
    """Probabilities of speech for frames of 32 ms that follow each other.

    The network takes each frame after the last 64 samples of the one before, and hands on its
    recurrent state (2 x [1, 1, 128]).
    """

    def __init__(self) -> None:
        self._session = get_vad_model().session
        self._h = np.zeros((1, 1, 128), dtype=np.float32)
        self._c = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)

    def probability(self, frame: NDArray[np.float32]) -> float:
        """How probable speech is in the next 512 samples at 16 kHz."""
        block = np.concatenate([self._context, frame])[None].astype(np.float32, copy=False)
        output, self._h, self._c = self._session.run(
            None, {"input": block, "h": self._h, "c": self._c}
        )
        self._context = frame[-_CONTEXT:]
        return float(np.asarray(output).reshape(-1)[-1])


def speech_seconds(audio: NDArray[np.float32], threshold: float = 0.5) -> float:
    """How many seconds of a recording at 16 kHz are speech."""
    detector = VoiceDetector()
    frames = len(audio) // FRAME
    spoken = sum(
        detector.probability(audio[i * FRAME : (i + 1) * FRAME]) >= threshold for i in range(frames)
    )
    return spoken * FRAME / RATE
