"""Word error rates of a recogniser, through faster-whisper:
`python -m training.digits.evaluate --data ARCHIVE --model DIRECTORY`.

The official test split (takes 0 to 4) of the speakers that were trained on, and all takes of the
speaker that was not, each digit alone and digits in rows of up to five.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from training.digits.data import RATE, TEST_TAKES, Recording, doubled, load
from training.digits.edits import edits
from training.digits.tokens import WORDS
from training.digits.train import UNSEEN_SPEAKER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--count", type=int, default=200, help="utterances per row of the table")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    model = WhisperModel(
        str(arguments.model), device="cpu", compute_type=arguments.compute_type, cpu_threads=1
    )
    held_out = [each for each in load(arguments.data) if each.take in TEST_TAKES]
    groups = {
        "speakers heard, recordings held out": [
            each for each in held_out if each.speaker != UNSEEN_SPEAKER
        ],
        "speaker never heard": [each for each in held_out if each.speaker == UNSEEN_SPEAKER],
    }
    rng = np.random.default_rng(arguments.seed)
    for name, recordings in groups.items():
        for kind, most in (("single digits", 1), ("rows of 2 to 5", 5)):
            rows = list(utterances(recordings, rng, most, arguments.count))
            errors = words = 0
            for digits, samples in rows:
                wanted = [WORDS[digit] for digit in digits]
                segments, _ = model.transcribe(samples, language="en", vad_filter=False)
                heard = " ".join(segment.text for segment in segments).split()
                errors += edits(wanted, heard)
                words += len(wanted)
            print(f"{name}, {kind}: WER {errors / words:.3f} ({errors} of {words} words)")


def utterances(
    recordings: Sequence[Recording], rng: np.random.Generator, most: int, count: int
) -> Iterable[tuple[list[int], NDArray[np.float32]]]:
    """Digits and their sound at 16 kHz, with 0.1 s between them."""
    gap = np.zeros(RATE // 20, dtype=np.float32)
    for _ in range(count):
        first = recordings[rng.integers(len(recordings))]
        same = [each for each in recordings if each.speaker == first.speaker]
        more = rng.integers(1, most) if most > 1 else 0
        chosen = [first, *(same[rng.integers(len(same))] for _ in range(more))]
        parts = [gap]
        for each in chosen:
            parts += [doubled(each.samples.astype(np.float32) / 32768), gap]
        yield [each.digit for each in chosen], np.concatenate(parts)


if __name__ == "__main__":
    main()
