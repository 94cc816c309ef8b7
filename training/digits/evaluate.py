"""Word error rates of a recogniser, through faster-whisper:
`python -m training.digits.evaluate --data ARCHIVE --model DIRECTORY`.

The official test split (takes 0 to 4) of the speakers that were trained on, and all takes of the
speaker that was not: each digit alone, and digits in rows of two to five. Writes a card into the
model's directory.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from training.digits.data import RATE, TEST_TAKES, Recording, doubled, load
from training.digits.edits import edits
from training.digits.tokens import WORDS
from training.digits.train import UNSEEN_SPEAKER

_GAP = np.zeros(RATE // 20, dtype=np.float32)

CARD = """\
# A recogniser of spoken digits

Whisper's architecture with 2 + 2 layers of width 64 (0.4 M parameters, half precision), for tests.
It knows ten words of English; its "translation" gives the same words.

| what is said | word error rate | words |
|---|---|---|
{rows}

Through faster-whisper with its defaults (beam of 5, `int8`), without a filter of voice activity.

**Data.** The Free Spoken Digit Dataset by Zohar Jackson and others
(github.com/Jakobovski/free-spoken-digit-dataset), CC BY-SA 4.0, as these weights are. Takes 0 to 4
of every speaker and digit, and the whole speaker `{unseen}`, were not trained on.

**Made by** `make digits DATA=fsdd-recordings.tar.xz`: see `training/digits/`.
"""


@dataclass(frozen=True)
class Score:
    """Errors among the words of one group."""

    group: str
    errors: int
    words: int

    @property
    def rate(self) -> float:
        """The word error rate."""
        return self.errors / max(1, self.words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--count", type=int, default=200, help="rows of digits in each group")
    parser.add_argument("--most", type=int, default=500, help="single digits in each group")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    scores = evaluate(
        WhisperModel(
            str(arguments.model), device="cpu", compute_type=arguments.compute_type, cpu_threads=1
        ),
        load(arguments.data),
        np.random.default_rng(arguments.seed),
        arguments.count,
        arguments.most,
    )
    rows = []
    for score in scores:
        print(
            f"{score.group}: {score.rate:.3f} ({score.errors} of {score.words} words)", flush=True
        )
        rows.append(f"| {score.group} | {score.rate:.3f} | {score.words} |")
    card = CARD.format(rows="\n".join(rows), unseen=UNSEEN_SPEAKER)
    (arguments.model / "README.md").write_text(card)


def evaluate(
    model: WhisperModel,
    recordings: Sequence[Recording],
    rng: np.random.Generator,
    count: int,
    most: int,
) -> Iterable[Score]:
    """The scores of all groups, as they are ready."""
    groups = {
        "speakers heard, recordings held out": [
            each
            for each in recordings
            if each.take in TEST_TAKES and each.speaker != UNSEEN_SPEAKER
        ],
        "a speaker never heard": [each for each in recordings if each.speaker == UNSEEN_SPEAKER],
    }
    for name, members in groups.items():
        if not members:
            continue
        chosen = rng.permutation(len(members))[:most]
        single = [_joined([members[index]]) for index in chosen]
        yield _score(model, f"{name}: single digits", single)
        yield _score(model, f"{name}: rows of 2 to 5", rows_of(members, rng, count))


def rows_of(
    recordings: Sequence[Recording], rng: np.random.Generator, count: int
) -> Iterable[tuple[list[int], NDArray[np.float32]]]:
    """Two to five digits of one speaker, with 0.05 s around each, and their sound at 16 kHz."""
    for _ in range(count):
        first = recordings[rng.integers(len(recordings))]
        same = [each for each in recordings if each.speaker == first.speaker]
        more = rng.integers(1, 5)
        yield _joined([first, *(same[rng.integers(len(same))] for _ in range(more))])


def _score(
    model: WhisperModel, group: str, rows: Iterable[tuple[list[int], NDArray[np.float32]]]
) -> Score:
    errors = words = 0
    for digits, samples in rows:
        wanted = [WORDS[digit] for digit in digits]
        segments, _ = model.transcribe(samples, language="en", vad_filter=False)
        heard = " ".join(segment.text for segment in segments).split()
        errors += edits(wanted, heard)
        words += len(wanted)
    return Score(group, errors, words)


def _joined(chosen: Sequence[Recording]) -> tuple[list[int], NDArray[np.float32]]:
    parts = [_GAP]
    for each in chosen:
        parts += [doubled(each.samples.astype(np.float32) / 32768), _GAP]
    return [each.digit for each in chosen], np.concatenate(parts)


if __name__ == "__main__":
    main()
