"""Whisper's architecture (Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision", 2022), small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MELS = 80
AUDIO_POSITIONS = 1500
TEXT_POSITIONS = 448


@dataclass(frozen=True)
class Shape:
    """Sizes of a model."""

    vocabulary: int
    width: int = 64
    heads: int = 2
    layers: int = 2


class Attention(nn.Module):
    """Multi-head attention; as in Whisper, keys have no bias."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, source: Tensor, causal: bool = False) -> Tensor:
        """`x` [batch, time, width] attends to `source` [batch, other time, width]."""
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in (self.query(x), self.key(source), self.value(source))
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """One layer: attention, attention to the audio (in the decoder), feed-forward."""

    def __init__(self, shape: Shape, cross: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.cross_norm = nn.LayerNorm(shape.width) if cross else None
        self.cross = Attention(shape) if cross else None
        self.ffn_norm = nn.LayerNorm(shape.width)
        self.ffn_in = nn.Linear(shape.width, 4 * shape.width)
        self.ffn_out = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Tensor, audio: Tensor | None = None) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.attention(normed, normed, causal=audio is not None)
        if self.cross is not None and self.cross_norm is not None and audio is not None:
            x = x + self.cross(self.cross_norm(x), audio)
        return x + self.ffn_out(F.gelu(self.ffn_in(self.ffn_norm(x))))


class Recognizer(nn.Module):
    """Encoder and decoder. `ctc` is a second head on the encoder, for the training only."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.conv1 = nn.Conv1d(MELS, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.register_buffer("audio_positions", sinusoids(AUDIO_POSITIONS, shape.width))
        self.encoder = nn.ModuleList(Block(shape, cross=False) for _ in range(shape.layers))
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.text_positions = nn.Parameter(torch.randn(TEXT_POSITIONS, shape.width) * 0.02)
        self.decoder = nn.ModuleList(Block(shape, cross=True) for _ in range(shape.layers))
        self.decoder_norm = nn.LayerNorm(shape.width)
        self.ctc = nn.Linear(shape.width, classes)
        nn.init.normal_(self.tokens.weight, std=0.05)

    def encode(self, mel: Tensor) -> Tensor:
        """[batch, 80, frames] → [batch, frames / 2, width]."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        positions: Tensor = self.audio_positions[: x.shape[1]]  # type: ignore[index]
        x = x + positions
        for block in self.encoder:
            x = block(x)
        normed: Tensor = self.encoder_norm(x)
        return normed

    def decode(self, tokens: Tensor, audio: Tensor) -> Tensor:
        """Logits [batch, time, vocabulary] for the tokens after each of `tokens`."""
        x = self.tokens(tokens) + self.text_positions[: tokens.shape[1]]
        for block in self.decoder:
            x = block(x, audio)
        return F.linear(self.decoder_norm(x), self.tokens.weight)


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's fixed positions of the encoder."""
    step = math.log(10_000) / (channels // 2 - 1)
    rates = torch.exp(-step * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
