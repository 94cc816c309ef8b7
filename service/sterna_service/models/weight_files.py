"""What the headers of weight files tell, without the weights."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sterna_service.errors import ModelLoadError

# As in the safetensors library: no real header comes near it.
_LARGEST_HEADER = 100 * 1024 * 1024

# The linears of a decoder, which are packed when a model is loaded.
_LINEARS = "_proj.weight"


def parameter_count(path: Path) -> int:
    """All parameters of a checkpoint; packed ternary ones count as four. Blocks.

    Raises:
        ModelLoadError: A file is damaged.
    """
    return sum(
        count * (4 if dtype == "U8" else 1)
        for file in sorted(path.glob("*.safetensors"))
        for name, dtype, count, _ in _tensors(file)
        if not name.endswith(".weight_scale")
    )


def packed_size(file: Path) -> int:
    """About the bytes of a safetensors file's tensors once they are packed. Blocks.

    Linears that are floats will take two bits a weight, and a little for their scales; what is not
    the header of such a file counts as it is.
    """
    try:
        return sum(
            count * 17 // 64 if name.endswith(_LINEARS) and dtype != "U8" else size
            for name, dtype, count, size in _tensors(file)
        )
    except ModelLoadError:
        # Loading it says why.
        return file.stat().st_size


def _tensors(file: Path) -> Iterator[tuple[str, str, int, int]]:
    """Name, dtype, elements and bytes of every tensor."""
    for name, tensor in _header(file).items():
        if name == "__metadata__" or not isinstance(tensor, dict):
            continue
        shape, place = tensor.get("shape"), tensor.get("data_offsets")
        if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ModelLoadError(f"{file}: the tensor {name} has no valid shape")
        match place:
            case [int() as begin, int() as end] if 0 <= begin <= end:
                yield name, str(tensor.get("dtype")), math.prod(shape), end - begin
            case _:
                raise ModelLoadError(f"{file}: the tensor {name} has no valid place")


def _header(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(_LARGEST_HEADER, file.stat().st_size - 8):
                raise ModelLoadError(f"{file}: its header is longer than the file")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise ModelLoadError(f"{file}: {error.strerror}") from None
    except (struct.error, ValueError, RecursionError):
        raise ModelLoadError(f"{file}: not a safetensors file") from None
    if not isinstance(header, dict):
        raise ModelLoadError(f"{file}: not a safetensors file")
    return header
