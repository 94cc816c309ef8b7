"""Muon for the ternary matrices, AdamW for embeddings and norms."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

# Coefficients of the quintic iteration that pushes singular values towards one.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalized(gradient: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices to `gradient` [n, rows, columns], roughly, in bf16."""
    x = gradient.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * (gram @ gram)) @ x
    return torch.as_tensor(x.mT if tall else x)


class Muon:
    """Momentum, then an orthogonalized step. Matrices of one shape are stepped together."""

    def __init__(self, parameters: list[Tensor], lr: float, momentum: float = 0.95) -> None:
        self.lr = lr
        self._momentum = momentum
        shapes: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            shapes[tuple(parameter.shape)].append(parameter)
        self._groups = list(shapes.values())
        self._velocity = [torch.zeros_like(torch.stack(list(g))) for g in self._groups]

    @torch.no_grad()
    def step(self, weight_decay: float) -> None:
        for group, velocity in zip(self._groups, self._velocity, strict=True):
            gradient = torch.stack([p.grad for p in group if p.grad is not None])
            velocity.lerp_(gradient, 1 - self._momentum)
            update = orthogonalized(gradient.lerp(velocity, self._momentum)).float()
            rows, columns = update.shape[-2:]
            size = self.lr * max(1.0, rows / columns) ** 0.5
            for parameter, delta in zip(group, update, strict=True):
                parameter.mul_(1 - self.lr * weight_decay)
                parameter.add_(delta, alpha=-size)

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self._velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, saved in zip(self._velocity, state["velocity"], strict=True):
            mine.copy_(saved)
