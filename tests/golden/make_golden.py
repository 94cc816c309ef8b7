"""Record what transformers computes, for the parity tests. See README.md beside this file."""

from __future__ import annotations

import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.integrations import bitnet

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "service")]

from scripts.checkpoint_presets import GROUPED_PRESETS, PRESETS, TINY_PRESETS  # noqa: E402
from sterna_service.models.synthetic.checkpoint import make_checkpoint  # noqa: E402
from tests.golden.reference_form import to_reference_form  # noqa: E402

EMBEDDED = REPOSITORY / "service" / "sterna_service" / "models" / "embedded"
SEEDS = (0, 1, 2, 3, 4, 5)
PROMPT_TOKENS = 40
LOGIT_ROWS = (0, 1, 7, 15, 16, 17, 31, 32, 38, 39)
LINEAR_ROWS = 4
LAYER_TOKENS = 12
LAYER_PROMPTS = range(100, 130)  # candidates for the captured run
CLEAR_MARGIN = 3e-5  # LAYER_BOUNDARY of the tests
# Less of what is wide, and of variants of what is recorded in full, to keep the files small.
WIDE = ("bitnet-multiply-wide",)
VARIANTS = (
    "qwen3-embedding",
    "bitnet-old",
    "llama-linear",
    "llama-llama3",
    "llama-yarn",
    "llama-longrope",
    "llama-longrope-short",
    *GROUPED_PRESETS,
)
FEW_SEEDS = (0, 1)
FEW_LINEAR_ROWS = 2
FEW_LAYER_TOKENS = 5
GREEDY_TOKENS = 48

STAGES = {
    "self_attn.q_proj": ("qkv", "q"),
    "self_attn.k_proj": ("qkv", "k"),
    "self_attn.v_proj": ("qkv", "v"),
    "self_attn.o_proj": ("o", "o"),
    "mlp.gate_proj": ("gateup", "gate"),
    "mlp.up_proj": ("gateup", "up"),
    "mlp.down_proj": ("down", "down"),
}
# The projections of a stage, each with codes of its own where each has a norm of its own.
PROJECTIONS = {"qkv": "q k v", "o": "o", "gateup": "gate up", "down": "down"}

GREEDY_PROMPTS = (
    "Hello!",
    "Who are you?",
    "What is the capital of France?",
    "What is the capital of Japan?",
    "which city is the capital of Brazil",
    "What is the currency of India?",
    "On which continent is Kenya?",
    "What is the symbol of gold?",
    "what is 7 + 8",
    "What is 3 times 4?",
    "What is the opposite of hot?",
    "How many days are in a week?",
    "What colour is the sky?",
    "Why is the sky blue?",
    "Tell me a story about a dog.",
    "My name is Olga.",
    "Say hello in French.",
    "Count to five.",
    "Thank you very much!",
    "Wer ist Goethe? 🐦 (façade)",
)


def load_model(directory: Path) -> Any:
    """The model in float32, evaluated eagerly."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    )
    torch.nn.Module.float(model)
    model.eval()
    return model


class Recorder:
    """Keeps the inputs, codes and outputs of every projection and layer of one forward pass."""

    def __init__(self, model: Any) -> None:
        self.inputs: dict[str, Any] = {}  # "0.qkv" -> [t, in]
        self.normed: dict[str, Any] = {}  # the same behind the norms of projections that have one
        self.outputs: dict[str, Any] = {}  # "0.q" -> [t, out]
        self.codes: dict[str, Any] = {}
        self.scales: dict[str, Any] = {}
        self.hidden: list[Any] = []
        self._stage = ""
        self._hooks: list[Any] = []
        self._wrap_quantizers()
        for index, layer in enumerate(model.model.layers):
            self._hooks.append(layer.register_forward_hook(self._after_layer))
            for path, (stage, name) in STAGES.items():
                module = layer.get_submodule(path)
                norm = getattr(module, "rms_norm", None)
                before, after = f"{index}.{name if norm else stage}", f"{index}.{name}"
                if norm is not None:
                    self._hooks.append(norm.register_forward_hook(self._after_norm(before)))
                self._hooks.append(module.register_forward_pre_hook(self._before_linear(before)))
                self._hooks.append(module.register_forward_hook(self._after_linear(after)))

    def _wrap_quantizers(self) -> None:
        """Both linear classes quantize through one function each: record what these return."""
        packed_quantizer = bitnet.BitLinear.activation_quant
        auto_quantizer = bitnet.ActQuant.forward

        def quantize_packed(module: Any, x: Any, *rest: Any) -> Any:
            codes, scale = packed_quantizer(module, x, *rest)
            self._keep(codes, scale)
            return codes, scale

        def quantize_auto(ctx: Any, x: Any) -> Any:
            result = auto_quantizer(ctx, x)
            scale = 127 / x.float().abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
            # The function returns codes / scale: the product is within rounding of an integer.
            self._keep((result * scale).round().to(torch.int8), scale)
            return result

        bitnet.BitLinear.activation_quant = quantize_packed
        bitnet.ActQuant.forward = staticmethod(quantize_auto)
        self._originals = (packed_quantizer, auto_quantizer)

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        bitnet.BitLinear.activation_quant = self._originals[0]
        bitnet.ActQuant.forward = staticmethod(self._originals[1])

    def _keep(self, codes: Any, scale: Any) -> None:
        self.codes[self._stage] = codes[0].numpy().copy()
        self.scales[self._stage] = scale[0, :, 0].numpy().copy()

    def _before_linear(self, stage: str) -> Any:
        def hook(_module: Any, arguments: Any) -> None:
            self._stage = stage
            self.inputs[stage] = arguments[0][0].numpy().copy()

        return hook

    def _after_norm(self, stage: str) -> Any:
        def hook(_module: Any, _arguments: Any, output: Any) -> None:
            self.normed[stage] = output[0].numpy().copy()

        return hook

    def stages(self, index: int, stage: str) -> list[str]:
        """The keys under which a layer's stage was recorded: one, or one for each projection."""
        if f"{index}.{stage}" in self.inputs:
            return [f"{index}.{stage}"]
        return [f"{index}.{name}" for name in PROJECTIONS[stage].split()]

    def margin(self, index: int, stage: str) -> Any:
        """Per row: the smallest rounding margin of a layer's stage."""
        margins = [
            rounding_margin(self.normed.get(key, self.inputs[key]), self.scales[key])
            for key in self.stages(index, stage)
        ]
        return np.min(margins, axis=0)

    def _after_linear(self, name: str) -> Any:
        def hook(_module: Any, _arguments: Any, output: Any) -> None:
            self.outputs[name] = output[0].numpy().copy()

        return hook

    def _after_layer(self, _module: Any, arguments: Any, output: Any) -> None:
        if not self.hidden:
            self.hidden.append(arguments[0][0].numpy().copy())
        self.hidden.append((output[0] if output.ndim == 3 else output).numpy().copy())


def rounding_margin(x: Any, scale: Any) -> Any:
    """Per row: how close any x * scale comes to a half, where one ulp decides the code."""
    scaled = x.astype(np.float64) * scale[:, None].astype(np.float64)
    return np.abs(np.abs(scaled - np.floor(scaled)) - 0.5).min(axis=1).astype(np.float32)


def clear_rows(values: dict[str, Any]) -> int:
    """How many rows of a captured run stay clear of boundaries, attention to others included."""
    if "layer/margin" not in values:
        return 0
    margin = values["layer/margin"].copy()
    margin[:, 0] = np.minimum.accumulate(margin[:, 0], axis=-1)
    return int((margin.min(axis=1) > CLEAR_MARGIN).sum())


def prompt_tokens(vocab: int, seed: int, count: int) -> list[int]:
    """Reproducible ids beyond the special tokens: a linear congruence, not a library's stream."""
    state, ids = 12345 + 7919 * seed, [0]
    for _ in range(count - 1):
        state = (1103515245 * state + 12345) % (1 << 31)
        ids.append(4 + (state >> 8) % (vocab - 4))
    return ids


def record_layers(model: Any, tokens: list[int], rows: int) -> dict[str, Any]:
    """One forward pass, with what goes into and comes out of each projection and layer."""
    recorder = Recorder(model)
    with torch.no_grad():
        model(torch.tensor([tokens]), use_cache=False)
    recorder.close()
    layers = len(recorder.hidden) - 1
    values: dict[str, Any] = {
        "layer/tokens": np.array(tokens, np.int32),
        "layer/hidden": np.stack(recorder.hidden),
    }
    if recorder.codes:
        values["layer/margin"] = np.stack(
            [[recorder.margin(index, stage) for stage in PROJECTIONS] for index in range(layers)]
        )
    # The last rows: their attention saw every position before them.
    for stage, x in recorder.inputs.items():
        values[f"linear/{stage}/x"] = x[-rows:]
        if stage in recorder.codes:  # activations of models with groups are floats
            values[f"linear/{stage}/codes"] = recorder.codes[stage][-rows:]
            values[f"linear/{stage}/scale"] = recorder.scales[stage][-rows:]
    for stage, x in recorder.normed.items():
        values[f"linear/{stage}/normed"] = x[-rows:]
    for name, y in recorder.outputs.items():
        values[f"linear/{name}/y"] = y[-rows:]
    return values


def edge_rows(columns: int) -> Any:
    """Rows where rounding, clamping and scaling meet their limits."""
    place = np.arange(columns)
    rows = np.zeros((6, columns), np.float32)
    rows[0] = place % 254 - 126.5  # a scale of exactly 1, and every code on a boundary
    rows[0, 0] = 127
    rows[1] = -rows[0]
    # rows[2] stays zero
    rows[3] = ((place % 7) - 3) * 1e-7  # below the least magnitude of the scale
    rows[4] = ((place % 11) - 5) * 1e20
    rows[5, -1] = 0.3
    return rows


def record_edges(model: Any) -> dict[str, Any]:
    """The first projection, given rows that no model would produce."""
    projection = model.model.layers[0].self_attn.q_proj
    rows = edge_rows(projection.in_features)
    recorder = Recorder(model)
    with torch.no_grad():
        projection(torch.tensor(rows)[None])
    recorder.close()
    (stage,) = recorder.codes
    return {
        "edge/x": rows,
        "edge/codes": recorder.codes[stage],
        "edge/scale": recorder.scales[stage],
        "edge/y": recorder.outputs["0.q"],
    }


def record_logits(
    model: Any, seed: int, tokens: list[int], rows: tuple[int, ...]
) -> dict[str, Any]:
    with torch.no_grad():
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()
    return {
        f"logits/{seed}/tokens": np.array(tokens, np.int32),
        f"logits/{seed}/rows": np.array(rows, np.int32),
        f"logits/{seed}/values": logits[list(rows)],
    }


def versions() -> dict[str, str]:
    return {"transformers": transformers.__version__, "torch": torch.__version__}


def golden_preset(preset: str) -> dict[str, Any]:
    """Everything for one random shape."""
    shape = PRESETS[preset]
    few = preset in WIDE or preset in VARIANTS
    layer_tokens = FEW_LAYER_TOKENS if few else LAYER_TOKENS
    values: dict[str, Any] = {}
    digests = {}
    for seed in FEW_SEEDS if few else SEEDS:
        with tempfile.TemporaryDirectory() as temporary:
            digests[str(seed)] = make_checkpoint(Path(temporary), shape, seed)
            to_reference_form(Path(temporary))
            model = load_model(Path(temporary))
            if seed == 0:
                rows = FEW_LINEAR_ROWS if few else LINEAR_ROWS
                # Without the common first token, whose margins would be the same in all.
                prompts = [
                    prompt_tokens(shape.vocab, s, layer_tokens + 1)[1:] for s in LAYER_PROMPTS
                ]
                # The strict limit shows more where fewer activations lie on a boundary.
                runs = [record_layers(model, prompt, rows) for prompt in prompts]
                clearest: dict[str, Any] = max(runs, key=clear_rows)
                values |= clearest
                if not shape.has_groups:
                    values |= record_edges(model)
            tokens = prompt_tokens(shape.vocab, seed, PROMPT_TOKENS)
            values |= record_logits(model, seed, tokens, LOGIT_ROWS)
    values["meta"] = np.array(json.dumps(versions() | {"preset": preset, "sha256": digests}))
    return values


def continue_greedily(model: Any, prompt: list[int]) -> tuple[list[int], Any]:
    """The tokens that follow, and by how many deviations each led."""
    with torch.no_grad():
        result = model.generate(
            torch.tensor([prompt]),
            max_new_tokens=GREEDY_TOKENS,
            do_sample=False,
            eos_token_id=[1, 2],
            pad_token_id=3,
            output_logits=True,
            return_dict_in_generate=True,
        )
    ids: list[int] = result.sequences[0, len(prompt) :].tolist()
    logits = torch.cat(result.logits)
    best = logits.topk(2, dim=-1).values
    gaps = (best[:, 0] - best[:, 1]) / logits.std(dim=-1)
    return ids, gaps.numpy().astype(np.float32)


def golden_embedded(directory: Path) -> dict[str, Any]:
    """The embedded model: layers, logits at the end of each prompt, greedy continuations."""
    model = load_model(directory)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(directory)
    values: dict[str, Any] = {}
    texts = []
    for index, text in enumerate(GREEDY_PROMPTS):
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer(chat, add_special_tokens=False)["input_ids"]
        if index == 0:
            values |= record_layers(model, prompt, 2)
        values |= record_logits(model, index, prompt, (len(prompt) - 1,))
        ids, gaps = continue_greedily(model, prompt)
        values[f"greedy/{index}/prompt"] = np.array(prompt, np.int32)
        values[f"greedy/{index}/ids"] = np.array(ids, np.int32)
        values[f"greedy/{index}/gaps"] = gaps
        texts.append({"prompt": text, "text": tokenizer.decode(ids, skip_special_tokens=True)})
        print(f"  {text!r} -> {texts[-1]['text']!r}")
    digest = hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    meta = versions() | {"preset": "embedded", "sha256": {"0": digest}, "greedy": texts}
    values["meta"] = np.array(json.dumps(meta))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="presets, or 'embedded' (default: all)")
    parser.add_argument("--embedded", type=Path, default=EMBEDDED, help="the embedded checkpoint")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "tests" / "data" / "golden")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names or [*TINY_PRESETS, *GROUPED_PRESETS, "embedded"]:
        values = golden_embedded(options.embedded) if name == "embedded" else golden_preset(name)
        path = options.output / f"{name}.npz"
        np.savez_compressed(path, **values)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
