"""The training loop: resumable, scheduled by tokens, logged as JSON lines."""

from __future__ import annotations

import json
import resource
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.batches import Order, Rows
from training.model import Arithmetic, BitNet, ModelConfig, document_mask
from training.optimizer import Muon
from training.schedule import Schedule
from training.windows import BOS_ID, Windows

_LOGIT_ROWS = 512


@dataclass(frozen=True)
class TrainOptions:
    """Learning rates are peaks; sizes are in tokens."""

    total_tokens: int
    decay_tokens: int
    warmup_tokens: int = 200_000
    batch_tokens: int = 4096
    muon_lr: float = 0.05
    adam_lr: float = 1e-2
    weight_decay: float = 0.1
    # Every n-th batch is of long windows.
    long_every: int = 12
    seed: int = 1
    threads: int = 2
    device: str = "cpu"
    # "float" trains the same model in full precision, for comparison.
    arithmetic: Arithmetic = "bf16"
    compile: bool = True
    log_every: int = 25
    validate_every: int = 500
    checkpoint_minutes: float = 10.0


class Trainer:
    """Trains one model in `directory`, from the checkpoint there if there is one."""

    def __init__(
        self,
        config: ModelConfig,
        data: dict[str, Windows],
        directory: Path,
        options: TrainOptions,
    ) -> None:
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self._options = options
        self._data = data
        self._orders = {
            name: Order(len(data[name].tokens), (options.seed, int(name == "long")))
            for name in ("short", "long")
        }
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._schedule = Schedule(options.total_tokens, options.decay_tokens, options.warmup_tokens)
        self.model = BitNet(config).to(options.device)
        named = list(self.model.named_parameters())
        matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in named if p.ndim != 2 or "embed" in n]
        self._muon = Muon(list(matrices), options.muon_lr)
        self._adam = torch.optim.AdamW(
            others, lr=options.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        if options.compile:
            # Layer by layer: all layers share one compiled graph per window length.
            for layer in self.model.layers:
                layer.compile(dynamic=False)
        self.tokens = 0
        self._steps = 0
        self._spent = 0.0
        self._stop = False
        if self._path.exists():
            self._load()

    @property
    def _path(self) -> Path:
        return self._directory / "checkpoint.pt"

    @property
    def _constant_path(self) -> Path:
        """The last state before the decay: what a longer run goes on from."""
        return self._directory / "before-decay.pt"

    def run(self) -> None:
        """Train until the schedule ends, or until SIGTERM or SIGINT; then save.

        A run that has ended is left as it is.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_stop", True))
        options = self._options
        if self._path.exists() and self.tokens >= options.total_tokens:
            return
        start = saved = time.monotonic()
        before = self._spent
        self._log(event="start", parameters=self._parameters(), options=asdict(options))
        losses: list[float] = []
        fast_tokens, fast_time = self.tokens, time.monotonic()
        while self.tokens < options.total_tokens and not self._stop:
            if self._schedule.decaying(self.tokens) and not self._constant_path.exists():
                self._save(self._constant_path)
            losses.append(self._step())
            now = time.monotonic()
            self._spent = before + now - start
            if self._steps % options.log_every == 0:
                self._log(
                    loss=round(float(np.mean(losses)), 4),
                    lr=round(self._schedule.factor(self.tokens), 4),
                    rate=round((self.tokens - fast_tokens) / (now - fast_time)),
                )
                losses, fast_tokens, fast_time = [], self.tokens, now
            if self._steps % options.validate_every == 0:
                self._log(validation=round(self.validate(), 4))
            if now - saved > options.checkpoint_minutes * 60:
                self._save(self._path)
                saved = now
        self._save(self._path)
        self._log(event="stopped" if self._stop else "done", validation=round(self.validate(), 4))

    def _step(self) -> float:
        options = self._options
        factor = self._schedule.factor(self.tokens)
        self._muon.lr = options.muon_lr * factor
        for group in self._adam.param_groups:
            group["lr"] = options.adam_lr * factor
        tokens, weights = self._batch()
        loss = self._loss(tokens, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._adam.step()
        # No pull towards zero while the weights settle on their codes.
        decaying = self._schedule.decaying(self.tokens)
        self._muon.step(0.0 if decaying else options.weight_decay)
        self.model.zero_grad(set_to_none=True)
        self._steps += 1
        self.tokens += tokens.shape[0] * (tokens.shape[1] - 1)
        return float(loss.detach())

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Token ids [rows, length + 1] and weights of this step."""
        every = self._options.long_every
        long = self._steps % every == every - 1
        name = "long" if long else "short"
        windows = self._data[name]
        turn = self._steps // every if long else self._steps - self._steps // every
        rows = self._options.batch_tokens // (windows.tokens.shape[1] - 1)
        return self._tensors(windows, self._orders[name].slice(turn * rows, rows))

    def _tensors(self, windows: Windows, rows: Rows) -> tuple[Tensor, Tensor]:
        device = self._options.device
        tokens = torch.from_numpy(windows.tokens[rows].astype(np.int64)).to(device)
        weights = torch.from_numpy(windows.weights[rows].astype(np.float32)).to(device)
        return tokens, weights

    def _loss(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Mean loss per token, weighted; logits are computed only where a weight is."""
        inputs, targets, w = tokens[:, :-1], tokens[:, 1:].flatten(), weights[:, 1:].flatten()
        states = self.model.hidden(
            inputs.contiguous(),
            document_mask(inputs, BOS_ID),
            arithmetic=self._options.arithmetic,
        )
        counted = w.nonzero().flatten()
        # Filled up with tokens of no weight, because thousands of sizes fragment the memory.
        spare = (w == 0).nonzero().flatten()[: -len(counted) % _LOGIT_ROWS]
        counted = torch.cat((counted, spare))
        logits = self.model.logits(states.flatten(0, 1)[counted])
        losses = F.cross_entropy(logits, targets[counted], reduction="none")
        return (losses * w[counted]).sum() / w.sum()

    def validate(self) -> float:
        """Weighted loss per token on the validation windows.

        With gradients and in batches of the training's shape, so that the compiled graph serves.
        """
        windows = self._data["validation"]
        total, amount = 0.0, 0.0
        batch = self._options.batch_tokens // (windows.tokens.shape[1] - 1)
        for first in range(0, len(windows.tokens) - batch + 1, batch):
            rows = np.arange(first, first + batch)
            tokens, weights = self._tensors(windows, rows)
            amount_here = float(weights[:, 1:].sum())
            total += float(self._loss(tokens, weights).detach()) * amount_here
            amount += amount_here
        return total / amount

    def _parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def _save(self, path: Path) -> None:
        state = {
            "config": self.model.config.to_dict(),
            "model": self.model.state_dict(),
            "muon": self._muon.state_dict(),
            "adam": self._adam.state_dict(),
            "tokens": self.tokens,
            "steps": self._steps,
            "seconds": self._spent,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def _load(self) -> None:
        state = torch.load(self._path, map_location=self._options.device, weights_only=True)
        if state["config"] != self.model.config.to_dict():
            raise ValueError(
                f"{self._path} holds a model of other sizes: {state['config']}; "
                "name another --run directory, or the same --size"
            )
        self.model.load_state_dict(state["model"])
        self._muon.load_state_dict(state["muon"])
        self._adam.load_state_dict(state["adam"])
        self.tokens, self._steps = state["tokens"], state["steps"]
        self._spent = state["seconds"]

    def _log(self, **facts: Any) -> None:
        record = {
            "step": self._steps,
            "tokens": self.tokens,
            "seconds": round(self._spent, 1),
            "cpu_seconds": round(time.process_time(), 1),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            **facts,
        }
        with (self._directory / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def load_model(checkpoint: Path) -> BitNet:
    """The model of a checkpoint, in evaluation mode."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = BitNet(ModelConfig(**state["config"]))
    model.load_state_dict(state["model"])
    model.eval()
    return model
