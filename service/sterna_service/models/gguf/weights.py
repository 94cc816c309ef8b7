"""A GGUF file's tensors as those of a packed Hugging Face checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from sterna_service.errors import ModelLoadError, Reason
from sterna_service.models.gguf.architecture import IGNORED, LINEARS, TABLES, Architecture
from sterna_service.models.gguf.blocks import Bytes, Floats, Trits
from sterna_service.models.gguf.container import GgufFile, GgufTensor

# Values decoded at a time, for tensors that are not decoded as a whole.
_CHUNK_VALUES = 1 << 24
# A tensor's entry in the header takes less than this many bytes beside its name.
_ENTRY_BYTES = 200
# More than any type of block has.
_MOST_GROUP = 1 << 30

Values = TypeVar("Values", Trits, Floats)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A tensor to be written: its type and shape, and its bytes piece by piece."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Iterator[bytes]


def write_weights(file: GgufFile, architecture: Architecture, target: Path) -> int:
    """Writes `model.safetensors`: packed trits for the linears, floats for the rest. Blocks.

    Where ternary weights have scales of their own for groups of columns, embedding and output head
    are packed, too, if they are ternary.

    Returns:
        How many columns share a scale; 0 when a whole matrix does.

    Raises:
        ModelLoadError: A tensor is damaged, or is no part of such a model.
    """
    converter = _Converter(file, architecture)
    converter.check()
    with target.open("wb") as stream:
        _write_safetensors(stream, converter.count_name_bytes(), converter.pieces())
    return converter.group


class _Converter:
    def __init__(self, file: GgufFile, architecture: Architecture) -> None:
        self._file = file
        self._architecture = architecture
        self._tensors = {
            name: tensor
            for name, tensor in file.tensors.items()
            if name not in IGNORED and not name.endswith(".scale")
        }
        self.group = 0
        """Columns that share a scale; 0: a whole matrix does. Known after `check`."""

    def check(self) -> None:
        """Refuses what cannot be converted before anything is written."""
        for name in self._file.tensors:
            weight = f"{name.removesuffix('.scale')}.weight"
            if name.endswith(".scale") and not (_is_linear(weight) and weight in self._tensors):
                raise ModelLoadError(
                    f"{self._file.path}: the tensor {name[:200]!r} is the scale of no linear",
                    Reason.MODEL_UNSUPPORTED,
                )
        for name, tensor in self._tensors.items():
            self._architecture.checkpoint_name(name)
            if _is_linear(name):
                if tensor.kind.trits is None:
                    raise self._refuse(
                        tensor,
                        f"is {tensor.kind.name}; only ternary weights (I2_S, TQ1_0, TQ2_0, Q2_0) "
                        "are run",
                        Reason.MODEL_UNSUPPORTED,
                    )
                if len(tensor.shape) != 2 or tensor.shape[0] % 4:
                    raise self._refuse(
                        tensor, f"has the shape {tensor.shape}; rows must come in fours"
                    )
            elif len(tensor.shape) > 2:
                raise self._refuse(tensor, f"has the shape {tensor.shape}")
        self.group = min(
            (
                self._group_of(tensor)
                for name, tensor in self._tensors.items()
                if _is_linear(name) and not self._is_uniform(tensor)
            ),
            default=0,
        )
        if self.group:
            tables = [self._tensors[name] for name in TABLES if name in self._tensors]
            of_tables = [self._group_of(tensor) for tensor in tables if _can_pack(tensor)]
            self.group = min([self.group, *of_tables])

    def _is_uniform(self, tensor: GgufTensor) -> bool:
        """Whether the blocks that are not all zeros share a scale."""
        if tensor.kind.whole_scale:
            return True
        scales = self._scales(tensor)
        return bool(len(np.unique(scales[scales != 0])) <= 1)

    def _group_of(self, tensor: GgufTensor) -> int:
        """The columns that share a scale: a block, or two where all pairs agree."""
        values = tensor.kind.values
        if tensor.kind.whole_scale:
            return _MOST_GROUP
        scales = self._scales(tensor).reshape(tensor.shape[0], -1)
        if values < 128 and scales.shape[1] % 2 == 0:
            pairs = scales.reshape(len(scales), -1, 2)
            if np.array_equal(pairs[..., 0], pairs[..., 1]):
                return 2 * values
        return values

    def _scales(self, tensor: GgufTensor) -> Floats:
        """A scale for every block."""
        assert tensor.kind.trits is not None
        raw, _ = _blocks(tensor)
        step = max(1, _CHUNK_VALUES // tensor.kind.values)
        pieces = [tensor.kind.trits(raw[i : i + step])[1] for i in range(0, len(raw), step)]
        return np.concatenate(pieces)

    def count_name_bytes(self) -> int:
        """At least what the header will need."""
        names = [self._architecture.checkpoint_name(name) for name in self._tensors]
        return sum(2 * (len(name) + _ENTRY_BYTES) for name in names)

    def pieces(self) -> Iterator[_Piece]:
        """Every tensor of the checkpoint."""
        for name, tensor in self._tensors.items():
            target = self._architecture.checkpoint_name(name)
            if _is_linear(name) or (self.group and name in TABLES and _can_pack(tensor)):
                yield from self._linear(target, tensor)
            elif tensor.kind.name in ("F32", "F16", "BF16"):
                yield _Piece(target, tensor.kind.name, tensor.shape, _raw(tensor))
            else:
                yield _Piece(target, "F32", tensor.shape, _decoded(tensor))

    def _linear(self, name: str, tensor: GgufTensor) -> Iterator[_Piece]:
        trits, scales = self._trits(tensor)
        part = tensor.name.split(".")[-2]
        if self._architecture.permuted and part in ("attn_q", "attn_k"):
            heads = self._architecture.heads if part == "attn_q" else self._architecture.kv_heads
            trits = self._unpermuted(tensor, trits, heads)
            if self.group:
                scales = self._unpermuted(tensor, scales, heads)
        rows, cols = tensor.shape
        codes = (trits + 1).view(np.uint8).reshape(4, rows // 4, cols)
        packed = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6
        yield _Piece(name, "U8", packed.shape, iter([packed.tobytes()]))
        value = (scales * np.float32(self._output_scale(tensor))).astype("<f4")
        yield _Piece(f"{name}_scale", "F32", value.shape, iter([value.tobytes()]))

    def _trits(self, tensor: GgufTensor) -> tuple[Trits, Floats]:
        """The weights [rows, columns] and their scales: [1], or [rows, groups] with groups."""
        decode = tensor.kind.trits
        assert decode is not None
        raw, tail = _blocks(tensor)
        trits, scales = decode(raw)
        if tensor.kind.whole_scale:
            scales = np.array([np.frombuffer(tail[:4], "<f4")[0]])
        else:
            # What a block without a scale holds means nothing.
            trits[scales == 0] = 0
        if trits.max(initial=-1) > 1:
            raise self._refuse(tensor, "holds the code 3, which is not a ternary weight")
        wrong = scales[~(np.isfinite(scales) & (scales >= 0))]
        if len(wrong) or (tensor.kind.whole_scale and scales[0] == 0):
            scale = wrong[0] if len(wrong) else scales[0]
            raise self._refuse(tensor, f"has the scale {scale}, must be finite and positive")
        if self.group:
            return trits.reshape(tensor.shape), self._by_groups(tensor, scales)
        scales = np.unique(scales[scales != 0])
        return trits.reshape(tensor.shape), scales[:1] if len(scales) else np.ones(1, np.float32)

    def _by_groups(self, tensor: GgufTensor, scales: Floats) -> Floats:
        """The scales of blocks as those of the model's groups: [rows, groups]."""
        rows, cols = tensor.shape
        groups = -(-cols // self.group)
        if tensor.kind.whole_scale:
            return np.full((rows, groups), scales[0], np.float32)
        by_block = scales.reshape(rows, -1)
        first = np.arange(groups) * self.group // tensor.kind.values
        # The blocks of a group share a scale, but for those that hold zeros only.
        return np.ascontiguousarray(np.maximum.reduceat(by_block, first, axis=1))

    def _unpermuted(self, tensor: GgufTensor, trits: Values, heads: int) -> Values:
        """Rows of a head in halves, where the file has them in pairs."""
        rows, cols = trits.shape
        if rows % (2 * heads):
            raise self._refuse(tensor, f"has {rows} rows, which {heads} heads cannot share")
        paired = trits.reshape(heads, rows // heads // 2, 2, cols)
        return np.ascontiguousarray(paired.swapaxes(1, 2)).reshape(rows, cols)

    def _output_scale(self, tensor: GgufTensor) -> float:
        """Some converters keep a further factor in a tensor of its own."""
        extra = self._file.tensors.get(tensor.name.removesuffix(".weight") + ".scale")
        if extra is None:
            return 1.0
        if extra.kind.name != "F32" or extra.shape != (1,):
            raise self._refuse(extra, "must be one F32 number")
        return float(np.frombuffer(extra.data, "<f4")[0])

    def _refuse(
        self, tensor: GgufTensor, problem: str, reason: Reason = Reason.CHECKPOINT_INVALID
    ) -> ModelLoadError:
        return ModelLoadError(f"{self._file.path}: tensor {tensor.name!r:.200} {problem}", reason)


def _is_linear(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[2] in LINEARS


def _can_pack(tensor: GgufTensor) -> bool:
    """Whether a table is ternary, with rows in fours."""
    return tensor.kind.trits is not None and len(tensor.shape) == 2 and tensor.shape[0] % 4 == 0


def _blocks(tensor: GgufTensor) -> tuple[Bytes, memoryview]:
    """The bytes as [blocks, bytes of a block], and what stands behind them."""
    kind = tensor.kind
    count = int(np.prod(tensor.shape)) // kind.values
    whole = count * kind.size
    raw = np.frombuffer(tensor.data[:whole], np.uint8).reshape(count, kind.size)
    return raw, tensor.data[whole:]


def _raw(tensor: GgufTensor) -> Iterator[bytes]:
    yield bytes(tensor.data)


def _decoded(tensor: GgufTensor) -> Iterator[bytes]:
    raw, tail = _blocks(tensor)
    step = max(1, _CHUNK_VALUES // tensor.kind.values)
    for begin in range(0, len(raw), step):
        piece = raw[begin : begin + step]
        values: Floats
        if tensor.kind.floats is not None:
            values = tensor.kind.floats(piece)
        else:
            assert tensor.kind.trits is not None
            trits, scales = tensor.kind.trits(piece)
            if tensor.kind.whole_scale:
                scales = np.full(len(piece), np.frombuffer(tail[:4], "<f4")[0])
            values = trits * scales[:, None]
        yield values.astype("<f4").tobytes()


def _write_safetensors(stream: BinaryIO, room: int, pieces: Iterator[_Piece]) -> None:
    """Header last, in room that is left for it: sizes are known only when a tensor is made."""
    room = -(-(room + 1024) // 64) * 64
    stream.seek(8 + room)
    header: dict[str, object] = {}
    at = 0
    for piece in pieces:
        begin = at
        for data in piece.data:
            stream.write(data)
            at += len(data)
        header[piece.name] = {
            "dtype": piece.dtype,
            "shape": piece.shape,
            "data_offsets": [begin, at],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    assert len(text) <= room
    stream.seek(0)
    stream.write(room.to_bytes(8, "little") + text.ljust(room))
