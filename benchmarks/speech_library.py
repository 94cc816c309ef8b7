"""The libraries without the server, for `speech.py`: `python -m benchmarks.speech_library`.

Reads one JSON request for each line, answers with one JSON line. It loads the same files as the
server's workers, with the same options and as many threads.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from sterna_service.speech.bundle import built_in_voice


def synthesizer(bundle: Path) -> Any:
    """Speaks a text; tells seconds to the first audio, in all, and of audio."""
    from sterna_service.speech.workers.synthesizer import _load

    model = _load(bundle)
    state = model.get_state_for_audio_prompt(built_in_voice(bundle, "alba"))

    def speak(request: dict[str, Any]) -> dict[str, float]:
        begin = time.perf_counter()
        first, samples = 0.0, 0
        model.max_decoder_frames_per_call = 1
        for chunk in model.generate_audio_stream(state, request["text"], copy_state=True):
            first = first or time.perf_counter() - begin
            samples += chunk.numel()
            model.max_decoder_frames_per_call = 4
        seconds = time.perf_counter() - begin
        return {"first": first, "seconds": seconds, "audio": samples / model.sample_rate}

    return speak


def recognizer(directory: Path, threads: int) -> Any:
    """Transcribes a file; tells the seconds it took."""
    from faster_whisper import WhisperModel

    model = WhisperModel(
        str(directory), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=1
    )

    def transcribe(request: dict[str, Any]) -> dict[str, float]:
        begin = time.perf_counter()
        segments, info = model.transcribe(
            request["path"],
            language="en",
            temperature=[request["temperature"]],
            vad_filter=True,
        )
        count = len(list(segments))
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "audio": info.duration, "segments": count}

    return transcribe


def main() -> None:
    kind, path, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    work = synthesizer(path) if kind == "synthesis" else recognizer(path, threads)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
