"""A graph in ONNX, run by onnxruntime (the extra `embeddings`)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sterna_service.encoders.onnx_file import weight_files
from sterna_service.errors import ModelLoadError, Reason

_log = logging.getLogger(__name__)

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

_KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
# What exporters call a vector that the graph has pooled by itself, and the states of all tokens.
_SENTENCE = ("sentence_embedding", "sentence_embeddings")
_TOKENS = ("last_hidden_state", "token_embeddings", "hidden_states")
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class OnnxSession:
    """A loaded graph. Not thread-safe."""

    def __init__(self, session: Any, output: str, pooled: bool, weight_bytes: int) -> None:
        self._session = session
        self._inputs = [(each.name, _TYPES[each.type]) for each in session.get_inputs()]
        self._output = output
        self.pooled = pooled
        """`run` returns one vector per text, rather than one per token."""
        self.weight_bytes = weight_bytes

    def run(self, ids: Ids, mask: Ids) -> Floats:
        """The states of padded texts [texts, tokens], whose real tokens have 1 in the mask:
        [texts, tokens, size], or [texts, size] when the graph pools."""
        values = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
            "position_ids": np.broadcast_to(np.arange(ids.shape[1], dtype=np.int64), ids.shape),
        }
        feeds = {name: np.ascontiguousarray(values[name], kind) for name, kind in self._inputs}
        (output,) = self._session.run([self._output], feeds)
        found: Floats = np.asarray(output, dtype=np.float32)
        if found.ndim != (2 if self.pooled else 3) or found.shape[0] != len(ids):
            raise ValueError(f"the graph's output {self._output} has the shape {found.shape}")
        return found


def open_session(path: Path, directory: Path, threads: int) -> OnnxSession:
    """Loads a graph whose weights all lie in `directory`. Blocks.

    Raises:
        ModelLoadError: The extra is missing, or the file cannot be used.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise ModelLoadError(
            f"{path}: running it needs the extra embeddings: "
            "pip install 'sterna-server[embeddings]'",
            Reason.MODEL_UNSUPPORTED,
        ) from None
    files = weight_files(path, directory)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Batches have many shapes, and an arena keeps the largest of each.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads that wait must leave the processors to the engine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its errors share no class of their own.
        line = str(error).partition("\n")[0][:300]
        raise ModelLoadError(f"{path}: onnxruntime cannot load it ({line})") from None
    for each in session.get_inputs():
        if each.name not in _KNOWN_INPUTS or each.type not in _TYPES:
            raise _unsupported(path, f"takes the input {each.name} of the type {each.type}")
    if "input_ids" not in {each.name for each in session.get_inputs()}:
        raise _unsupported(path, "takes no input_ids")
    output, pooled = _output(path, session)
    return OnnxSession(session, output, pooled, sum(file.stat().st_size for file in files))


def _output(path: Path, session: Any) -> tuple[str, bool]:
    outputs = {each.name: len(each.shape or ()) for each in session.get_outputs()}
    for names, pooled in ((_SENTENCE, True), (_TOKENS, False)):
        for name in names:
            if outputs.get(name) == (2 if pooled else 3):
                return name, pooled
    listed = ", ".join(outputs)
    raise _unsupported(path, f"gives {listed}, neither last_hidden_state nor sentence_embedding")


def _unsupported(path: Path, what: str) -> ModelLoadError:
    return ModelLoadError(
        f"{path}: {what}; export it for feature extraction, with input_ids and attention_mask",
        Reason.MODEL_UNSUPPORTED,
    )
