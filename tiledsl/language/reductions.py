"""Words that reduce or scan a tile along a dimension."""

from __future__ import annotations

from math import prod
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tile, shape_text, tile_of
from tiledsl.ir.dtypes import BOOL, INDEX
from tiledsl.ir.layout import unravel
from tiledsl.ir.nodes import Binary, Const, Expr, For, Load, Space, Store, Var
from tiledsl.ir.tile import REDUCTIONS, Reduce, Scan
from tiledsl.language.memory import alloc_var
from tiledsl.language.tiles import begin, emit_tile
from tiledsl.language.unsupported import reject

_SPACES = (Space.FRAGMENT, Space.SHARED)
_BITS = ("bitand", "bitor", "bitxor")


def _operand(value: Any, word: str, parameter: str) -> Tile:
    tile = tile_of(value, word, parameter)
    if tile.buffer.space not in _SPACES:
        allowed = "T.alloc_fragment or T.alloc_shared"
        space = tile.tensor.scope()
        raise fail("TD0219", word=word, parameter=parameter, name=tile.name, space=space, allowed=allowed)
    return tile


def _dimension(dim: Any, tile: Tile, word: str) -> int:
    rank = len(tile.extents)
    if type(dim) is not int or not -rank <= dim < rank:
        raise fail("TD0239", word=word, dim=describe(dim), name=tile.name, shape=shape_text(tile.extents), rank=rank)
    return dim % rank


def _reduce(word: str, op: str, src: Any, dst: Any, dim: Any, clear: bool) -> None:
    tracer = begin(word)
    a, b = _operand(src, word, "src"), _operand(dst, word, "dst")
    axis = _dimension(dim, a, word)
    shape, result = a.region(word).extents, b.region(word).extents
    without, kept = shape[:axis] + shape[axis + 1 :], (*shape[:axis], 1, *shape[axis + 1 :])
    if result not in (without or (1,), kept):
        wants = f"{shape_text(without or (1,))} or {shape_text(kept)}"
        raise fail("TD0240", word=word, dim=axis, src=a.shown(), dst=b.shown(), wants=wants)
    if a.buffer.dtype.is_float and op in _BITS:
        raise fail("TD0223", op=op, a=a.shown(), b="nothing")
    if b.buffer.dtype.is_float != a.buffer.dtype.is_float:
        raise fail("TD0241", word=word, src=f"'{a.name}' is {a.buffer.dtype}", dst=f"'{b.name}' is {b.buffer.dtype}")
    stmt = Reduce(a.region(word), b.region(word), op, axis, bool(clear), span=tracer.here())
    emit_tile(tracer, word, stmt)


def reduce(src: Any, dst: Any, kind: str, dim: int = -1, clear: bool = True) -> None:
    """`dst = kind over dim of src`; `kind` is sum, max, min, abssum, absmax, bitand, bitor or bitxor.

    `T.reduce(C_local, row, "max", dim=1)`; TD0226 for another kind, else as T.reduce_sum.
    """
    if kind not in REDUCTIONS:
        raise fail("TD0226", word="T.reduce", name="kind", value=describe(kind), allowed=", ".join(REDUCTIONS))
    _reduce("T.reduce", kind, src, dst, dim, clear)


def reduce_sum(src: Any, dst: Any, dim: int = -1, clear: bool = True, *, batch: Any = None) -> None:
    """The sum along `dim`. With `clear=False` the old value of `dst` is added. `dst` lacks `dim` or has 1 there.

    `T.reduce_sum(C_local, row, dim=1)`: tiles in fragments or shared memory, both of floats or both of integers. Raises
    TileError TD0219 for other memory, TD0239 for a dimension that there is not, TD0240 for another shape, TD0241 for
    other dtypes.
    """
    reject("reduce_sum", batch=batch)
    _reduce("T.reduce_sum", "sum", src, dst, dim, clear)


def reduce_max(src: Any, dst: Any, dim: int = -1, clear: bool = True, *, nan_propagate: Any = None) -> None:
    """The largest element along `dim`. With `clear=False` the old value of `dst` takes part.

    Else as T.reduce_sum. `T.reduce_max(C_local, row, dim=1)`.
    """
    reject("reduce_max", nan_propagate=nan_propagate)
    _reduce("T.reduce_max", "max", src, dst, dim, clear)


def reduce_min(src: Any, dst: Any, dim: int = -1, clear: bool = True, *, nan_propagate: Any = None) -> None:
    """The smallest element along `dim`. With `clear=False` the old value of `dst` takes part.

    Else as T.reduce_sum. `T.reduce_min(C_local, row, dim=1)`.
    """
    reject("reduce_min", nan_propagate=nan_propagate)
    _reduce("T.reduce_min", "min", src, dst, dim, clear)


def reduce_abssum(src: Any, dst: Any, dim: int = -1, clear: bool = True) -> None:
    """The sum of the magnitudes along `dim`. Else as T.reduce_sum. `T.reduce_abssum(C_local, row, dim=1)`."""
    _reduce("T.reduce_abssum", "abssum", src, dst, dim, clear)


def reduce_absmax(src: Any, dst: Any, dim: int = -1, clear: bool = True) -> None:
    """The largest magnitude along `dim`. With `clear=False` the old value of `dst` takes part.

    Else as T.reduce_sum. `T.reduce_absmax(C_local, row, dim=1)`.
    """
    _reduce("T.reduce_absmax", "absmax", src, dst, dim, clear)


def reduce_bitand(src: Any, dst: Any, dim: int = -1, clear: bool = True) -> None:
    """The bitwise `&` of integers (TD0223) along `dim`, else as T.reduce_sum.

    `T.reduce_bitand(bits, all_bits, dim=1)`.
    """
    _reduce("T.reduce_bitand", "bitand", src, dst, dim, clear)


def reduce_bitor(src: Any, dst: Any, dim: int = -1, clear: bool = True) -> None:
    """The bitwise `|` of integers (TD0223) along `dim`, else as T.reduce_sum.

    `T.reduce_bitor(bits, all_bits, dim=1)`.
    """
    _reduce("T.reduce_bitor", "bitor", src, dst, dim, clear)


def reduce_bitxor(src: Any, dst: Any, dim: int = -1, clear: bool = True) -> None:
    """The bitwise `^` of integers (TD0223) along `dim`, else as T.reduce_sum.

    `T.reduce_bitxor(bits, all_bits, dim=1)`.
    """
    _reduce("T.reduce_bitxor", "bitxor", src, dst, dim, clear)


def cumsum(src: Any, dst: Any = None, dim: int = 0, reverse: bool = False) -> None:
    """The inclusive prefix sum along `dim`, from the end with `reverse`; in place without `dst`.

    `T.cumsum(C_local, dim=1)`, or `T.cumsum(C_shared, C_local)`: fragments or shared memory (TD0219), of one shape
    (TD0213); TD0239 for a dimension that there is not.
    """
    _scan("T.cumsum", "sum", src, dst, dim, reverse)


def cummax(src: Any, dst: Any = None, dim: int = 0, reverse: bool = False) -> None:
    """The largest element so far along `dim`, from the end with `reverse`; in place without `dst`.

    `T.cummax(C_local, dim=1)`; else as T.cumsum.
    """
    _scan("T.cummax", "max", src, dst, dim, reverse)


def _scan(word: str, op: str, src: Any, dst: Any, dim: Any, reverse: bool) -> None:
    tracer = begin(word)
    a = _operand(src, word, "src")
    b = a if dst is None else _operand(dst, word, "dst")
    axis = _dimension(dim, a, word)
    x, y = a.region(word), b.region(word)
    if x.extents != y.extents:
        raise fail("TD0213", word=word, a=a.shown(), b=b.shown(), hint=f"give '{b.name}' the shape of '{a.name}'")
    emit_tile(tracer, word, Scan(x, y, op, axis, bool(reverse), span=tracer.here()))


def any_of(buffer: Any) -> Scalar:
    """Whether any element of a tensor, or of a part of it, is not 0: `if T.any_of(counts[0:16]):`.

    Every thread reads all elements, of which there is a constant number (TD0220); best for a few. Not of a fragment
    (TD0219).
    """
    return _every("T.any_of", buffer, "or", False)


def all_of(buffer: Any) -> Scalar:
    """Whether every element of a tensor, or of a part of it, is not 0; as T.any_of. `if T.all_of(counts[0:16]):`."""
    return _every("T.all_of", buffer, "and", True)


def _every(word: str, buffer: Any, op: str, start: bool) -> Scalar:
    """A variable that goes through the elements in a loop."""
    tracer = begin(word)
    tile = tile_of(buffer, word, "buffer")
    extents = tile.region(word).extents
    if tile.buffer.space is Space.FRAGMENT:
        allowed = "a parameter, T.alloc_shared or T.alloc_local: every thread reads all of it"
        raise fail("TD0219", word=word, parameter="buffer", name=tile.name, space=tile.tensor.scope(), allowed=allowed)
    result = alloc_var("bool", init=start)
    i = Var("i", INDEX)
    at = tuple(o + c for o, c in zip(tile.offsets, unravel(i, extents)))
    zero = Const(0.0 if tile.buffer.dtype.is_float else 0, tile.buffer.dtype)
    element: Expr = Load(tile.buffer, at)
    holds = element if tile.buffer.dtype is BOOL else Binary("!=", element, zero)
    store = Store(result.buffer, (), Binary(op, Load(result.buffer, ()), holds), span=tracer.here())
    tracer.emit(For(i, Const(prod(extents), INDEX), (store,), span=tracer.here()))
    return bind(result, "found")
