"""Recognition, synthesis and voices as one object."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sterna_service.errors import ServiceError, StartupError
from sterna_service.speech.catalogue import Kind
from sterna_service.speech.models import SpeechModels
from sterna_service.speech.options import COMPUTE_TYPES, SpeechOptions
from sterna_service.speech.recognition import Recognition
from sterna_service.speech.synthesis import Synthesis
from sterna_service.speech.voices import Voices
from sterna_service.speech.worker import AudioObserver, Worker

_log = logging.getLogger(__name__)

_MOST_RECOGNITION_THREADS = 4
# With fewer processors than this, recognition and synthesis take turns.
_PROCESSORS_FOR_BOTH = 4


class Speech:
    """Everything that speaks or listens. Belongs to the event loop that made it.

    The processors are shared with the language model: synthesis computes on one (its frames are
    due in real time), recognition, which is nicer, on up to four, and always leaves one. On a
    small host only one of the two computes at a time.
    """

    def __init__(
        self,
        options: SpeechOptions,
        home: Path,
        processors: int,
        on_audio: AudioObserver = lambda kind, audio_seconds, busy_seconds: None,
    ) -> None:
        """`processors` is how many there are for everything; `on_audio` hears what was done."""
        self.options = options
        gate = asyncio.Semaphore(1 if processors < _PROCESSORS_FOR_BOTH else 2)
        recognizers = SpeechModels(Kind.RECOGNITION, home, options.recognition_model)
        synthesizers = SpeechModels(Kind.SYNTHESIS, home, options.synthesis_model)
        threads = options.recognition_threads or max(
            1, min(_MOST_RECOGNITION_THREADS, processors - 1)
        )
        self.recognizer = Worker(
            "recognition",
            ("faster_whisper", "av"),
            threads=threads,
            gate=gate,
            max_queue=options.max_queue,
            keep_alive=options.keep_alive_seconds if options.keep_alive_seconds >= 0 else None,
            on_audio=on_audio,
        )
        self.synthesizer = Worker(
            "synthesis",
            ("pocket_tts", "av"),
            threads=1,
            gate=gate,
            max_queue=options.max_queue,
            keep_alive=options.keep_alive_seconds if options.keep_alive_seconds >= 0 else None,
            on_audio=on_audio,
        )
        self.voices = Voices(
            options.voices_dir or home / "voices",
            synthesizers,
            self.recognizer,
            self.synthesizer,
            options,
        )
        self.recognition = Recognition(self.recognizer, recognizers, options)
        self.synthesis = Synthesis(self.synthesizer, synthesizers, self.voices, options)
        self._preloading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tidies up, and with `preload` starts the workers in the background."""
        self.voices.clean_up()
        if self.options.preload:
            self._preloading = asyncio.create_task(self._preload())

    async def close(self) -> None:
        """Ends the workers, and with them whatever they do."""
        if self._preloading is not None:
            self._preloading.cancel()
        await asyncio.gather(self.recognizer.close(), self.synthesizer.close())

    async def _preload(self) -> None:
        for what in (self.synthesis, self.recognition):
            try:
                await what.preload()
            except ServiceError as error:
                # The first request is told the same.
                _log.warning("speech is not ready: %s", error.message)


def check_options(options: SpeechOptions) -> None:
    """Raises `StartupError` for what is out of range."""
    if options.recognition_compute_type not in COMPUTE_TYPES:
        raise StartupError(
            f"recognition_compute_type must be one of {', '.join(COMPUTE_TYPES)}, got "
            f"{options.recognition_compute_type!r}"
        )
    if options.max_queue < 0:
        raise StartupError(f"speech max_queue must be at least 0, got {options.max_queue}")
    for name in (
        "max_audio_bytes",
        "max_audio_seconds",
        "upload_idle_seconds",
        "conversation_idle_seconds",
    ):
        value = getattr(options, name)
        if not value > 0:
            raise StartupError(f"{name} must be above 0, got {value}")
