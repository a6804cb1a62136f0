"""Words that update memory in one indivisible step."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import Scalar, Variable, converted, describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor, tile_of
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import AtomicUpdate, Const, Load, Space, Var
from tiledsl.ir.tile import Atomic
from tiledsl.language.tiles import begin, emit_tile, regions

_ORDERS = ("relaxed", "acquire", "release", "acq_rel", "seq_cst", "consume")
_TILE_OPS = ("add", "max", "min")
_NOTHING = Scalar(Const(0, INDEX), INDEX)
_NARROWEST = 16  # bits of an element


def _atomic(
    op: str, dst: Any, value: Any, memory_order: str | None, return_prev: bool, use_tma: bool = False
) -> Scalar | None:
    word = f"T.atomic_{op}"
    tracer = begin(word)
    order = "relaxed" if memory_order is None else memory_order
    if order not in _ORDERS:
        raise fail("TD0226", word=word, name="memory_order", value=describe(memory_order), allowed=", ".join(_ORDERS))
    a = tile_of(dst, word, "dst")
    if a.buffer.space not in (Space.GLOBAL, Space.SHARED):
        allowed = "a parameter or T.alloc_shared"
        raise fail("TD0219", word=word, parameter="dst", name=a.name, space=a.tensor.scope(), allowed=allowed)
    if a.buffer.dtype.bits < _NARROWEST:
        raise fail("TD0248", word=word, name=a.name, dtype=a.buffer.dtype)
    if isinstance(value, (Tensor, Slice)):
        if return_prev:
            raise fail("TD0242", word=word)
        if op not in _TILE_OPS:
            raise fail("TD0103", word=f"{word} on a tile", hint="write it on elements, in a T.Parallel loop")
        target, source = regions(a, tile_of(value, word, "value"), word)
        engine = "copies" if use_tma else ""
        emit_tile(tracer, word, Atomic(op, target, source, order, engine=engine, span=tracer.here()))
        return None
    if use_tma:
        raise fail("TD0226", word=word, name="use_tma", value="True", allowed="True where a tile is added to a tile")
    if any(e != 1 for e in a.extents):
        raise fail("TD0243", word=word, dst=a.shown())
    number = converted(value, a.buffer.dtype)
    result = Var("previous", a.buffer.dtype) if return_prev else None
    tracer.emit(AtomicUpdate(op, a.buffer, a.offsets, number, order, result, span=tracer.here()))
    return Scalar(result, a.buffer.dtype, tracer.frame) if result is not None else None


def atomic_add(
    dst: Any, value: Any, memory_order: str | None = None, return_prev: bool = False, use_tma: bool = False
) -> Scalar | None:
    """`dst += value` in one step. `dst` is an element, or a tile with a tile of the same extents as `value`.

    `T.atomic_add(Y[i], x)`, or `T.atomic_add(C[by * 64, bx * 64], C_shared, use_tma=True)`. `dst` lies in global or
    shared memory (TD0219) and has elements of 16 bits or more (TD0248). With `return_prev` the result is the element's
    old value; a tile has none (TD0242). `memory_order` is "relaxed" or another of C++. With `use_tma` the copy engine
    of sm_90 adds a whole tile in shared memory to global memory: of float16, bfloat16, float32, float64, int32, uint32
    or uint64, in no order. Where it cannot, as on other targets, the threads add, and the report says why. Raises
    TileError TD0213 where extents differ, TD0226, TD0243 for a number and a tile. Source: PTX ISA, "atom", "red" and
    "cp.reduce.async.bulk".
    """
    return _atomic("add", dst, value, memory_order, return_prev, use_tma)


def atomic_max(
    dst: Any, value: Any, memory_order: str | None = None, return_prev: bool = False, use_tma: bool = False
) -> Scalar | None:
    """`dst = max(dst, value)` in one step, on an element or a tile, as T.atomic_add: `T.atomic_max(counts[0], i)`.

    `use_tma` as there, for float16, bfloat16 and integers of 32 and 64 bits.
    """
    return _atomic("max", dst, value, memory_order, return_prev, use_tma)


def atomic_min(
    dst: Any, value: Any, memory_order: str | None = None, return_prev: bool = False, use_tma: bool = False
) -> Scalar | None:
    """`dst = min(dst, value)` in one step, as T.atomic_max, with `use_tma` too.

    `old = T.atomic_min(Y[i], x, return_prev=True)`.
    """
    return _atomic("min", dst, value, memory_order, return_prev, use_tma)


def atomic_or(dst: Any, value: Any, memory_order: str | None = None, return_prev: bool = False) -> Scalar | None:
    """`dst |= value` in one step, on an integer element (TD0223), else as T.atomic_add. `T.atomic_or(counts[i], 1)`."""
    if isinstance(dst, Scalar) and not isinstance(dst, Variable) and dst.type.is_float:
        raise fail("TD0223", op="T.atomic_or", a=describe(dst), b=describe(value))
    return _atomic("or", dst, value, memory_order, return_prev)


def atomic_load(src: Any, memory_order: str = "seq_cst") -> Scalar:
    """The value of an element, read in one step with that memory order (C++: `atomic_ref::load`).

    `ready = T.atomic_load(counts[0], "acquire")`. Memory, dtypes and errors as T.atomic_add.
    """
    tile = tile_of(src, "T.atomic_load", "src")
    zero = Scalar(Const(0.0 if tile.buffer.dtype.is_float else 0, tile.buffer.dtype), tile.buffer.dtype)
    found = _atomic("load", src, zero, memory_order, True)
    assert found is not None
    return found


def atomic_store(dst: Any, value: Any, memory_order: str = "seq_cst") -> None:
    """Writes an element in one step with that memory order (C++: `atomic_ref::store`).

    `T.atomic_store(counts[0], 1, "release")`. Memory, dtypes and errors as T.atomic_add.
    """
    _atomic("store", dst, value, memory_order, False)


def atomic_addx2(dst: Any, value: Any, return_prev: bool = False) -> None:
    """T.atomic_add on two neighbours: `dst` and `value` are their first elements, of float16, bfloat16 or float32.

    Each is updated in one step, both together are not. No old values (TD0242). `T.atomic_addx2(Y[2 * i], X[2 * i])`.
    """
    _neighbours("T.atomic_addx2", 2, dst, value, return_prev)


def atomic_addx4(dst: Any, value: Any, return_prev: bool = False) -> None:
    """T.atomic_add on four neighbours: `dst` and `value` are their first elements, of float32; else as T.atomic_addx2.

    `T.atomic_addx4(Y[4 * i], X[4 * i])`.
    """
    _neighbours("T.atomic_addx4", 4, dst, value, return_prev)


def _neighbours(word: str, count: int, dst: Any, value: Any, return_prev: bool) -> None:
    """An update of each; each of them is one step, all together are not, as on the GPU."""
    begin(word)
    if return_prev:
        raise fail("TD0242", word=word)
    a, b = tile_of(dst, word, "dst"), tile_of(value, word, "value")
    for i in range(count):
        source = Load(b.buffer, (*b.offsets[:-1], b.offsets[-1] + i))
        place = Slice(a.tensor, (*a.offsets[:-1], a.offsets[-1] + i), (1,) * len(a.offsets), _NOTHING)
        _atomic("add", place, Scalar(source, b.buffer.dtype, b.tensor.frame), None, False)
