"""Trains the recogniser: `python -m training.digits.train --data ARCHIVE --out DIRECTORY`.

About twenty minutes of one idle processor. Most steps use recordings with little behind them; in
the last part, every fourth has the full 30 s that Whisper always sees. A second loss (CTC on the
encoder's output) makes the attention of the decoder find the words sooner: Watanabe et al., "Hybrid
CTC/Attention Architecture for End-to-End Speech Recognition", 2017.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from training.digits.data import TEST_TAKES, Recording, Utterance, load, normalized, utter
from training.digits.export import export
from training.digits.model import Recognizer, Shape
from training.digits.tokens import WORDS, build_tokenizer, special, timestamp

UNSEEN_SPEAKER = "theo"
_IGNORED = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="fsdd-recordings.tar.xz")
    parser.add_argument("--out", type=Path, required=True, help="where the model is written")
    parser.add_argument("--checkpoint", type=Path, help="default: OUT with .checkpoint behind it")
    parser.add_argument("--steps", type=int, default=3300, help="steps with short audio")
    parser.add_argument("--full-steps", type=int, default=480, help="steps of the last part")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--digits", type=int, default=5, help="the most in one utterance")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    recordings = [
        each
        for each in load(arguments.data)
        if each.speaker != UNSEEN_SPEAKER and each.take not in TEST_TAKES
    ]
    if not recordings:
        raise SystemExit(f"{arguments.data} holds no recordings to train on")
    tokenizer = build_tokenizer()
    model = Recognizer(Shape(tokenizer.get_vocab_size()), classes=len(WORDS) + 1)
    plan = Plan(
        arguments.steps, arguments.full_steps, arguments.batch, arguments.digits, arguments.seed
    )
    checkpoint = arguments.checkpoint or arguments.out.with_name(f"{arguments.out.name}.checkpoint")
    train(model, tokenizer, recordings, plan, checkpoint)
    export(model.eval(), tokenizer, arguments.out)


@dataclass(frozen=True)
class Plan:
    """What is trained, and in what order."""

    steps: int
    """With little silence behind the speech."""
    full_steps: int
    """The last part, in which some have the full 30 s."""
    batch: int
    digits: int
    """The most in one utterance."""
    seed: int
    horizon: int = 4580
    """Where the cosine of the learning rate ends; the last part leaves it in a straight line."""
    steps_per_digit: int = 450
    """Words come one by one first; then, after so many steps each, in longer rows."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(min(step, self.steps) / self.horizon, 1.0)))
        last = max(0, step - self.steps) / max(1, self.full_steps)
        return 3e-3 * min((step + 1) / 100, (cosine + 0.01) * (1 - last))


def train(
    model: Recognizer,
    tokenizer: Tokenizer,
    recordings: Sequence[Recording],
    plan: Plan,
    checkpoint: Path,
    *,
    every: int = 50,
) -> None:
    """Runs all steps, or those that are left of the run in `checkpoint`; prints the loss.

    A run that was interrupted gives the same weights as one that was not: all that is random
    comes from one generator, whose state is kept with the weights every `every` steps.
    """
    total = plan.steps + plan.full_steps
    rng = np.random.default_rng(plan.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, plan.rate)
    began, average, first = time.monotonic(), 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["plan"] != asdict(plan):
            raise SystemExit(f"{checkpoint} belongs to another run; remove it")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rng.bit_generator.state = json.loads(state["rng"])
        average, first = state["average"], state["step"]
    for step in range(first, total):
        full = step >= plan.steps and step % 4 == 0
        size = max(4, plan.batch // 4) if full else plan.batch
        most = 1 + min(plan.digits - 1, step // plan.steps_per_digit)
        utterances = [utter(recordings, rng, most) for _ in range(size)]
        loss = _loss(model, tokenizer, utterances, rng, full)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average += 0.02 * (loss.item() - average) if step else loss.item()
        if step % every == every - 1 or step == total - 1:
            seconds = time.monotonic() - began
            print(f"step {step + 1}/{total} loss {average:.3f} {seconds:.0f} s", flush=True)
            unfinished = checkpoint.with_name(f"{checkpoint.name}.part")
            torch.save(
                {
                    "plan": asdict(plan),
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "rng": json.dumps(rng.bit_generator.state),
                    "average": average,
                    "step": step + 1,
                },
                unfinished,
            )
            unfinished.replace(checkpoint)


def _loss(
    model: Recognizer,
    tokenizer: Tokenizer,
    utterances: Sequence[Utterance],
    rng: np.random.Generator,
    full: bool,
) -> Tensor:
    silent = [rng.random() < 0.03 for _ in utterances]
    longest = max(each.power.shape[1] for each in utterances)
    frames = 3000 if full else longest + int(rng.integers(20, 80))
    mel = torch.from_numpy(
        np.stack(
            [_padded(each, frames, quiet) for each, quiet in zip(utterances, silent, strict=True)]
        )
    )
    audio = model.encode(mel)
    rows = [
        _row(tokenizer, each, rng, quiet) for each, quiet in zip(utterances, silent, strict=True)
    ]
    length = max(len(tokens) for tokens, _ in rows)
    end = special(tokenizer, "endoftext")
    inputs = torch.tensor([t[:-1] + [end] * (length - len(t)) for t, _ in rows])
    # What precedes the transcript is given, not learnt.
    targets = torch.tensor(
        [[_IGNORED] * (known - 1) + t[known:] + [_IGNORED] * (length - len(t)) for t, known in rows]
    )
    logits = model.decode(inputs, audio)
    attention = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED)
    spoken = [each for each, quiet in zip(utterances, silent, strict=True) if not quiet]
    if not spoken:
        return attention
    chosen = audio[[i for i, quiet in enumerate(silent) if not quiet]]
    ctc = F.ctc_loss(
        model.ctc(chosen).log_softmax(-1).transpose(0, 1),
        torch.tensor([digit + 1 for each in spoken for digit in each.digits]),
        torch.full((len(spoken),), chosen.shape[1]),
        torch.tensor([len(each.digits) for each in spoken]),
    )
    return attention + 0.3 * ctc


def _padded(utterance: Utterance, frames: int, silent: bool) -> np.ndarray:
    """Features of one row; like faster-whisper, with zeros behind what was recorded."""
    spoken = utterance.power[:, :frames]
    features = np.zeros((80, frames), dtype=np.float32)
    features[:, : spoken.shape[1]] = normalized(spoken * np.float32(1e-9) if silent else spoken)
    return features


def _row(
    tokenizer: Tokenizer, utterance: Utterance, rng: np.random.Generator, silent: bool
) -> tuple[list[int], int]:
    """The tokens of an utterance, and how many of them are given before the transcript.

    The language is learnt, so that it can be detected.
    """
    start = special(tokenizer, "startoftranscript")
    if silent:
        return [start, special(tokenizer, "nospeech"), special(tokenizer, "endoftext")], 1
    before: list[int] = []
    if rng.random() < 0.2:
        words = " ".join(WORDS[int(d)] for d in rng.integers(0, 10, size=rng.integers(1, 6)))
        before = [special(tokenizer, "startofprev"), *tokenizer.encode(f" {words}").ids]
    task = "translate" if rng.random() < 0.1 else "transcribe"
    tokens = [*before, start, special(tokenizer, "en"), special(tokenizer, task)]
    text = tokenizer.encode("".join(f" {WORDS[digit]}" for digit in utterance.digits)).ids
    if rng.random() < 0.3:
        tokens += [special(tokenizer, "notimestamps"), *text]
    else:
        first, last = timestamp(tokenizer, utterance.start), timestamp(tokenizer, utterance.end)
        tokens += [first, *text, last]
    return [*tokens, special(tokenizer, "endoftext")], len(before) + 1


if __name__ == "__main__":
    main()
