"""Two ways to get greedy answers from an exported model: a running Sterna, and torch."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.corpus.chat import Conversation, prompt
from training.windows import END_OF_TURN_ID, EOS_ID

Answer = Callable[[Sequence[Conversation]], list[str]]

# The longest right answer of the content has about 70 tokens.
LONGEST = 90


def from_server(url: str, longest: int = LONGEST, parallel: int = 16) -> Answer:
    """Answers of the server at `url` (its root, such as http://127.0.0.1:8000).

    An answer is cut after `longest` tokens.
    """

    def ask(conversation: Conversation) -> str:
        messages = [{"role": m.role.lower(), "content": m.text} for m in conversation]
        body = {"messages": messages, "temperature": 0, "max_tokens": longest}
        request = urllib.request.Request(
            url.rstrip("/") + "/v1/chat/completions",
            data=json.dumps(body).encode("utf-8"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            return str(json.load(response)["choices"][0]["message"]["content"])

    def answer(conversations: Sequence[Conversation]) -> list[str]:
        with ThreadPoolExecutor(parallel) as pool:
            return list(pool.map(ask, conversations))

    return answer


def from_torch(
    checkpoint: Path, tokenizer: Path, adapter: Path | None = None, longest: int = LONGEST
) -> Answer:
    """Answers of a training checkpoint, with exact integer products and float32 elsewhere."""
    import torch

    from training.adapter import load_adapter
    from training.model import Cache
    from training.tokenizer import load_tokenizer
    from training.trainer import load_model

    model = load_model(checkpoint)
    if adapter is not None:
        load_adapter(model, adapter)
    words = load_tokenizer(tokenizer)

    @torch.no_grad()
    def ask(conversation: Conversation) -> str:
        ids = words.encode(prompt(conversation), add_special_tokens=False).ids
        caches = [Cache() for _ in model.layers]
        found: list[int] = []
        while len(found) < longest:
            states = model.hidden(torch.tensor([ids]), caches=caches, arithmetic="exact")
            token = int(model.logits(states[0, -1]).argmax())
            if token in (EOS_ID, END_OF_TURN_ID):
                break
            found.append(token)
            ids = [token]
        return str(words.decode(found))

    return lambda conversations: [ask(conversation) for conversation in conversations]


def from_transformers(checkpoint: Path, longest: int = LONGEST) -> Answer:
    """Answers of an exported checkpoint by the reference library, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]

    words = AutoTokenizer.from_pretrained(checkpoint)
    # Norms and embeddings stay in the file's type unless they are converted after loading.
    model = AutoModelForCausalLM.from_pretrained(checkpoint, attn_implementation="eager")
    # Quantized models refuse their own .float(); the module under it converts what is left.
    torch.nn.Module.float(model)
    model.eval()

    @torch.no_grad()
    def ask(conversation: Conversation) -> str:
        ids = words(prompt(conversation), add_special_tokens=False, return_tensors="pt").input_ids
        out = model.generate(ids, max_new_tokens=longest, do_sample=False, use_cache=True)
        return str(words.decode(out[0, ids.shape[1] :], skip_special_tokens=True))

    return lambda conversations: [ask(conversation) for conversation in conversations]
