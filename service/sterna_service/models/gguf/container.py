"""The container: header, metadata, and where the tensors lie.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
Nothing in the file is believed: every count and length is compared with what is left of it.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sterna_service.errors import ModelLoadError, Reason
from sterna_service.models.gguf.blocks import SUPPORTED, BlockType, block_type, type_name

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_TENSORS = 100_000
_MOST_VALUES = 100_000
_MOST_DIMENSIONS = 4
_LARGEST_DIMENSION = 2**31
_LONGEST_KEY = 65_535
_DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY, _BOOL = 8, 9, 7
_NUMBERS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    _BOOL: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor: `shape` is [rows, columns], outermost first; `data` are its bytes in the file."""

    name: str
    shape: tuple[int, ...]
    kind: BlockType
    data: memoryview


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A file that stays mapped as long as one of its tensors is used."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]


def read_gguf(path: Path) -> GgufFile:
    """Maps and checks a file.

    Raises:
        ModelLoadError: It cannot be read, is damaged, or holds a type of tensor that is unknown.
    """
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return _Reader(path, memoryview(mapped)).read()


class _Reader:
    def __init__(self, path: Path, data: memoryview) -> None:
        self._path = path
        self._data = data
        self._at = 0

    def read(self) -> GgufFile:
        if bytes(self._take(4)) != _MAGIC:
            raise self._invalid("not a GGUF file")
        version = self._number(4)
        if version not in _VERSIONS:
            raise self._invalid(f"GGUF version {version}; versions 2 and 3 are read")
        tensor_count, value_count = self._number(10), self._number(10)
        if tensor_count > _MOST_TENSORS or value_count > _MOST_VALUES:
            raise self._invalid(f"claims {tensor_count} tensors and {value_count} values")
        metadata: dict[str, Any] = {}
        for _ in range(value_count):
            key = self._string(_LONGEST_KEY)
            if key in metadata:
                raise self._invalid(f"the key {key!r:.200} is there twice")
            metadata[key] = self._value(self._number(4))
        tensors = self._tensors(tensor_count, metadata)
        return GgufFile(self._path, metadata, tensors)

    def _tensors(self, count: int, metadata: Mapping[str, Any]) -> dict[str, GgufTensor]:
        infos = [self._tensor_info() for _ in range(count)]
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        whole = isinstance(alignment, int) and not isinstance(alignment, bool)
        if not whole or not 1 <= alignment <= 2**20 or alignment & (alignment - 1):
            raise self._invalid(f"general.alignment is {alignment!r:.200}, must be a power of two")
        start = -(-self._at // alignment) * alignment
        ends = sorted(offset for _, _, _, offset in infos)
        if len({*ends}) != count:
            # They could be written out many times over.
            raise self._invalid("two tensors begin at the same place")
        ends.append(max(len(self._data) - start, 0))
        found: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in infos:
            if name in found:
                raise self._invalid(f"the tensor {name!r:.200} is there twice")
            if offset % alignment:
                raise self._invalid(f"tensor {name!r:.200}: its offset {offset} is not aligned")
            # Some types are told apart only by how much room they have.
            after = bisect_right(ends, offset)
            room = ends[after] - offset if after < len(ends) else 0
            block = block_type(kind, shape, room)
            if block is None:
                raise ModelLoadError(
                    f"{self._path}: tensor {name!r:.200} has the type {type_name(kind)}, which is "
                    f"not supported; supported: {SUPPORTED}",
                    Reason.MODEL_UNSUPPORTED,
                )
            size = block.bytes_of(shape)
            if size is None or size > room:
                raise self._invalid(
                    f"tensor {name!r:.200}: {shape} values of {block.name} do not fit in {room} "
                    "bytes"
                )
            begin = start + offset
            found[name] = GgufTensor(name, shape, block, self._data[begin : begin + size])
        return found

    def _tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string(_LONGEST_KEY)
        dimensions = self._number(4)
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise self._invalid(f"tensor {name!r:.200} has {dimensions} dimensions")
        shape = tuple(self._number(10) for _ in range(dimensions))[::-1]
        if not all(1 <= size <= _LARGEST_DIMENSION for size in shape):
            raise self._invalid(f"tensor {name!r:.200} has the shape {shape}")
        kind, offset = self._number(4), self._number(10)
        return name, shape, kind, offset

    def _value(self, kind: int, *, in_array: bool = False) -> Any:
        if kind == _STRING:
            return self._string(len(self._data))
        if kind == _ARRAY and not in_array:
            return self._array()
        if kind in _NUMBERS:
            return self._number(kind)
        raise self._invalid(f"a value has the type {kind}, which does not exist")

    def _array(self) -> list[Any]:
        kind, count = self._number(4), self._number(10)
        number = _NUMBERS.get(kind)
        # Each element takes at least this much, so that a count cannot ask for endless memory.
        least = number.size if number is not None else 8
        if count * least > len(self._data) - self._at:
            raise self._invalid(f"an array of {count} values does not fit in what is left")
        if number is not None:
            raw = self._take(count * number.size)
            return [value for (value,) in number.iter_unpack(raw)]
        return [self._value(kind, in_array=True) for _ in range(count)]

    def _number(self, kind: int) -> Any:
        number = _NUMBERS[kind]
        return number.unpack(self._take(number.size))[0]

    def _string(self, longest: int) -> str:
        length = self._number(10)
        if length > longest:
            raise self._invalid(f"a string of {length} bytes, at most {longest} are read")
        return bytes(self._take(length)).decode("utf-8", errors="replace")

    def _take(self, count: int) -> memoryview:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise self._invalid("ends too early")
        self._at += count
        return piece

    def _invalid(self, problem: str) -> ModelLoadError:
        return ModelLoadError(f"{self._path}: {problem}")
