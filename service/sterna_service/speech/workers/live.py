"""Audio that is recognised while it is spoken.

Speech is cut into utterances at silences, or where the caller says. While one goes on, it is
recognised again and again; of two passes that follow each other the common beginning is told
(local agreement: Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System",
2023). When it ends, it is recognised once more, for good.

Two threads meet here: one hears (`feed`, `commit`, `clear`, `finish`), which takes no time, and one
recognises (`recognize_due`). What is ready to be recognised goes from the first to the second
through a deque.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
# What is kept from before speech was noticed, and frames from after it: consonants are quiet, and
# recognisers hear words in long silences.
_PADDING = int(0.3 * RATE)
_KEPT_SILENCE = 6
# The window of Whisper is 30 s.
_LONGEST = 28 * RATE
# Interim passes take at most half of the time.
_SHORTEST_PERIOD = 0.5
_PERIOD_SHARE = 2.0

Samples = NDArray[np.float32]
Event = tuple[str, dict[str, Any]]
Recognize = Callable[[Samples], tuple[Iterator[Any], Any]]


@dataclass(eq=False)
class _Utterance:
    """Speech from its beginning to its end, or to where the recogniser's window is full."""

    start: int
    """In samples from the beginning of the audio."""
    blocks: list[Samples]
    next_pass: float
    over: bool = False
    """Nothing is added any more."""
    previous: list[str] = field(default_factory=list)
    agreed: list[str] = field(default_factory=list)

    @property
    def audio(self) -> Samples:
        return np.concatenate(self.blocks[:])


@dataclass(frozen=True)
class _Part:
    """What is to be recognised for good; `last` when the utterance ends with it."""

    audio: Samples
    start: int
    end: int
    last: bool


class LiveStream:
    """One microphone. `rate` and `channels` describe its 16-bit samples.

    `by_hand` leaves it to `commit` to say where an utterance ends; voice activity is not looked
    for.
    """

    def __init__(
        self,
        recognize: Recognize,
        *,
        rate: int,
        channels: int,
        interim: bool,
        by_hand: bool = False,
    ) -> None:
        self._recognize = recognize
        self._rate, self._channels = rate, channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._interim = interim
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=RATE)
        self._detector = None if by_hand else VoiceDetector()
        self._odd = b""
        self._pending = np.zeros(0, dtype=np.float32)
        self._heard = 0
        """Samples at 16 kHz that were looked at."""
        self._before = np.zeros(0, dtype=np.float32)
        self._utterance: _Utterance | None = None
        self._loud = 0
        self._quiet = 0
        self._parts: collections.deque[_Part] = collections.deque()

    @property
    def seconds(self) -> float:
        """How much audio came."""
        return (self._heard + len(self._pending)) / RATE

    @property
    def due(self) -> bool:
        """Whether there is something to recognise now."""
        utterance = self._utterance
        interim = (
            self._interim and utterance is not None and time.monotonic() >= utterance.next_pass
        )
        return bool(self._parts) or interim

    @property
    def waiting(self) -> float:
        """Seconds of audio that were heard and are still to be recognised for good."""
        return sum(len(part.audio) for part in tuple(self._parts)) / RATE

    def feed(self, data: bytes) -> Iterator[Event]:
        """Takes samples; yields the voice activity in them."""
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

    def commit(self) -> Iterator[Event]:
        """Ends the utterance in progress, if there is one."""
        if self._utterance is not None:
            self._utterance.blocks.append(self._pending)
            self._heard += len(self._pending)
            self._pending = self._pending[:0]
            yield from self._end(quiet=self._quiet)
        else:
            # Nothing was said: that, too, is an answer to who waits for a text.
            self._parts.append(_Part(self._before[:0], self._heard, self._heard, last=True))

    def clear(self) -> Iterator[Event]:
        """Forgets the utterance in progress and what was not recognised yet."""
        self._parts.clear()
        self._heard += len(self._pending)
        self._pending = self._pending[:0]
        utterance, self._utterance = self._utterance, None
        self._before = self._before[:0]
        self._loud = self._quiet = 0
        if utterance is not None:
            utterance.over = True
            if self._detector is not None:
                yield "activity", {"began": False, "offset": self._heard / RATE}

    def finish(self) -> Iterator[Event]:
        """The end of the audio."""
        yield from self._take(self._resampler.resample(None))
        if self._utterance is not None:
            yield from self._end(quiet=self._quiet)

    def recognize_due(self) -> Iterator[Event]:
        """Recognises what is complete, for good; if nothing is, what there is so far."""
        if not self._parts:
            yield from self._pass()
        while self._parts:
            part = self._parts.popleft()
            if len(part.audio):
                yield from self._recognized(part)
            if part.last:
                yield "utterance", {"end": part.end / RATE}

    def _take(self, frames: list[AudioFrame]) -> Iterator[Event]:
        blocks = [frame.to_ndarray()[0] for frame in frames]
        pending = np.concatenate([self._pending, *blocks])
        count = len(pending) // FRAME
        self._pending = pending[count * FRAME :]
        for index in range(count):
            yield from self._step(pending[index * FRAME : (index + 1) * FRAME])

    def _step(self, frame: Samples) -> Iterator[Event]:
        probability = 1.0 if self._detector is None else self._detector.probability(frame)
        self._heard += FRAME
        utterance = self._utterance
        if utterance is None:
            self._before = np.concatenate([self._before, frame])[-_PADDING:]
            self._loud = self._loud + 1 if probability >= _BEGIN_PROBABILITY else 0
            if self._detector is None or self._loud >= _BEGIN_FRAMES:
                start = self._heard - len(self._before)
                self._begin(start, self._before)
                if self._detector is not None:
                    yield "activity", {"began": True, "offset": start / RATE}
            return
        utterance.blocks.append(frame)
        self._quiet = self._quiet + 1 if probability < _END_PROBABILITY else 0
        if self._quiet >= _END_FRAMES:
            yield from self._end(quiet=self._quiet)
        elif self._heard - utterance.start >= _LONGEST:
            self._cut(utterance, last=False)
            self._begin(self._heard, frame[:0])

    def _begin(self, start: int, audio: Samples) -> None:
        self._utterance = _Utterance(start, [audio], time.monotonic() + _SHORTEST_PERIOD)
        self._loud = self._quiet = 0

    def _end(self, *, quiet: int) -> Iterator[Event]:
        utterance, self._utterance = self._utterance, None
        assert utterance is not None
        self._before = np.zeros(0, dtype=np.float32)
        dropped = max(0, quiet - _KEPT_SILENCE)
        if dropped:
            del utterance.blocks[-dropped:]
        self._cut(utterance, last=True)
        if self._detector is not None:
            yield "activity", {"began": False, "offset": (self._heard - quiet * FRAME) / RATE}

    def _cut(self, utterance: _Utterance, *, last: bool) -> None:
        utterance.over = True
        self._parts.append(_Part(utterance.audio, utterance.start, self._heard, last))

    def _recognized(self, part: _Part) -> Iterator[Event]:
        from sterna_service.speech.workers.recognizer import segment_fields

        offset = part.start / RATE
        segments, _ = self._recognize(part.audio)
        for segment in segments:
            fields = segment_fields(segment)
            for each in (fields, *fields["words"]):
                each["start"] += offset
                each["end"] = min(each["end"] + offset, part.end / RATE)
            yield "segment", {"segment": fields}

    def _pass(self) -> Iterator[Event]:
        """Recognises what there is of the utterance; tells the words that stay."""
        utterance = self._utterance
        if utterance is None or len(audio := utterance.audio) < FRAME:
            return
        began = time.monotonic()
        segments, _ = self._recognize(audio)
        words = " ".join(segment.text for segment in segments).split()
        common = 0
        for old, new in zip(utterance.previous, words, strict=False):
            if old != new:
                break
            common += 1
        utterance.previous = words
        taken = time.monotonic() - began
        utterance.next_pass = time.monotonic() + max(_SHORTEST_PERIOD, taken * _PERIOD_SHARE)
        # One that ended meanwhile is told for good in a moment.
        if common > len(utterance.agreed) and not utterance.over:
            utterance.agreed = words[:common]
            yield "interim", {"text": " ".join(utterance.agreed), "end": self._heard / RATE}
