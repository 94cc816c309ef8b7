"""Samples that were made, coded as they come."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.filter import Graph
from numpy.typing import NDArray

# Container, codec, options. An MP3 that is streamed has no table of contents at its front, and a
# page of Ogg leaves with every 80 ms of speech.
_FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "opus": ("ogg", "libopus", {"page_duration": "80000"}),
    "aac": ("adts", "aac", {}),
    "flac": ("flac", "flac", {}),
}
# The length of a stream is not known when its header leaves.
_UNKNOWN_LENGTH = 0xFFFFFFFF


class Encoder:
    """Turns blocks of mono samples into bytes of one file.

    `encoding` is a value of `speech.types.Encoding`. `speed` changes the pace and not the pitch.
    """

    def __init__(self, encoding: str, source_rate: int, rate: int, speed: float) -> None:
        self._source_rate = source_rate
        self._rate = rate
        self._tempo = _Tempo(source_rate, speed) if speed != 1.0 else None
        self._raw = encoding in ("pcm", "wav")
        self._head = wav_header(rate) if encoding == "wav" else b""
        self._resampler: Any = None
        self._count = 0
        if self._raw:
            if rate != source_rate:
                self._resampler = AudioResampler(format="s16", layout="mono", rate=rate)
            return
        container, codec, options = _FORMATS[encoding]
        self._sink = _Sink()
        self._file = av.open(self._sink, mode="w", format=container, options=options)
        self._track: Any = self._file.add_stream(codec, rate=rate)
        self._track.layout = "mono"
        self._resampler = AudioResampler(format=self._track.format.name, layout="mono", rate=rate)

    @property
    def seconds(self) -> float:
        """How long the audio is that was coded so far."""
        return self._count / self._rate

    def push(self, samples: NDArray[np.float32]) -> bytes:
        """Codes a block of samples, [-1, 1]; returns the bytes that are complete."""
        scaled = np.clip(samples * 32767.0, -32768, 32767).astype(np.int16)
        blocks = [scaled] if self._tempo is None else self._tempo.push(scaled)
        return self._code(blocks)

    def finish(self) -> bytes:
        """The rest of the file."""
        data = self._code(self._tempo.finish()) if self._tempo is not None else b""
        if self._resampler is not None:
            data += self._write(self._resampler.resample(None))
        if not self._raw:
            for packet in self._track.encode(None):
                self._file.mux(packet)
            # Ogg writes its last page here.
            self._file.close()
            data += self._sink.take()
        return data

    def _code(self, blocks: list[NDArray[np.int16]]) -> bytes:
        data = b""
        for block in blocks:
            if self._resampler is None:
                self._count += len(block)
                data += block.tobytes()
            else:
                data += self._write(self._resampler.resample(_frame(block, self._source_rate)))
        head, self._head = self._head, b""
        return head + data

    def _write(self, frames: list[AudioFrame]) -> bytes:
        if self._raw:
            self._count += sum(frame.samples for frame in frames)
            return b"".join(frame.to_ndarray()[0].tobytes() for frame in frames)
        for frame in frames:
            frame.pts = self._count
            frame.time_base = Fraction(1, self._rate)
            self._count += frame.samples
            for packet in self._track.encode(frame):
                self._file.mux(packet)
        return self._sink.take()


def wav_header(rate: int, length: int | None = None) -> bytes:
    """The header of a mono 16-bit WAV; `length` bytes of samples follow, if that is known."""
    size = _UNKNOWN_LENGTH if length is None else length
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        _UNKNOWN_LENGTH if length is None else 36 + length,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        rate * 2,
        2,
        16,
        b"data",
        size,
    )


class _Tempo:
    """FFmpeg's `atempo`: another pace at the same pitch."""

    def __init__(self, rate: int, speed: float) -> None:
        self._rate = rate
        self._count = 0
        self._graph = Graph()
        source = self._graph.add_abuffer(
            sample_rate=rate, format="s16", layout="mono", time_base=Fraction(1, rate)
        )
        # One stage of the filter takes 0.5 and more.
        stages = [speed] if speed >= 0.5 else [0.5, speed / 0.5]
        nodes = [self._graph.add("atempo", str(stage)) for stage in stages]
        sink = self._graph.add("abuffersink")
        for before, after in zip([source, *nodes], [*nodes, sink], strict=True):
            before.link_to(after)
        self._graph.configure()

    def push(self, block: NDArray[np.int16]) -> list[NDArray[np.int16]]:
        frame = _frame(block, self._rate)
        frame.pts = self._count
        frame.time_base = Fraction(1, self._rate)
        self._count += len(block)
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> list[NDArray[np.int16]]:
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> list[NDArray[np.int16]]:
        blocks: list[NDArray[np.int16]] = []
        while True:
            try:
                pulled = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return blocks
            assert isinstance(pulled, AudioFrame)
            blocks.append(pulled.to_ndarray()[0])


class _Sink(io.RawIOBase):
    """Collects what a muxer writes; it cannot go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


def _frame(block: NDArray[np.int16], rate: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(block)[None], format="s16", layout="mono")
    frame.sample_rate = rate
    return frame
