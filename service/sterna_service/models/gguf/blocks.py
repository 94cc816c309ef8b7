"""How tensors are stored: blocks of values with a scale, by the numbers that ggml gave them.

Ternary types decode to trits {-1, 0, 1} and a scale per block, the others to floats. Layouts are
those of ggml's quantization functions and of microsoft/BitNet's (I2_S).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Trits = npt.NDArray[np.int8]

_POWERS = np.array([1, 3, 9, 27, 81], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class BlockType:
    """A type of tensor. Exactly one of `floats` and `trits` is set; both take [blocks, bytes]."""

    name: str
    values: int
    """In one block."""
    size: int
    """Bytes of one block."""
    floats: Callable[[Bytes], Floats] | None = None
    trits: Callable[[Bytes], tuple[Trits, Floats]] | None = None
    """Trits [blocks, values] and scales [blocks]."""
    whole_scale: bool = False
    """One scale for the whole tensor, as a float behind its values (I2_S)."""

    def bytes_of(self, shape: tuple[int, ...]) -> int | None:
        """The bytes of a tensor; None when its rows do not consist of whole blocks."""
        count = math.prod(shape)
        if self.whole_scale:
            return count // self.values * self.size + 32 if count % self.values == 0 else None
        return count // self.values * self.size if shape[-1] % self.values == 0 else None


def block_type(number: int, shape: tuple[int, ...], room: int) -> BlockType | None:
    """The type with ggml's number, for a tensor that has so many bytes to itself at most."""
    if number == _Q2_0_NUMBER:
        # Two layouts share the number: files of another vendor have blocks of 128.
        small, large = Q2_0.bytes_of(shape), PQ2_0.bytes_of(shape)
        if large is not None and (small is None or small > room):
            return PQ2_0
        return Q2_0
    return _TYPES.get(number)


def type_name(number: int) -> str:
    """What a person may know a type by that is not supported."""
    name = _OTHERS.get(number)
    return f"{number} ({name})" if name else str(number)


def _f32(raw: Bytes) -> Floats:
    return raw.view("<f4").astype(np.float32)


def _f16(raw: Bytes) -> Floats:
    return raw.view("<f2").astype(np.float32)


def _bf16(raw: Bytes) -> Floats:
    values: Floats = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return values


def _half(raw: Bytes, at: int) -> Floats:
    """The half-precision number at an offset of every block: [blocks, 1]."""
    halves = np.frombuffer(raw[:, at : at + 2].tobytes(), "<f2")
    return halves.astype(np.float32).reshape(-1, 1)


def _q8_0(raw: Bytes) -> Floats:
    return _half(raw, 0) * raw[:, 2:].view(np.int8).astype(np.float32)


def _q4_0(raw: Bytes) -> Floats:
    codes = np.concatenate([raw[:, 2:] & 15, raw[:, 2:] >> 4], axis=1)
    return _half(raw, 0) * (codes.astype(np.float32) - 8)


def _q6_k(raw: Bytes) -> Floats:
    low = raw[:, :128].reshape(-1, 2, 2, 32)
    high = raw[:, 128:192].reshape(-1, 2, 1, 32)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8).reshape(1, 1, 4, 1)
    codes = (nibbles | (((high >> shifts) & 3) << 4)).reshape(-1, 16, 16).astype(np.float32) - 32
    scales = raw[:, 192:208].view(np.int8).astype(np.float32)[:, :, None]
    values: Floats = _half(raw, 208)[:, :, None] * scales * codes
    return values.reshape(-1, 256)


def _two_bits(raw: Bytes) -> Bytes:
    """Four codes of every byte, lowest bits first: [..., 4, bytes]."""
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8).reshape(4, 1)
    codes: Bytes = ((raw[..., None, :] >> shifts) & 3).astype(np.uint8)
    return codes


def _centred(codes: Bytes) -> Trits:
    """Code 3 stays 2, which is no trit, for the caller to refuse."""
    return codes.view(np.int8) - np.int8(1)


def _tq2_0(raw: Bytes) -> tuple[Trits, Floats]:
    codes = _two_bits(raw[:, :64].reshape(-1, 2, 32)).reshape(-1, 256)
    return _centred(codes), _half(raw, 64)[:, 0]


def _base_three(raw: Bytes, digits: int) -> Bytes:
    """Digits of numbers below 3^5 that are stored as fractions of 256: [blocks, digits, bytes]."""
    shifted = raw[:, None, :] * _POWERS[:digits].reshape(1, digits, 1)  # modulo 256
    return ((shifted.astype(np.uint16) * 3) >> 8).astype(np.uint8)


def _tq1_0(raw: Bytes) -> tuple[Trits, Floats]:
    pieces = (
        _base_three(raw[:, :32], 5),
        _base_three(raw[:, 32:48], 5),
        _base_three(raw[:, 48:52], 4),
    )
    codes = np.concatenate([piece.reshape(len(raw), -1) for piece in pieces], axis=1)
    return _centred(codes), _half(raw, 52)[:, 0]


def _ptq1_0(raw: Bytes) -> tuple[Trits, Floats]:
    pieces = (
        _base_three(raw[:, :16], 5),
        _base_three(raw[:, 16:24], 5),
        _base_three(raw[:, 24:26], 4),
    )
    codes = np.concatenate([piece.reshape(len(raw), -1) for piece in pieces], axis=1)
    return _centred(codes), _half(raw, 26)[:, 0]


def _q2_0(raw: Bytes) -> tuple[Trits, Floats]:
    codes = _two_bits(raw[:, 2:]).swapaxes(-1, -2).reshape(len(raw), -1)
    return _centred(np.ascontiguousarray(codes)), _half(raw, 0)[:, 0]


def _i2_s(raw: Bytes) -> tuple[Trits, Floats]:
    # Highest bits first.
    codes = _two_bits(raw)[:, ::-1, :].reshape(-1, 128)
    return _centred(np.ascontiguousarray(codes)), np.ones(len(raw), np.float32)


F32 = BlockType("F32", 1, 4, floats=_f32)
F16 = BlockType("F16", 1, 2, floats=_f16)
BF16 = BlockType("BF16", 1, 2, floats=_bf16)
Q8_0 = BlockType("Q8_0", 32, 34, floats=_q8_0)
Q4_0 = BlockType("Q4_0", 32, 18, floats=_q4_0)
Q6_K = BlockType("Q6_K", 256, 210, floats=_q6_k)
TQ1_0 = BlockType("TQ1_0", 256, 54, trits=_tq1_0)
TQ2_0 = BlockType("TQ2_0", 256, 66, trits=_tq2_0)
I2_S = BlockType("I2_S", 128, 32, trits=_i2_s, whole_scale=True)
Q2_0 = BlockType("Q2_0", 64, 18, trits=_q2_0)
PQ2_0 = BlockType("PQ2_0", 128, 34, trits=_q2_0)
PTQ1_0 = BlockType("PTQ1_0", 128, 28, trits=_ptq1_0)

_Q2_0_NUMBER = 42
_TYPES = {
    0: F32,
    1: F16,
    2: Q4_0,
    8: Q8_0,
    14: Q6_K,
    30: BF16,
    34: TQ1_0,
    35: TQ2_0,
    36: I2_S,
    142: PQ2_0,
    143: PTQ1_0,
}
SUPPORTED = ", ".join(kind.name for kind in _TYPES.values()) + ", Q2_0"
"""The names of the types, for people."""

# Types of other files that people bring, by ggml's numbers and those of ik_llama.cpp.
_OTHERS = {
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    29: "IQ1_M",
    38: "TL1",
    39: "MXFP4, or TL2",
    41: "Q1_0",
    134: "IQ1_BN",
    135: "IQ2_BN",
}
