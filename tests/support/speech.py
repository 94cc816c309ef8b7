"""Homes with tiny speech models, recordings, and what tests of speech ask of a server."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sterna_service.speech.worker import Worker
from tests.support import tiny_voice
from tests.support.core import eventually

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "speech"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_PACKAGES = ("av", "faster_whisper", "pocket_tts")

# Makes the bundle once per checkout: importing torch takes longer than all tests of it.
_CACHE = ROOT / "build" / "voice-fixtures"


def missing_packages() -> list[str]:
    """What of the extra `voice` is not installed here."""
    return [name for name in _PACKAGES if importlib.util.find_spec(name) is None]


def speech_home(home: Path) -> Path:
    """A home with the recogniser of digits and a synthesis bundle of random weights."""
    shutil.copytree(DATA / "digits", home / "speech" / "recognition" / "digits")
    shutil.copytree(_bundle(), home / "speech" / "synthesis" / "english")
    return home


def _bundle() -> Path:
    source = Path(tiny_voice.__file__).read_bytes()
    bundle = _CACHE / hashlib.sha256(source).hexdigest()[:16]
    if not bundle.is_dir():
        unfinished = bundle.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [sys.executable, "-m", "tests.support.tiny_voice", str(unfinished)]
        subprocess.run(command, check=True, cwd=ROOT, timeout=240)
        unfinished.rename(bundle)
    return bundle


def recording(digit: int) -> bytes:
    """A WAV with one spoken digit."""
    path = next((DATA / "recordings").glob(f"{digit}_*.wav"))
    return path.read_bytes()


def spoken(digits: Iterable[int], pause: float = 0.1) -> bytes:
    """16-bit samples at 8 kHz: the digits, with pauses of so many seconds around them."""
    gap = bytes(2 * int(8000 * pause))
    parts = [gap]
    for digit in digits:
        with wave.open(io.BytesIO(recording(digit))) as file:
            parts += [file.readframes(file.getnframes()), gap]
    return b"".join(parts)


def wav(samples: bytes, rate: int = 8000) -> bytes:
    """A WAV of 16-bit mono samples."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return out.getvalue()


CONTAINERS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "mp3": ("mp3", "libmp3lame", 16_000),
    "m4a": ("mp4", "aac", 16_000),
    "aac": ("adts", "aac", 16_000),
    "ogg": ("ogg", "flac", 16_000),
    "opus": ("ogg", "libopus", 48_000),
    "flac": ("flac", "flac", 16_000),
    "webm": ("webm", "libopus", 48_000),
}
"""File endings to muxer, codec and samples per second."""


def coded(ending: str, samples: bytes, rate: int = 8000) -> bytes:
    """16-bit mono samples as a file of a kind. Needs PyAV."""
    import av
    import numpy as np

    kind, codec, coded_rate = CONTAINERS[ending]
    frame = av.AudioFrame.from_ndarray(
        np.frombuffer(samples, dtype="<i2")[None], format="s16", layout="mono"
    )
    frame.sample_rate = rate
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        track: Any = container.add_stream(codec, rate=coded_rate)
        track.layout = "mono"
        resampler = av.AudioResampler(format=track.format.name, layout="mono", rate=coded_rate)
        fifo = av.AudioFifo()
        for each in (*resampler.resample(frame), *resampler.resample(None)):
            each.pts = None
            fifo.write(each)
        size = track.frame_size or 1024
        while block := fifo.read(size) or fifo.read(0):
            for packet in track.encode(block):
                container.mux(packet)
        for packet in track.encode(None):
            container.mux(packet)
    return out.getvalue()


def silent_flac(seconds: int, rate: int = 16_000) -> bytes:
    """A small file that decodes to a lot of silence. Needs PyAV."""
    import av
    import numpy as np

    out = io.BytesIO()
    with av.open(out, "w", format="flac") as container:
        track: Any = container.add_stream("flac", rate=rate)
        track.layout = "mono"
        minute = np.zeros((1, rate * 60), dtype=np.int16)
        for _ in range(0, seconds, 60):
            frame = av.AudioFrame.from_ndarray(minute, format="s16", layout="mono")
            frame.sample_rate = rate
            for packet in track.encode(frame):
                container.mux(packet)
        for packet in track.encode(None):
            container.mux(packet)
    return out.getvalue()


def float_wav(samples: Iterable[float], rate: int = 16_000) -> bytes:
    """A WAV of 32-bit floats, which may hold anything."""
    values = list(samples)
    data = struct.pack(f"<{len(values)}f", *values)
    head = struct.pack(
        "<4sI8sIHHIIHH4sI",
        b"RIFF",
        36 + len(data),
        b"WAVEfmt ",
        16,
        3,
        1,
        rate,
        4 * rate,
        4,
        32,
        b"data",
        len(data),
    )
    return head + data


async def messages(
    kind: type[Any], config: Any, data: bytes, size: int = 64 * 1024
) -> AsyncIterator[Any]:
    """The requests of an upload: the configuration, then the data."""
    yield kind(config=config)
    for begin in range(0, len(data), size):
        yield kind(audio=data[begin : begin + size])


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something holds that nobody announces."""

    async def holds() -> bool:
        return condition()

    await eventually(holds)


@contextlib.contextmanager
def paused(worker: Worker) -> Iterator[None]:
    """Inside, the running process of a worker computes nothing: what it was asked for waits."""
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)
