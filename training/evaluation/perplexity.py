"""Loss on held-out texts, in the arithmetic of the engine and without quantization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from training.corpus.chat import EOS
from training.model import Arithmetic, BitNet
from training.windows import BOS_ID


@torch.no_grad()
def nats_per_token(
    model: BitNet, tokenizer: Tokenizer, texts: Sequence[str], arithmetic: Arithmetic
) -> float:
    """Mean loss over all tokens of `texts`; its exponential is the perplexity."""
    total, count = 0.0, 0
    for text in texts:
        ids = [BOS_ID, *tokenizer.encode(text + EOS, add_special_tokens=False).ids]
        tokens = torch.tensor([ids])
        states = model.hidden(tokens[:, :-1], arithmetic=arithmetic)
        losses = F.cross_entropy(model.logits(states[0]), tokens[0, 1:], reduction="sum")
        total += float(losses)
        count += len(ids) - 1
    return total / max(1, count)
