"""Recordings of anybody's making, decoded with bounds.

FFmpeg reads from memory and from nothing else: formats that refer to other files or addresses
(playlists, concatenations) are not on the list. Limits count what was decoded; what a header
claims decides nothing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from sterna_service.speech.workers.serve import WorkerError

FORMATS = "wav,mp3,mov,mp4,m4a,ogg,flac,matroska,webm,aac"
_READABLE = "wav, mp3, m4a, ogg, opus, flac and webm"

# Formats whose headers say how long the audio is, so that a file which was cut off can be told.
# FFmpeg believes the file and not the header of WAV: see `_wav_is_cut_off`.
_EXACT_FORMATS = {"flac", "matroska,webm"}
_CUT_OFF_SHARE = 0.9
_UNKNOWN_SIZE = 0x7FFF0000
_LARGEST_RATE = 768_000


def decode(data: bytes, rate: int, max_seconds: float) -> NDArray[np.float32]:
    """The first audio track of a file as mono samples, [-1, 1] at `rate` Hz.

    Raises:
        WorkerError: AUDIO_UNREADABLE or AUDIO_TOO_LONG.
    """
    if not data:
        raise unreadable("the file is empty")
    parts: list[NDArray[np.int16] | NDArray[np.float32]] = []
    limit = int(max_seconds * rate)
    count = 0
    try:
        options = {"format_whitelist": FORMATS, "protocol_whitelist": ""}
        with av.open(io.BytesIO(data), mode="r", options=options) as container:
            if not container.streams.audio:
                raise unreadable("the file has no audio track")
            for samples in _samples(container, rate):
                count += len(samples)
                if count > limit:
                    raise WorkerError(
                        "AUDIO_TOO_LONG",
                        f"the audio is longer than the limit of {max_seconds:g} s; send less",
                        limit_seconds=f"{max_seconds:g}",
                    )
                parts.append(samples)
            _check_complete(container, count / rate, data)
    except (av.error.FFmpegError, IndexError, UnicodeDecodeError) as error:
        raise unreadable(f"the file is damaged or no audio ({_words(error)})") from None
    if count == 0:
        raise unreadable("the file holds no audio")
    audio = np.concatenate(parts).astype(np.float32, copy=False)
    if not np.isfinite(audio).all():
        raise unreadable("some samples are not numbers (NaN or infinite)")
    return audio


def unreadable(problem: str) -> WorkerError:
    """The refusal of what cannot be decoded."""
    return WorkerError("AUDIO_UNREADABLE", f"{problem}; send {_READABLE}")


def _samples(container: Any, rate: int) -> Iterator[NDArray[np.float32]]:
    """Mono blocks at the wanted rate. Packets that cannot be decoded are left out."""
    resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
    stream = container.streams.audio[0]
    # One thread: other processes have their share of the processors, too.
    stream.codec_context.thread_count = 1
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            if not 0 < frame.sample_rate <= _LARGEST_RATE:
                raise unreadable(f"a sample rate of {frame.sample_rate} Hz is none")
            frame.pts = None
            for converted in resampler.resample(frame):
                yield converted.to_ndarray()[0]
    for converted in resampler.resample(None):
        yield converted.to_ndarray()[0]


def _check_complete(container: Any, seconds: float, data: bytes) -> None:
    claimed = (container.duration or 0) / av.time_base
    name = container.format.name
    if name in _EXACT_FORMATS and seconds < claimed * _CUT_OFF_SHARE:
        raise unreadable(f"the file is cut off: it holds {seconds:.1f} s of {claimed:.1f} s")
    if name == "wav" and _wav_is_cut_off(data):
        raise unreadable(f"the file is cut off after {seconds:.1f} s")


def _wav_is_cut_off(data: bytes) -> bool:
    """Whether the chunk of samples is much shorter than it says.

    Writers that did not know the length say 0 or nearly 4 GiB.
    """
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        place += 8
        if name == b"data":
            return bool(0 < size < _UNKNOWN_SIZE and len(data) - place < size * _CUT_OFF_SHARE)
        place += size + size % 2
    return False


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or type(error).__name__
    return str(text).lower()
