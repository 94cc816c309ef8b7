"""Sentence encoders made for tests: a small BERT in ONNX, laid out for sentence-transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.support.tiny_bert import (
    EPSILON,
    HEADS,
    HIDDEN,
    INNER,
    LAYERS,
    POSITIONS,
    WORDS,
    Floats,
    Weights,
)


def make_graph(weights: Weights, *, pooled: bool = False) -> onnx.ModelProto:
    """The encoder in ONNX, as exporters write it; with `pooled`, the mean is in the graph, too."""
    nodes: list[Any] = []
    constants: dict[str, Any] = dict(weights)

    def constant(name: str, value: Any) -> str:
        constants[name] = np.asarray(value)
        return name

    def node(kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"n{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def linear(name: str, x: str) -> str:
        turned = node("Transpose", f"{name}.weight", perm=[1, 0])
        return node("Add", node("MatMul", x, turned), f"{name}.bias")

    def norm(name: str, x: str, out: str = "") -> str:
        return node(
            "LayerNormalization", x, f"{name}.weight", f"{name}.bias",
            name=out, axis=-1, epsilon=EPSILON,
        )  # fmt: skip

    one, zero = constant("one", np.int64(1)), constant("zero", np.int64(0))
    length = node("Gather", node("Shape", "input_ids"), one)
    positions = node("Range", zero, length, one)
    x = node("Gather", "embeddings.word_embeddings.weight", "input_ids")
    x = node("Add", x, node("Gather", "embeddings.position_embeddings.weight", positions))
    x = node("Add", x, node("Gather", "embeddings.token_type_embeddings.weight", "token_type_ids"))
    x = norm("embeddings.LayerNorm", x)
    mask = node("Cast", "attention_mask", to=TensorProto.FLOAT)
    wide = node("Unsqueeze", mask, constant("axes12", np.array([1, 2], dtype=np.int64)))
    hidden = node("Sub", constant("f1", np.float32(1)), wide)
    penalty = node("Mul", hidden, constant("least", np.float32(-1e9)))
    split = constant("split", np.array([0, 0, HEADS, HIDDEN // HEADS], dtype=np.int64))
    joined = constant("joined", np.array([0, 0, HIDDEN], dtype=np.int64))
    scale = constant("scale", np.float32(1 / math.sqrt(HIDDEN // HEADS)))
    half, root = constant("half", np.float32(0.5)), constant("root", np.float32(math.sqrt(2)))
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}"
        q, k, v = (
            node("Reshape", linear(f"{layer}.attention.self.{name}", x), split)
            for name in ("query", "key", "value")
        )
        q, v = (node("Transpose", each, perm=[0, 2, 1, 3]) for each in (q, v))
        k = node("Transpose", k, perm=[0, 2, 3, 1])
        scores = node("Add", node("Mul", node("MatMul", q, k), scale), penalty)
        mixed = node("MatMul", node("Softmax", scores, axis=-1), v)
        mixed = node("Reshape", node("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        out = linear(f"{layer}.attention.output.dense", mixed)
        x = norm(f"{layer}.attention.output.LayerNorm", node("Add", x, out))
        inner = linear(f"{layer}.intermediate.dense", x)
        erf = node("Add", node("Erf", node("Div", inner, root)), "f1")
        inner = node("Mul", node("Mul", inner, half), erf)
        last = "last_hidden_state" if index == LAYERS - 1 else ""
        added = node("Add", x, linear(f"{layer}.output.dense", inner))
        x = norm(f"{layer}.output.LayerNorm", added, last)
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "tokens", HIDDEN])]
    if pooled:
        end = constant("axes2", np.array([2], dtype=np.int64))
        first = constant("axes1", np.array([1], dtype=np.int64))
        weights_of_tokens = node("Unsqueeze", mask, end)
        total = node("ReduceSum", node("Mul", x, weights_of_tokens), first, keepdims=0)
        count = node("ReduceSum", weights_of_tokens, first, keepdims=0)
        node("Div", total, count, name="sentence_embedding")
        outputs.append(
            helper.make_tensor_value_info(
                "sentence_embedding", TensorProto.FLOAT, ["batch", HIDDEN]
            )
        )
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "bert", inputs, outputs, initializer=tensors)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="tests"
    )


def make_tokenizer() -> Tokenizer:
    """Whole words in lower case between [CLS] and [SEP]; pads and cuts, as MiniLM's file does."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(WORDS[:5])
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(16)
    return tokenizer


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def make_encoder(
    directory: Path,
    weights: Weights,
    *,
    pooling: str | None = "mean_tokens",
    prompts: Mapping[str, str] | None = None,
    dense: Sequence[Floats] = (),
    pooled: bool = False,
    external: bool = False,
    longest: int = 16,
) -> Path:
    """Writes an encoder as sentence-transformers lays it out, with `onnx/model.onnx`."""
    (directory / "onnx").mkdir(parents=True)
    graph = make_graph(weights, pooled=pooled)
    onnx.save(
        graph,
        directory / "onnx" / "model.onnx",
        save_as_external_data=external,
        location="model.onnx_data",
        size_threshold=128,
    )
    make_tokenizer().save(str(directory / "tokenizer.json"))
    write_json(directory / "tokenizer_config.json", {"pad_token": "[PAD]"})
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "vocab_size": len(WORDS),
        "max_position_embeddings": POSITIONS,
        "layer_norm_eps": EPSILON,
        "hidden_act": "gelu",
    }
    write_json(directory / "config.json", config)
    write_json(
        directory / "sentence_bert_config.json",
        {"max_seq_length": longest, "do_lower_case": False},
    )
    steps = [("", "Transformer")]
    if pooling is not None:
        steps.append(("1_Pooling", "Pooling"))
        write_json(
            directory / "1_Pooling" / "config.json",
            {"word_embedding_dimension": HIDDEN, f"pooling_mode_{pooling}": True},
        )
    for index, matrix in enumerate(dense, start=2):
        steps.append((f"{index}_Dense", "Dense"))
        place = directory / f"{index}_Dense"
        write_json(
            place / "config.json",
            {
                "in_features": matrix.shape[1],
                "out_features": matrix.shape[0],
                "bias": False,
                "activation_function": "torch.nn.modules.linear.Identity",
            },
        )
        save_file({"linear.weight": matrix}, place / "model.safetensors")
    steps.append((f"{len(dense) + 2}_Normalize", "Normalize"))
    write_json(
        directory / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(steps)
        ],
    )
    if prompts is not None:
        write_json(
            directory / "config_sentence_transformers.json",
            {"prompts": dict(prompts), "default_prompt_name": None},
        )
    return directory
