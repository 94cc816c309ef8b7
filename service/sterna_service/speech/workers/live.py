"""Audio that is recognised while it is spoken.

Speech is cut into utterances at silences. While one goes on, it is recognised again and again; of
two passes that follow each other the common beginning is told (local agreement: Macháček,
Dabre and Bojar, "Turning Whisper into Real-Time Transcription System", 2023). When it ends, it is
recognised once more, for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from sterna_service.speech.workers.voice_activity import FRAME, RATE, VoiceDetector

_BEGIN_PROBABILITY = 0.5
_END_PROBABILITY = 0.35
# Frames of 32 ms: two begin speech, sixteen of silence (0.5 s) end it.
_BEGIN_FRAMES = 2
_END_FRAMES = 16
# What is kept from before speech was noticed: consonants are quiet.
_PADDING = int(0.3 * RATE)
# The window of Whisper is 30 s.
_LONGEST = 28 * RATE
# Interim passes take at most half of the time.
_SHORTEST_PERIOD = 0.5
_PERIOD_SHARE = 2.0

Event = tuple[str, dict[str, Any]]
Recognize = Callable[[NDArray[np.float32]], tuple[Iterator[Any], Any]]


class LiveStream:
    """One microphone. `rate` and `channels` describe its 16-bit samples."""

    def __init__(self, recognize: Recognize, *, rate: int, channels: int, interim: bool) -> None:
        self._recognize = recognize
        self._rate, self._channels = rate, channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._interim = interim
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=RATE)
        self._detector = VoiceDetector()
        self._odd = b""
        self._pending = np.zeros(0, dtype=np.float32)
        self._heard = 0
        """Samples at 16 kHz that went through the detector."""
        self._before = np.zeros(0, dtype=np.float32)
        self._utterance: list[NDArray[np.float32]] = []
        self._start = 0
        self._loud = 0
        self._quiet = 0
        self._previous: list[str] = []
        self._agreed: list[str] = []
        self._next_pass = 0.0

    @property
    def seconds(self) -> float:
        """How much audio came."""
        return (self._heard + len(self._pending)) / RATE

    def feed(self, data: bytes) -> Iterator[Event]:
        """Takes samples; yields what happened in them."""
        data = self._odd + data
        width = 2 * self._channels
        whole = len(data) - len(data) % width
        data, self._odd = data[:whole], data[whole:]
        if not data:
            return
        samples = np.frombuffer(data, dtype="<i2")
        frame = AudioFrame.from_ndarray(samples[None], format="s16", layout=self._layout)
        frame.sample_rate = self._rate
        yield from self._take(self._resampler.resample(frame))
        if self._interim and self._utterance and time.monotonic() >= self._next_pass:
            yield from self._pass()

    def finish(self) -> Iterator[Event]:
        """The end of the audio."""
        yield from self._take(self._resampler.resample(None))
        if self._utterance:
            yield from self._end()

    def _take(self, frames: list[AudioFrame]) -> Iterator[Event]:
        blocks = [frame.to_ndarray()[0] for frame in frames]
        pending = np.concatenate([self._pending, *blocks])
        count = len(pending) // FRAME
        self._pending = pending[count * FRAME :]
        for index in range(count):
            yield from self._step(pending[index * FRAME : (index + 1) * FRAME])

    def _step(self, frame: NDArray[np.float32]) -> Iterator[Event]:
        probability = self._detector.probability(frame)
        self._heard += FRAME
        if not self._utterance:
            self._before = np.concatenate([self._before, frame])[-_PADDING:]
            self._loud = self._loud + 1 if probability >= _BEGIN_PROBABILITY else 0
            if self._loud >= _BEGIN_FRAMES:
                self._begin()
                yield "activity", {"began": True, "offset": self._start / RATE}
            return
        self._utterance.append(frame)
        self._quiet = self._quiet + 1 if probability < _END_PROBABILITY else 0
        length = self._heard - self._start
        if self._quiet >= _END_FRAMES or length >= _LONGEST:
            yield from self._end()

    def _begin(self) -> None:
        self._utterance = [self._before]
        self._start = self._heard - len(self._before)
        self._loud = self._quiet = 0
        self._previous, self._agreed = [], []
        self._next_pass = time.monotonic() + _SHORTEST_PERIOD

    def _end(self) -> Iterator[Event]:
        audio = np.concatenate(self._utterance)
        self._utterance = []
        self._before = np.zeros(0, dtype=np.float32)
        spoken = self._heard - self._quiet * FRAME
        yield "activity", {"began": False, "offset": spoken / RATE}
        from sterna_service.speech.workers.recognizer import segment_fields

        offset = self._start / RATE
        segments, _ = self._recognize(audio)
        for segment in segments:
            fields = segment_fields(segment)
            for each in (fields, *fields["words"]):
                each["start"] += offset
                each["end"] = min(each["end"] + offset, self._heard / RATE)
            yield "segment", {"segment": fields}

    def _pass(self) -> Iterator[Event]:
        """Recognises what there is of the utterance; tells the words that stay."""
        began = time.monotonic()
        segments, _ = self._recognize(np.concatenate(self._utterance))
        words = " ".join(segment.text for segment in segments).split()
        common = 0
        for old, new in zip(self._previous, words, strict=False):
            if old != new:
                break
            common += 1
        self._previous = words
        taken = time.monotonic() - began
        self._next_pass = time.monotonic() + max(_SHORTEST_PERIOD, taken * _PERIOD_SHARE)
        if common > len(self._agreed):
            self._agreed = words[:common]
            yield "interim", {"text": " ".join(self._agreed), "end": self._heard / RATE}
