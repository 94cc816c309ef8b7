"""Writes a trained recogniser as CTranslate2's converter writes Whisper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs.whisper_spec import WhisperSpec
from tokenizers import Tokenizer
from torch import nn

from training.digits.model import Attention, Block, Recognizer
from training.digits.tokens import LANGUAGES, special, vocabulary, write_json


def export(model: Recognizer, tokenizer: Tokenizer, directory: Path) -> None:
    """Writes `model.bin` in half precision with its configuration and its tokenizer."""
    shape = model.shape
    spec = WhisperSpec(shape.layers, shape.heads, shape.layers, shape.heads)
    encoder, decoder = spec.encoder, spec.decoder
    for target, conv in ((encoder.conv1, model.conv1), (encoder.conv2, model.conv2)):
        target.weight, target.bias = _array(conv.weight), _array(conv.bias)
    encoder.position_encodings.encodings = _array(model.audio_positions)
    _norm(encoder.layer_norm, model.encoder_norm)
    decoder.embeddings.weight = _array(model.tokens.weight)
    decoder.scale_embeddings = False
    decoder.position_encodings.encodings = _array(model.text_positions)
    _norm(decoder.layer_norm, model.decoder_norm)
    decoder.projection.weight = decoder.embeddings.weight
    for targets, blocks in ((encoder.layer, model.encoder), (decoder.layer, model.decoder)):
        for target, block in zip(targets, blocks, strict=True):
            _block(target, block)
    spec.register_vocabulary(vocabulary(tokenizer))
    last = shape.layers - 1
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [special(tokenizer, "endoftext")]
    spec.config.lang_ids = [special(tokenizer, language) for language in LANGUAGES]
    spec.config.alignment_heads = [(last, head) for head in range(shape.heads)]
    spec.validate()
    spec.optimize(quantization="float16")
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    features = {
        "chunk_length": 30,
        "feature_size": 80,
        "hop_length": 160,
        "n_fft": 400,
        "sampling_rate": 16_000,
    }
    write_json(directory / "preprocessor_config.json", features)


def _block(target: Any, block: Block) -> None:
    own = target.self_attention
    _norm(own.layer_norm, block.attention_norm)
    query, key, value = _projections(block.attention)
    _linear(own.linear[0], _joined(query, key, value))
    _linear(own.linear[1], (block.attention.out.weight, block.attention.out.bias))
    if block.cross is not None and block.cross_norm is not None:
        cross = target.attention
        _norm(cross.layer_norm, block.cross_norm)
        query, key, value = _projections(block.cross)
        _linear(cross.linear[0], query)
        _linear(cross.linear[1], _joined(key, value))
        _linear(cross.linear[2], (block.cross.out.weight, block.cross.out.bias))
    _norm(target.ffn.layer_norm, block.ffn_norm)
    _linear(target.ffn.linear_0, (block.ffn_in.weight, block.ffn_in.bias))
    _linear(target.ffn.linear_1, (block.ffn_out.weight, block.ffn_out.bias))


def _projections(attention: Attention) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of queries, keys and values; keys get a bias of zero."""
    zero = np.zeros(attention.key.out_features, dtype=np.float32)
    return [
        (_array(attention.query.weight), _array(attention.query.bias)),
        (_array(attention.key.weight), zero),
        (_array(attention.value.weight), _array(attention.value.bias)),
    ]


def _joined(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([w for w, _ in parts]), np.concatenate([b for _, b in parts])


def _linear(target: Any, weights: tuple[Any, Any]) -> None:
    target.weight, target.bias = (_array(each) for each in weights)


def _norm(target: Any, norm: nn.LayerNorm) -> None:
    target.gamma, target.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Any) -> np.ndarray:
    if isinstance(tensor, np.ndarray):
        return tensor
    return np.ascontiguousarray(tensor.detach().float().numpy())
