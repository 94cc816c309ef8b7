"""What an ONNX file says of itself, without the library that runs it.

Only the structure is read: field numbers and lengths of the protobuf messages in `onnx.proto` (the
ONNX specification, https://onnx.ai/onnx/repo-docs/IR.html). Weights are skipped, never copied, and
every length is checked against the file.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sterna_service.errors import ModelLoadError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Kinds of messages, and those that they hold by the number of the field.
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DIMS, _EXTERNAL_DATA = 1, 13

# Real models are far below: a graph within a node within a function is deep.
_DEEPEST = 24
_MOST_FIELDS = 4_000_000
_MOST_DIMENSIONS = 16


@dataclass(slots=True)
class OnnxFacts:
    """What a graph holds."""

    parameter_count: int = 0
    """Elements of all tensors that are kept in it."""
    external_files: set[str] = field(default_factory=set)
    """Where tensors lie that are not in the file, relative to its directory, as written."""


def read_onnx(path: Path) -> OnnxFacts:
    """Reads the structure of a file. Blocks.

    Raises:
        ModelLoadError: It is no ONNX model, or damaged.
    """
    try:
        with path.open("rb") as stream:
            if path.stat().st_size == 0:
                raise _damaged(path)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                reader = _Reader(path, content)
                reader.message("model", 0, len(content), 0)
                if not reader.has_graph:
                    raise _damaged(path)
                return reader.facts
    except OSError as error:
        raise ModelLoadError(f"{path}: {error.strerror}") from None


def weight_files(path: Path, directory: Path) -> list[Path]:
    """The file and those with tensors that lie outside of it, all inside of `directory`. Blocks.

    Raises:
        ModelLoadError: The file is damaged, or names a file that is missing or lies elsewhere.
    """
    root = directory.resolve()
    files = [path]
    for location in sorted(read_onnx(path).external_files):
        target = path.parent / location
        try:
            inside = target.resolve().is_relative_to(root)
            there = inside and target.is_file()
        except (OSError, ValueError):
            inside = there = False
        if not inside or Path(location).is_absolute():
            raise ModelLoadError(
                f"{path}: keeps weights in {location!r}, outside of the model's directory; only "
                "files inside of it are read"
            )
        if not there:
            raise ModelLoadError(f"{path}: keeps weights in {location!r}, which is not there")
        files.append(target)
    return files


class _Reader:
    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path = path
        self._content = content
        self._fields = 0
        self.has_graph = False
        self.facts = OnnxFacts()

    def message(self, kind: str, begin: int, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise _damaged(self._path)
        parts = _PARTS[kind]
        for number, wire, start, stop in self._read_fields(begin, end):
            part = parts.get(number)
            if part is None or wire != _BYTES:
                continue
            if part == "tensor":
                self._tensor(start, stop)
            else:
                self.has_graph = self.has_graph or part == "graph"
                self.message(part, start, stop, depth + 1)

    def _tensor(self, begin: int, end: int) -> None:
        dims: list[int] = []
        for number, wire, start, stop in self._read_fields(begin, end):
            if number == _DIMS:
                if wire == _VARINT:
                    dims.append(start)
                elif wire == _BYTES:
                    while start < stop and len(dims) <= _MOST_DIMENSIONS:
                        value, start = self._varint(start, stop)
                        dims.append(value)
            elif number == _EXTERNAL_DATA and wire == _BYTES:
                self._external(start, stop)
        if len(dims) > _MOST_DIMENSIONS:
            raise _damaged(self._path)
        self.facts.parameter_count += math.prod(dims)

    def _external(self, begin: int, end: int) -> None:
        texts = {
            number: bytes(self._content[start:stop])
            for number, wire, start, stop in self._read_fields(begin, end)
            if wire == _BYTES and number in (1, 2) and stop - start <= 4096
        }
        if texts.get(1) == b"location":
            self.facts.external_files.add(texts.get(2, b"").decode("utf-8", "replace"))

    def _read_fields(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Field number, wire type, and where its bytes begin and end; a varint's value instead."""
        at = begin
        while at < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise _damaged(self._path)
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                value, at = self._varint(at, end)
                yield number, wire, value, value
                continue
            if wire == _BYTES:
                size, at = self._varint(at, end)
            elif wire in (_FIXED32, _FIXED64):
                size = 8 if wire == _FIXED64 else 4
            else:
                raise _damaged(self._path)
            if number == 0 or size > end - at:
                raise _damaged(self._path)
            yield number, wire, at, at + size
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self._content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _damaged(self._path)


def _damaged(path: Path) -> ModelLoadError:
    return ModelLoadError(f"{path}: not an ONNX model, or damaged; get it again")
