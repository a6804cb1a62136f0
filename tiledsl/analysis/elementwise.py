"""Tile statements that work element by element, seen as one `Parallel` loop: what inference and lowering work on."""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.ir.im2col import place_in
from tiledsl.ir.nodes import (
    AtomicUpdate,
    Cast,
    Const,
    Expr,
    Load,
    Region,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Im2col, Parallel, Rearrangement, Source
from tiledsl.ir.types import dtype_of

_NAMES = "ijklmnop"


def as_parallel(stmt: Stmt) -> Parallel | None:
    """The `Parallel` loop of equal meaning; None for statements that are no element-wise tile operation, or that the
    copy engine executes.

    Its domain is the box of the regions without extents of 1; that of the global side for a transpose, else of `dst`.
    """
    match stmt:
        case Parallel():
            return stmt
        case Copy(bulk=True) | Atomic(bulk=True):
            return None
        case Copy(src, dst):
            variables, extents = _domain(src, dst)
            load = _load(src, variables)
            value = converted(load, dst.buffer.dtype)
            spaces = (src.buffer.space, dst.buffer.space)
            asynchronous = stmt.asynchronous and value is load and spaces == (Space.GLOBAL, Space.SHARED)
            indices = _indices(dst, variables)
            store = Store(dst.buffer, indices, value, dst.version, asynchronous=asynchronous, span=stmt.span)
            return _loop(variables, extents, store, stmt.width)
        case Fill(dst, value):
            extents = _squeezed(dst)
            variables = _vars(extents)
            value = converted(value, dst.buffer.dtype)
            return _loop(
                variables, extents, Store(dst.buffer, _indices(dst, variables), value, dst.version, span=stmt.span)
            )
        case Atomic(op, dst, src, order):
            variables, extents = _domain(src, dst)
            value = converted(_load(src, variables), dst.buffer.dtype)
            update = AtomicUpdate(op, dst.buffer, _indices(dst, variables), value, order, span=stmt.span)
            return _loop(variables, extents, update)
        case Rearrangement():
            return _rearranged(stmt)
    return None


def converted(value: Expr, dtype: DType) -> Expr:
    """`value` as `dtype`; itself where it has that dtype."""
    return value if dtype_of(value) is dtype else Cast(dtype, value)


def _squeezed(region: Source) -> tuple[int, ...]:
    return tuple(e for e in region.extents if e != 1)


def _vars(extents: Sequence[int]) -> tuple[Var, ...]:
    return tuple(Var(_NAMES[i] if i < len(_NAMES) else f"i{i}") for i in range(len(extents)))


def _domain(src: Source, dst: Region) -> tuple[tuple[Var, ...], tuple[int, ...]]:
    extents = _squeezed(src)
    if extents != _squeezed(dst):
        raise TypeError(f"regions of {src.extents} and {dst.extents} elements do not match")
    return _vars(extents), extents


def _indices(region: Source, variables: Sequence[Expr]) -> tuple[Expr, ...]:
    """The coordinates of the point `variables` of the region, extents of 1 left out: in the buffer or the matrix."""
    rest = iter(variables)
    out: list[Expr] = []
    for offset, extent in zip(region.offsets, region.extents, strict=True):
        if extent == 1:
            out.append(offset)
        else:
            v = next(rest)
            out.append(v if offset == Const(0, INDEX) else offset + v)
    return tuple(out)


def _load(source: Source, variables: Sequence[Expr]) -> Load:
    at = _indices(source, variables)
    if isinstance(source, Im2col):
        return Load(source.buffer, place_in(source.buffer, source.window, *at).coordinates)
    return Load(source.buffer, at, source.version)


def _loop(variables: tuple[Var, ...], extents: tuple[int, ...], body: Stmt, width: int = 0) -> Parallel:
    if not variables:  # a single element is a loop of one iteration
        variables, extents = (Var("i"),), (1,)
    return Parallel(variables, extents, (body,), width, span=body.span)


def _rearranged(stmt: Rearrangement) -> Parallel:
    src, dst = stmt.src, stmt.dst
    extents = _squeezed(src)
    if _squeezed(dst) != stmt.extents_of(extents):
        raise TypeError(f"a region of {dst.extents} elements is no {stmt.word} of {src.extents}")
    # Rows of global memory must be walked along; what the other side costs is decided by its layout.
    follow_src = src.buffer.space is Space.GLOBAL and dst.buffer.space is not Space.GLOBAL
    domain = extents if follow_src else _squeezed(dst)
    point = _vars(domain)
    read, written = (point, stmt.goes_to(point, extents)) if follow_src else (stmt.comes_from(point, extents), point)
    value = converted(_load(src, read), dst.buffer.dtype)
    store = Store(dst.buffer, _indices(dst, written), value, dst.version, span=stmt.span)
    return _loop(point, domain, store)
