"""Arithmetic on two neighbours at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.lanes import Lanes, load_lanes
from tiledsl.frontend.proxies import Scalar, call, cast, describe, operand, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, UINT16, UINT32, DType
from tiledsl.ir.nodes import Space
from tiledsl.language.scalars import maximum, minimum, reinterpret
from tiledsl.language.tiles import begin

_PACKED = {FLOAT16: "f16x2", BFLOAT16: "bf16x2"}
_DTYPES = (FLOAT32, FLOAT16, BFLOAT16)
_NEEDS = "two neighbours of float16, bfloat16 or float32, as A[i, 2 * j : 2 * j + 2], what such a word gave, or (x, y)"


def _pair(word: str, operation: str, single: Callable[..., Any], *operands: Any) -> Lanes:
    """`operation` of `ops.PAIRED` on packed halves; `single` on each of two float32."""
    begin(word)
    held = [_held(word, x) for x in operands]
    dtypes = {x.type for x in held if isinstance(x, Lanes)}
    if len(dtypes) != 1:
        shown = " and ".join(x.shown() if isinstance(x, Lanes) else str(x) for x in held)
        raise fail("TD0285", what=word, value=shown, needs="pairs of one dtype; Python numbers alone have none")
    (dtype,) = dtypes
    pairs = [x if isinstance(x, Lanes) else _of_numbers(word, x, dtype) for x in held]
    if dtype is FLOAT32:
        return Lanes([bind(scalar(single(*(p.values[i] for p in pairs))), "pair") for i in range(2)], dtype)
    packed = [_packed(p) for p in pairs]
    return _unpacked(call(f"{operation}_{_PACKED[dtype]}", *packed), dtype)


def _held(word: str, x: Any) -> Lanes | tuple[Any, Any]:
    """A pair with a dtype, or two Python numbers, which take that of the others."""
    if isinstance(x, Slice):
        x = _part(word, x)
    if isinstance(x, tuple) and len(x) == 2:
        numbers = (operand(x[0]), operand(x[1]))
        dtype = next((n.type for n in numbers if isinstance(n, Scalar)), None)
        if dtype is None:
            return numbers
        x = _of_numbers(word, numbers, dtype)
    if not isinstance(x, Lanes) or len(x) != 2 or x.type not in _DTYPES:
        raise fail("TD0285", what=word, value=describe(x), needs=_NEEDS)
    return x


def _part(word: str, part: Slice) -> Lanes:
    part.tensor.check_elements()
    part.tensor.check_alive()
    if part.extents[-1] != 2 or any(e != 1 for e in part.extents[:-1]):
        raise fail("TD0285", what=word, value=part.shown(), needs=_NEEDS)
    buffer = part.tensor.buffer
    if buffer.space is Space.FRAGMENT:  # which thread has which neighbour is not for the user to know
        space, allowed = part.tensor.scope(), "a parameter, T.alloc_shared or T.alloc_local"
        raise fail("TD0219", word=word, parameter="x", name=buffer.name, space=space, allowed=allowed)
    return Lanes(load_lanes(buffer, part.offsets, 2, part.reads), buffer.dtype)


def _of_numbers(word: str, numbers: tuple[Any, Any], dtype: DType) -> Lanes:
    for x in numbers:
        if isinstance(x, Scalar) and x.type is not dtype:
            raise fail("TD0285", what=word, value=f"{describe(x)} beside {dtype}", needs="two numbers of one dtype")
    return Lanes([x if isinstance(x, Scalar) else cast(x, dtype) for x in numbers], dtype)


def _packed(pair: Lanes) -> Scalar:
    """Both halves in an uint32, the first one low."""
    if pair.packed is not None:
        return pair.packed
    low, high = (cast(reinterpret(UINT16.name, v), UINT32) for v in pair.values)
    return bind(low | high << 16, "packed")


def _unpacked(packed: Scalar, dtype: DType) -> Lanes:
    bits = bind(packed, "pair")
    halves = [cast(bits, UINT16), cast(bits >> 16, UINT16)]
    return Lanes([reinterpret(dtype.name, h) for h in halves], dtype, bits)


def add2(x: Any, y: Any) -> Lanes:
    """`x + y` on two neighbours at a time: `Y[2 * i : 2 * i + 2] = T.add2(X[2 * i : 2 * i + 2], (x, y))`.

    Operands are parts of two elements of the last dimension of a tensor (not of a fragment, TD0219), what such a word
    gave, or pairs `(x, y)` of numbers; all of float16, of bfloat16 or of float32, but Python numbers, which adopt the
    dtype. The result has its numbers as `p[0]` and `p[1]`, and is stored to two neighbours. Each is rounded once. Of
    16-bit floats both are computed by one instruction, add.rn.f16x2 or .bf16x2 (before sm_90 that of bfloat16 is a
    multiply-add by 1); of float32 by one for each. Neighbours in memory are moved in one access where their place is
    known to be even. Raises TileError TD0285 for other operands. Source: PTX ISA, "Half Precision Floating Point
    Instructions: add".
    """
    return _pair("T.add2", "add", lambda a, b: a + b, x, y)


def sub2(x: Any, y: Any) -> Lanes:
    """`x - y` on two neighbours at a time, as T.add2. `p = T.sub2(A[i, 0:2], (1, 2))`."""
    return _pair("T.sub2", "sub", lambda a, b: a - b, x, y)


def mul2(x: Any, y: Any) -> Lanes:
    """`x * y` on two neighbours at a time, as T.add2. `p = T.mul2(A[i, 0:2], B[i, 0:2])`."""
    return _pair("T.mul2", "mul", lambda a, b: a * b, x, y)


def fma2(x: Any, y: Any, z: Any) -> Lanes:
    """`x * y + z` on two neighbours at a time, rounded once, as T.add2. `p = T.fma2(A[i, 0:2], (2, 2), B[i, 0:2])`."""
    return _pair("T.fma2", "fma", lambda a, b, c: call("fma", a, b, c), x, y, z)


def max2(x: Any, y: Any) -> Lanes:
    """The larger numbers of two neighbours at a time, as T.add2; NaN beside any. `p = T.max2(A[i, 0:2], (0, 0))`."""
    return _pair("T.max2", "max", maximum, x, y)


def min2(x: Any, y: Any) -> Lanes:
    """The smaller numbers of two neighbours at a time, as T.max2. `p = T.min2(A[i, 0:2], B[i, 0:2])`."""
    return _pair("T.min2", "min", minimum, x, y)


def abs2(x: Any) -> Lanes:
    """The magnitudes of two neighbours at a time, as T.add2. `p = T.abs2(A[i, 0:2])`."""
    return _pair("T.abs2", "abs", lambda a: call("abs", a), x)
