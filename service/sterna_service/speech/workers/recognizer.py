"""Recognition with faster-whisper: one loaded model, streams of uploads and of live audio."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from sterna_service.speech.workers.decode import decode
from sterna_service.speech.workers.live import Event, LiveStream
from sterna_service.speech.workers.sample import check_sample
from sterna_service.speech.workers.serve import Call, Operation, WorkerError

RATE = 16_000

LIGHT: tuple[str, ...] = ("live_feed", "live_commit", "live_clear")
"""Operations that pass by the others: voice activity is told while something is recognised."""

# What is tried in turn when a text is too repetitive or too unlikely (Whisper's own list).
_TEMPERATURES = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


class Recognizer:
    """The operations of the recognition worker."""

    def __init__(self) -> None:
        self._model: WhisperModel | None = None
        self._loaded: tuple[str, str] | None = None
        self._uploads: dict[int, bytearray] = {}
        self._audio: dict[int, NDArray[np.float32]] = {}
        self._segments: dict[int, Iterator[Any]] = {}
        self._live: dict[int, LiveStream] = {}

    def load(self, call: Call) -> None:
        """Loads the model in `path`, unless it is the one that is loaded."""
        wanted = (call.header["path"], call.header["compute_type"])
        if wanted == self._loaded:
            return
        # Two models at a time could be too much for the machine.
        self._model, self._loaded = None, None
        try:
            self._model = WhisperModel(
                wanted[0],
                device="cpu",
                compute_type=wanted[1],
                cpu_threads=call.header["threads"],
                num_workers=1,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            raise WorkerError(
                "CHECKPOINT_INVALID",
                f"the recognition model {wanted[0]} cannot be loaded: {_line(error)}",
                model=wanted[0],
            ) from None
        self._loaded = wanted

    def feed(self, call: Call) -> None:
        """Takes a part of a file."""
        self._uploads.setdefault(call.stream, bytearray()).extend(call.data)

    def decode(self, call: Call) -> dict[str, Any]:
        """Decodes the file; tells its length in seconds."""
        data = bytes(self._uploads.pop(call.stream, b""))
        audio = decode(data, RATE, call.header["max_seconds"])
        self._audio[call.stream] = audio
        return {"duration": len(audio) / RATE}

    def begin(self, call: Call) -> dict[str, Any]:
        """Detects the language and prepares the recognition of the decoded file."""
        segments, info = self.recognize(self._audio[call.stream], call.header["options"])
        self._segments[call.stream] = segments
        return {"language": info.language, "probability": float(info.language_probability)}

    def next(self, call: Call) -> dict[str, Any]:
        """Recognises the next stretch of speech: `segment`, absent at the end."""
        segment = next(self._segments[call.stream], None)
        return {} if segment is None else {"segment": segment_fields(segment)}

    def live_open(self, call: Call) -> None:
        """Begins to listen to raw audio."""
        self.check_request(call.header["options"])
        self._live[call.stream] = LiveStream(
            lambda audio: self.recognize(audio, call.header["options"]),
            rate=call.header["rate"],
            channels=call.header["channels"],
            interim=call.header["interim"],
            by_hand=call.header["by_hand"],
        )

    def live_feed(self, call: Call) -> dict[str, Any]:
        """Takes raw audio; tells what happened in it, and whether to recognise something now."""
        live = self._live.get(call.stream)
        return _heard(live, [] if live is None else list(live.feed(call.data)))

    def live_commit(self, call: Call) -> dict[str, Any]:
        """Ends the utterance in progress; with `end`, the audio, too."""
        live = self._live.get(call.stream)
        if live is None:
            return _heard(None, [])
        return _heard(live, list(live.finish() if call.header.get("end") else live.commit()))

    def live_clear(self, call: Call) -> dict[str, Any]:
        """Forgets the utterance in progress."""
        live = self._live.get(call.stream)
        return _heard(live, [] if live is None else list(live.clear()))

    def live_recognize(self, call: Call) -> None:
        """Recognises what is due; emits the texts."""
        live = self._live.get(call.stream)
        for event, fields in live.recognize_due() if live is not None else ():
            call.emit(event, **fields)
            if call.cancelled.is_set():
                return

    def sample(self, call: Call) -> tuple[dict[str, Any], bytes]:
        """Checks the file as the sample of a voice; its data are float32 samples at `rate` Hz."""
        data = bytes(self._uploads.pop(call.stream, b""))
        audio, seconds = check_sample(data, call.header["rate"], call.header["max_seconds"])
        return {"seconds": seconds}, audio.tobytes()

    def close(self, call: Call) -> None:
        """Forgets a stream."""
        for kept in (self._uploads, self._audio, self._segments, self._live):
            kept.pop(call.stream, None)

    def check_request(self, options: dict[str, Any]) -> WhisperModel:
        """The loaded model. Raises `WorkerError` for what it cannot do."""
        model = self._model
        assert model is not None, "load comes first"
        name = options["model_id"]
        if options["task"] == "translate" and not model.model.is_multilingual:
            raise WorkerError(
                "FIELD_UNSUPPORTED",
                f"config.task cannot be TRANSLATE: {name} knows English only; use a model "
                'without ".en"',
                field="config.task",
                model=name,
            )
        language = options["language"]
        if language and language not in model.supported_languages:
            known = "an ISO 639-1 code" if model.model.is_multilingual else "en"
            raise WorkerError(
                "FIELD_UNSUPPORTED",
                f"config.language {language!r} is none that {name} knows; use {known}",
                field="config.language",
                model=name,
            )
        return model

    def recognize(
        self, audio: NDArray[np.float32], options: dict[str, Any]
    ) -> tuple[Iterator[Any], Any]:
        """faster-whisper's segments, which are recognised as they are asked for, and its info."""
        model = self.check_request(options)
        temperature = options["temperature"]
        segments, info = model.transcribe(
            audio,
            task=options["task"],
            language=options["language"] or None,
            initial_prompt=options["prompt"] or None,
            temperature=[temperature] if temperature else _TEMPERATURES,
            word_timestamps=options["word_timestamps"],
            vad_filter=options["voice_activity_filter"],
        )
        return iter(segments), info


def _heard(live: LiveStream | None, events: list[Event]) -> dict[str, Any]:
    """What is told of a stream that took something; None when it was closed meanwhile."""
    if live is None:
        return {"events": events, "due": False, "duration": 0.0, "waiting": 0.0}
    # What waits is looked at last: if there is any, something is due.
    due = live.due
    return {"events": events, "due": due, "duration": live.seconds, "waiting": live.waiting}


def segment_fields(segment: Any) -> dict[str, Any]:
    """A segment of faster-whisper in the words of `speech.types.Segment`, without its index."""
    return {
        "start": float(segment.start),
        "end": float(segment.end),
        "text": segment.text,
        "token_ids": list(segment.tokens),
        "temperature": float(segment.temperature or 0.0),
        "average_logprob": _finite(segment.avg_logprob),
        "compression_ratio": _finite(segment.compression_ratio),
        "no_speech_probability": _finite(segment.no_speech_prob),
        "words": [
            {
                "text": word.word,
                "start": float(word.start),
                "end": float(word.end),
                "probability": _finite(word.probability),
            }
            for word in segment.words or ()
        ],
    }


def operations() -> dict[str, Operation]:
    """What this worker does."""
    worker = Recognizer()
    plain = (worker.load, worker.feed, worker.decode, worker.begin, worker.next, worker.close)
    live = (worker.live_open, worker.live_feed, worker.live_commit, worker.live_clear)
    return {each.__name__: each for each in (*plain, *live, worker.live_recognize, worker.sample)}


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
