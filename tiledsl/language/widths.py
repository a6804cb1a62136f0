"""Accesses to global memory that have a width: 4, 8 or 16 bytes in one instruction."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.lanes import Lanes, load_lanes, store_lanes
from tiledsl.frontend.proxies import Scalar, cast, condition, converted, describe, expr_of, operand, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import ZERO, Slice, Tile, shape_text, tile_of
from tiledsl.frontend.tracer import Frame
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import BOOL, INDEX, TFLOAT32, UINT32, UINT64, DType
from tiledsl.ir.nodes import Assume, Buffer, Const, Expr, If, Select, Space, eq
from tiledsl.ir.simplify import simplify
from tiledsl.language.scalars import reinterpret
from tiledsl.language.tiles import begin

_WORD = 32
_GLOBAL = "a parameter or T.alloc_global"


def __ldg(src: Any, index: Any = None) -> Scalar:
    """An element of global memory: `x = T.__ldg(X[i])`, or `x = T.__ldg(X, i)` of a tensor of one dimension.

    It is what `X[i]` is. Tensors that the kernel does not write are read by way of the read-only cache (ld.global.nc),
    which is all that the word asks for; one that the kernel writes is read as it is now. Raises TileError TD0219 for
    other memory, TD0285 for what is no element.
    """
    word = "T.__ldg"
    begin(word)
    element = src if index is None else src[index]
    tile = tile_of(element, word, "src")
    _in_global(word, "src", tile)
    if not isinstance(element, Scalar):
        raise fail("TD0285", what=word, value=describe(element), needs="an element, as A[i]")
    return element


def _in_global(word: str, parameter: str, tile: Tile) -> None:
    if tile.buffer.space is not Space.GLOBAL:
        space = tile.tensor.scope()
        raise fail("TD0219", word=word, parameter=parameter, name=tile.name, space=space, allowed=_GLOBAL)


def _place(word: str, parameter: str, width: int, given: Any) -> tuple[Buffer, tuple[Expr, ...], int, Scalar]:
    """The tensor, the first element, their number, and what the place depends on. Raises TileError TD0219, TD0286."""
    tracer = begin(word)
    tile = tile_of(given, word, parameter)
    _in_global(word, parameter, tile)
    buffer, dtype = tile.buffer, tile.buffer.dtype
    count, last, first = width // dtype.bits, tile.buffer.shape[-1], tile.offsets[-1]
    taken = (1,) * (len(tile.extents) - 1) + (count,)
    rest = simplify(first % count, {}) if count else ZERO
    problem = (
        f"elements of at most {width} bits"
        if not count
        else "numbers whose bits are 8, 16, 32 or 64, not of this dtype"
        if not _has_bits(dtype)
        else f"{count} neighbours of {dtype}, or the first of them"
        if not tile.is_start and tile.extents != taken
        else "a tensor whose rows follow each other"
        if buffer.strides is not None
        else f"rows of a multiple of {count} elements"
        if isinstance(last, int) and last % count
        else f"a last index that is a multiple of {count}"
        if isinstance(rest, Const) and rest.value
        else ""
    )
    if problem:
        shown = f"{shape_text(tile.extents)} of '{tile.name}', which is {shape_text(buffer.shape)} of {dtype}"
        raise fail("TD0286", word=word, width=width, place=shown, needs=problem)
    if not isinstance(rest, Const):  # a promise, which runs on the CPU check
        tracer.emit(Assume(eq(first % count, ZERO), span=tracer.here()))
        first = first // count * count
    if not isinstance(last, int) and count > 1:
        tracer.emit(Assume(eq(last % count, ZERO), span=tracer.here()))
    reads = given if isinstance(given, Scalar) else given.reads if isinstance(given, Slice) else Scalar(ZERO, INDEX)
    return buffer, (*tile.offsets[:-1], first), count, reads


def _has_bits(dtype: DType) -> bool:
    """Whether any pattern of bits is a value, and values fill whole bytes."""
    return dtype.bits in (8, 16, 32, 64) and dtype not in (BOOL, TFLOAT32) and not dtype.name.startswith("float6_")


def _load(word: str, width: int, src: Any, pred: Any) -> Any:
    buffer, offsets, count, place = _place(word, "src", width, src)
    chosen = None
    if pred is not None:
        cond = expr_of(condition(operand(pred)))
        zero = converted(0, buffer.dtype)
        chosen = lambda e: Select(cond, e, zero)  # noqa: E731
    found = load_lanes(buffer, offsets, count, place, chosen)
    words = [bind(w, "word") for w in _words(found, buffer.dtype)]
    return words[0] if width == _WORD else Lanes(words, UINT32)


def _words(values: list[Scalar], dtype: DType) -> list[Scalar]:
    """The bits of numbers as uint32, those of the first one lowest."""
    if dtype is UINT32:
        return values
    if dtype.bits == 64:
        wide = [bind(reinterpret(UINT64.name, v), "bits") for v in values]
        return [cast(x, UINT32) for w in wide for x in (w, w >> _WORD)]
    raw = [cast(reinterpret(f"uint{dtype.bits}", v), UINT32) for v in values]
    per = _WORD // dtype.bits
    words = []
    for i in range(0, len(raw), per):
        word = raw[i]
        for j in range(1, per):
            word = word | raw[i + j] << j * dtype.bits
        words.append(word)
    return words


def _numbers(words: list[Scalar], dtype: DType) -> list[Scalar]:
    """The numbers that have these bits."""
    if dtype.bits == 64:
        pairs = zip(words[::2], words[1::2], strict=True)
        return [reinterpret(dtype.name, cast(low, UINT64) | cast(high, UINT64) << _WORD) for low, high in pairs]
    shifts = range(0, _WORD, dtype.bits)
    parts = [cast(w >> s if s else w, _unsigned(dtype)) for w in words for s in shifts]
    return [reinterpret(dtype.name, p) for p in parts]


def _unsigned(dtype: DType) -> DType:
    return dtype_named(f"uint{dtype.bits}")


def _store(word: str, width: int, dst: Any, value: Any, pred: Any) -> None:
    buffer, offsets, count, _ = _place(word, "dst", width, dst)
    if not isinstance(value, Lanes):
        number = scalar(value, buffer.dtype)
        value = Lanes([number], number.type)
    if value.type.bits * len(value) != width or not _has_bits(value.type):
        raise fail("TD0285", what=word, value=value.shown(), needs=f"numbers of {width} bits in all")
    if value.type is not buffer.dtype:
        words = [bind(w, "word") for w in _words(list(value.values), value.type)]
        value = Lanes(_numbers(words, buffer.dtype), buffer.dtype)
    assert len(value) == count
    if pred is None:
        store_lanes(buffer, offsets, value)
        return
    tracer = begin(word)
    cond, frame = expr_of(condition(operand(pred))), Frame("if", f"the store of {word}", None, tracer.here())
    tracer.open(frame)
    store_lanes(buffer, offsets, value)
    tracer.emit_after(frame, lambda body: If(cond, body, span=frame.span))


def ldg32(src: Any, pred: Any = None) -> Scalar:
    """32 bits of global memory in one access, as an uint32: `w = T.ldg32(A[i, 2 * j : 2 * j + 2])` of float16.

    `src` is a part of one row, or its first element `A[i, 2 * j]`; the first number is in the low bits. With `pred` it
    is 0 where that does not hold, and nothing is read there. What lies outside of the tensor is 0. The last index is to
    be a multiple of the number of elements, and so are the rows; where that is not known it is a promise as that of
    T.assume, which the executions on the CPU check. Raises TileError TD0219 for other memory than global, TD0286 for a
    place that is not aligned. Becomes ld.global.nc.u32 (PTX ISA, "ld").
    """
    found = _load("T.ldg32", 32, src, pred)
    assert isinstance(found, Scalar)
    return found


def ldg64(src: Any, pred: Any = None) -> Lanes:
    """64 bits as two uint32, as T.ldg32: `v = T.ldg64(A[i, 4 * j : 4 * j + 4])` of float16, then `v[0]` and `v[1]`."""
    found = _load("T.ldg64", 64, src, pred)
    assert isinstance(found, Lanes)
    return found


def ldg128(src: Any, pred: Any = None) -> Lanes:
    """128 bits as four uint32, as T.ldg32: `v = T.ldg128(X[4 * i])` of float32. Becomes ld.global.nc.v4.u32."""
    found = _load("T.ldg128", 128, src, pred)
    assert isinstance(found, Lanes)
    return found


def stg32(dst: Any, value: Any, pred: Any = None) -> None:
    """Stores 32 bits to global memory in one access: `T.stg32(Y[i], x)`.

    `dst` is as the `src` of T.ldg32. `value` is what that gave, or another number or numbers side by side (those of
    T.add2) of 32 bits in all, whose bits are stored. With `pred` nothing is stored where it does not hold, nor outside
    of the tensor. Raises TileError TD0219, TD0285 for a value of another size, TD0286. Becomes st.global.u32.
    """
    _store("T.stg32", 32, dst, value, pred)


def stg64(dst: Any, value: Any, pred: Any = None) -> None:
    """Stores 64 bits, as T.stg32: `T.stg64(Y[2 * i : 2 * i + 2], T.ldg64(X[2 * i]))`."""
    _store("T.stg64", 64, dst, value, pred)


def stg128(dst: Any, value: Any, pred: Any = None) -> None:
    """Stores 128 bits, as T.stg32: `T.stg128(Y[4 * i], T.ldg128(X[4 * i]), pred=i < n)`. Becomes st.global.v4.u32."""
    _store("T.stg128", 128, dst, value, pred)
