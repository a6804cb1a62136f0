"""Tensors of 4-bit numbers, of which two lie in a byte: users see the numbers, the IR has the bytes.

The number at an even place of a row lies in the low four bits of its byte, as in ml_dtypes, PyTorch's
`float4_e2m1fn_x2` and `cvt.rn.satfinite.e2m1x2` (PTX ISA, "cvt"). No memory access reaches half a byte, so a number is
read as the next dtype that holds all of them, and stored with its neighbour, by T.copy.
"""

from __future__ import annotations

from typing import Any, NoReturn

from tiledsl.errors import Span, TileError, error
from tiledsl.frontend.proxies import (
    Scalar,
    TypeWord,
    binary,
    bitwise,
    cast,
    reinterpreted,
    select,
    shift,
    unary,
)
from tiledsl.frontend.source import fail, here
from tiledsl.frontend.tensors import POINT, NoTile, Shaped, Tensor, parse_index, shape_text
from tiledsl.frontend.tracer import Frame
from tiledsl.ir.dtypes import (
    FLOAT4_E2M1,
    FLOAT16,
    FLOAT32,
    INDEX,
    INT4,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT4,
    UINT8,
    UINT16,
    DType,
)
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr
from tiledsl.ir.simplify import simplify

WIDER = {INT4: INT8, UINT4: UINT8, FLOAT4_E2M1: FLOAT16}  # 4-bit dtype -> the one that its numbers are read as
_SIGNED = {16: INT16, 32: INT32, 64: INT64}
TWO = Const(2, INDEX)


class Packed(Shaped, NoTile):
    """A tensor of 4-bit numbers. `buffer` is the tensor as the user sees it, `bytes` the one that the kernel has."""

    __slots__ = ("bytes",)

    def __init__(self, buffer: Buffer, held: Tensor) -> None:
        self.buffer, self.bytes = buffer, held

    def shown(self) -> str:
        return f"'{self.name}' of {self.buffer.dtype}"

    def __getitem__(self, index: Any) -> Any:
        offsets, extents, reads = parse_index(self.buffer, index)
        if any(e is not POINT for e in extents):
            return PackedPart(self, offsets, tuple(1 if e is POINT else e for e in extents), reads)
        half, odd = halves(offsets[-1])
        places = [Scalar(o, INDEX, reads.frame, reads.reads) for o in (*offsets[:-1], half)]
        number = number_in(self.bytes[tuple(places)], odd, self.buffer.dtype)
        return PackedNumber(number, self, offsets)

    def __setitem__(self, _index: Any, _value: Any) -> NoReturn:
        raise problem(self.buffer, "so that none can be stored alone", f"{_by_copy(self)} here")

    def no_tile(self, word: str) -> NoReturn:
        raise fail("TD0290", word=word, name=self.name, dtype=self.buffer.dtype, wider=WIDER[self.buffer.dtype])

    def _apply(self, op: str, *operands: Any) -> Any:
        raise fail("TD0232", name=self.name)

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__


class PackedPart(NoTile):
    """A box of such a tensor. An extent is None where a whole dynamic dimension was taken."""

    __slots__ = ("extents", "offsets", "reads", "tensor")

    def __init__(
        self, tensor: Packed, offsets: tuple[Expr, ...], extents: tuple[int | None, ...], reads: Scalar
    ) -> None:
        self.tensor, self.offsets, self.extents, self.reads = tensor, offsets, extents, reads

    @property
    def dtype(self) -> TypeWord:
        return self.tensor.dtype

    def shown(self) -> str:
        return f"a slice of {self.tensor.shown()}"

    def no_tile(self, word: str) -> NoReturn:
        self.tensor.no_tile(word)

    def _apply(self, op: str, *operands: Any) -> Any:
        raise fail("TD0232", name=self.tensor.name)


class PackedNumber(Scalar):
    """One number of such a tensor, and where it is: it starts a part where a tile word asks for one."""

    __slots__ = ("offsets", "tensor")

    def __init__(self, number: Scalar, tensor: Packed, offsets: tuple[Expr, ...]) -> None:
        super().__init__(number.expr, number.type, number.frame, number.reads)
        self.tensor, self.offsets = tensor, offsets


def declared(buffer: Buffer, frame: Frame | None = None, place: Span | None = None) -> tuple[Buffer, Tensor | Packed]:
    """The buffer that the IR gets for the one that the user writes, and what stands for it in the user's code.

    Raises TileError TD0289, at `place` or where the user's code is, for rows of 4-bit numbers that are no whole bytes.
    """
    if buffer.dtype not in WIDER:
        return buffer, Tensor(buffer, frame)
    rows = buffer.shape[-1] if buffer.shape else 1
    if not isinstance(rows, int):
        raise problem(buffer, "and its rows have a length that only the call knows", "make it a constant", place)
    if rows % 2:
        raise problem(buffer, f"and {shape_text(buffer.shape)} has rows of {rows}", f"make rows {rows + 1} long", place)
    if buffer.strides is not None:
        raise problem(buffer, "and has strides of its own", "take a T.StridedTensor of uint8 with half as many", place)
    held = Buffer(buffer.name, (*buffer.shape[:-1], rows // 2), UINT8, buffer.space)
    return held, Packed(buffer, Tensor(held, frame))


def problem(buffer: Buffer, what: str, hint: str, place: Span | None = None) -> TileError:
    """The error for what cannot be with two numbers in a byte."""
    at = here() if place is None else place
    return error("TD0289", at, name=buffer.name, dtype=buffer.dtype, problem=what, hint=hint)


def _by_copy(tensor: Packed) -> str:
    return f"compute a tile of {WIDER[tensor.buffer.dtype]}, and T.copy it"


def halves(place: Expr) -> tuple[Expr, Expr]:
    """The byte in which the number at `place` of a row lies, and whether it is the upper one."""
    return simplify(Binary("//", place, TWO), {}), simplify(Binary("%", place, TWO), {})


# ------------------------------------------------------------------------------------------- numbers and their bits


def number_in(byte: Scalar, odd: Expr, dtype: DType) -> Scalar:
    """The number in the low (`odd` = 0) or upper four bits of a byte, as `WIDER[dtype]`."""
    moved = shift(">>", cast(byte, INT32), cast(Scalar(simplify(odd * 4, {}), INDEX), INT32))
    bits = bitwise("&", moved, 15)
    if dtype is INT4:
        return cast(binary("-", bitwise("^", bits, 8), 8), INT8)
    if dtype is UINT4:
        return cast(bits, UINT8)
    # The sign, and the exponent and fraction at the places of float16's: subnormal numbers are too, so that one product
    # by a power of two, the difference of the biases, makes all of them right.
    sign = shift("<<", bitwise("&", bits, 8), 12)
    rest = shift("<<", bitwise("&", bits, 7), 9)
    half = reinterpreted(cast(bitwise("|", sign, rest), UINT16), FLOAT16)
    return binary("*", half, 2.0**14)


def bits_of(value: Scalar, dtype: DType) -> Scalar:
    """The four bits, as int32, of `value` converted to a 4-bit dtype.

    Integers wrap; floats become integers towards zero, at most the largest; float4_e2m1fn is rounded to nearest, even
    at ties, at most 6, and NaN becomes 6 (PTX ISA, "cvt": .satfinite).
    """
    if dtype is FLOAT4_E2M1:
        return _e2m1(value if value.type.is_float and value.type.bits >= 16 else cast(value, FLOAT32))
    whole = cast(value, INT32)
    if value.type.is_float:
        low, high = dtype.int_range
        whole = select(binary("<", whole, low), low, select(binary(">", whole, high), high, whole))
    return bitwise("&", whole, 15)


# What lies half way between two neighbours among 0, 0.5, 1, 1.5, 2, 3, 4, 6, and whether it goes to the upper one.
_HALF_WAY = ((0.25, False), (0.75, True), (1.25, False), (1.75, True), (2.5, False), (3.5, True), (5.0, False))


def _e2m1(value: Scalar) -> Scalar:
    size = unary("abs", value)
    code: Any = 0
    for between, up in _HALF_WAY:  # NaN is not below any of them
        code = binary("+", cast(unary("~", binary("<" if up else "<=", size, between)), INT32), code)
    negative = binary("<", reinterpreted(value, _SIGNED[value.type.bits]), 0)
    sign = bitwise("&", negative, binary("==", size, size))
    return bitwise("|", code, shift("<<", cast(sign, INT32), 3))
