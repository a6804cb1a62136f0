"""The part of `verify` about tile operations: memories and shapes of their operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiledsl.ir.dtypes import INDEX, UINT16
from tiledsl.ir.im2col import image_sides
from tiledsl.ir.nodes import Address, Buffer, Expr, Region, Space, Stmt
from tiledsl.ir.scopes import Scope, fail
from tiledsl.ir.tile import (
    REARRANGEMENTS,
    REDUCTIONS,
    Atomic,
    Copy,
    Fill,
    Gemm,
    Im2col,
    Rearrangement,
    Reduce,
    Scan,
)

_MEMORY = (Space.GLOBAL, Space.SHARED, Space.FRAGMENT, Space.LOCAL)
_TILES = (Space.SHARED, Space.FRAGMENT)
_BULK = ((Space.GLOBAL, Space.SHARED), (Space.SHARED, Space.GLOBAL))
_TO_A_BLOCK = ((Space.SHARED, Space.SHARED),)


def _agree(what: str, *shapes: tuple[int, ...]) -> None:
    if any(shape != shapes[0] for shape in shapes):
        raise fail(f"{what} of {' and '.join(map(str, shapes))}")


def _copy(scope: Scope, s: Copy) -> None:
    from_ = _im2col(scope, s.src) if isinstance(s.src, Im2col) else scope.region(s.src, *_MEMORY)
    _agree("a copy", from_, scope.region(s.dst, *_MEMORY))
    if s.asynchronous and (s.src.buffer.space, s.dst.buffer.space) != (Space.GLOBAL, Space.SHARED):
        raise fail("an asynchronous copy goes from global to shared memory")
    if s.asynchronous and s.bulk:
        raise fail("a copy is asynchronous or bulk: the copy engine is no cp.async")
    if s.width < 0:
        raise fail(f"a copy of width {s.width}")
    if s.engine not in ("", "threads") or (s.engine and s.bulk):
        raise fail(f"a {'bulk ' * s.bulk}copy by '{s.engine}'")
    if s.bulk:
        bulk_copy(scope, s.dst.buffer, s.src.buffer, s.barrier, s.ranks, s.rank)
    elif s.barrier is not None or s.ranks or s.rank is not None:
        raise fail("only a bulk copy completes on a barrier or goes to several blocks")


def _im2col(scope: Scope, s: Im2col) -> tuple[int, ...]:
    """The extents without those of 1."""
    scope.buffer(s.buffer)
    if s.buffer.space is not Space.GLOBAL:
        raise fail(f"'{s.buffer.name}' is in {s.buffer.space.value} memory; the image of im2col must be global")
    try:
        height, width, _ = image_sides(s.buffer)
    except TypeError as e:
        raise fail(str(e)) from None
    if len(s.offsets) != 2 or len(s.extents) != 2 or min(s.extents) < 1:
        raise fail(f"a box of {s.extents} elements of a matrix at {len(s.offsets)} offsets")
    if min(s.kernel, s.stride, s.dilation) < 1 or s.pad < 0:
        raise fail(f"a filter of {s.kernel} taps, stride {s.stride}, dilation {s.dilation} and padding {s.pad}")
    if min(s.window.steps(height), s.window.steps(width)) < 1:
        raise fail(f"the filter reaches over {s.window.reach + 1} pixels and '{s.buffer.name}' is {height} x {width}")
    for offset in s.offsets:
        if (dtype := scope.expr(offset)) is not INDEX:
            raise fail(f"an offset of im2col is {dtype}, not {INDEX}")
    return tuple(n for n in s.extents if n != 1)


def bulk_copy(
    scope: Scope, dst: Buffer, src: Buffer, barrier: Address | None, ranks: int, rank: Expr | None = None
) -> None:
    """The rules for everything that the copy engine does."""
    spaces = (src.space, dst.space)
    if spaces not in (_BULK if rank is None else _TO_A_BLOCK):
        raise fail(
            f"a bulk copy from {src.space.value} to {dst.space.value} memory{' of a block' * (rank is not None)}"
        )
    if rank is not None:
        scope.integer(rank, "the rank of a block")
    if src.dtype is not dst.dtype:
        raise fail(f"a bulk copy from '{src.name}', {src.dtype}, to '{dst.name}', {dst.dtype}")
    if (barrier is not None) != (dst.space is Space.SHARED):
        raise fail("a bulk load completes on a barrier, a bulk store does not")
    if barrier is not None:
        at_barrier(scope, barrier)
    if not 0 <= ranks < 1 << 16 or (ranks and (barrier is None or rank is not None)):
        raise fail(f"a bulk copy to the blocks {ranks:#x}")


def at_barrier(scope: Scope, a: Address) -> None:
    scope.expr(a)
    if a.buffer.space is not Space.BARRIER:
        raise fail(f"'{a.buffer.name}' is in {a.buffer.space.value} memory, so it is no barrier")


def _fill(scope: Scope, s: Fill) -> None:
    scope.region(s.dst, *_MEMORY)
    scope.value(s.value, s.dst.buffer.dtype, f"the value that fills '{s.dst.buffer.name}'")


def _matrix(scope: Scope, r: Region, name: str, transposed: bool, *spaces: Space) -> tuple[int, int]:
    """Rows and columns of an operand as the product uses it."""
    scope.region(r, *spaces)
    if len(r.extents) < 2 or any(n != 1 for n in r.extents[:-2]):
        raise fail(f"operand {name} of gemm has the extents {r.extents}")
    rows, columns = r.extents[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _gemm(scope: Scope, s: Gemm) -> None:
    (m, k), (k2, n) = _matrix(scope, s.a, "a", s.transpose_a, *_TILES), _matrix(scope, s.b, "b", s.transpose_b, *_TILES)
    if s.e is not None:
        _metadata(scope, s, m, k2)
        k *= 2
    if (k, (m, n)) != (k2, _matrix(scope, s.c, "c", False, Space.FRAGMENT)):
        raise fail(f"gemm of {(m, k)} by {(k2, n)} into {s.c.extents}")
    if s.policy not in ("square", "full_row", "full_col") or s.precision not in ("ieee", "tf32") or s.wait < 0:
        raise fail(f"gemm with policy '{s.policy}', precision '{s.precision}', wait {s.wait}")


def _metadata(scope: Scope, s: Gemm, m: int, k: int) -> None:
    """Of a sparse product."""
    assert s.e is not None
    scope.region(s.e, Space.FRAGMENT)
    if s.e.extents != (m, k // 16) or k % 16 or s.e.buffer.dtype is not UINT16 or s.transpose_a or s.asynchronous:
        raise fail(f"metadata {s.e.buffer.dtype}{s.e.extents} of a sparse gemm of {m} rows, {k} deep")


def _reduce(scope: Scope, s: Reduce) -> None:
    scope.region(s.src, *_TILES)
    scope.region(s.dst, *_TILES)
    src, dst = s.src.extents, s.dst.extents
    if s.op not in REDUCTIONS:
        raise fail(f"unknown reduction '{s.op}'")
    if not 0 <= s.dim < len(src) or dst not in (
        src[: s.dim] + src[s.dim + 1 :] or (1,),
        src[: s.dim] + (1,) + src[s.dim + 1 :],
    ):
        raise fail(f"reduction of {src} along {s.dim} to {dst}")


def _scan(scope: Scope, s: Scan) -> None:
    scope.region(s.src, *_TILES)
    scope.region(s.dst, *_TILES)
    _agree("a scan", s.src.extents, s.dst.extents)
    if s.op not in ("sum", "max") or not 0 <= s.dim < len(s.src.extents):
        raise fail(f"no scan '{s.op}' along {s.dim}")


def _atomic(scope: Scope, s: Atomic) -> None:
    dst = scope.region(s.dst, Space.GLOBAL, Space.SHARED)
    _agree("an atomic update", scope.region(s.src, *_MEMORY), dst)
    if s.op not in ("add", "max", "min"):
        raise fail(f"unknown atomic operation '{s.op}' on a tile")
    if s.engine not in ("", "copies") or (s.engine and s.bulk):
        raise fail(f"a {'bulk ' * s.bulk}atomic update by '{s.engine}'")
    if s.bulk:
        bulk_copy(scope, s.dst.buffer, s.src.buffer, None, 0)


def _rearrangement(scope: Scope, s: Rearrangement) -> None:
    src, dst = scope.region(s.src, *_MEMORY), scope.region(s.dst, *_MEMORY)
    wanted = s.extents_of(src)
    if wanted is None:
        raise fail(f"a {s.word} of {s.src.extents}")
    _agree(f"a {s.word}", wanted, dst)


TILE_RULES: dict[type[Stmt], Callable[[Scope, Any], None]] = {
    Copy: _copy,
    Fill: _fill,
    Gemm: _gemm,
    Reduce: _reduce,
    Scan: _scan,
    Atomic: _atomic,
    **dict.fromkeys(REARRANGEMENTS, _rearrangement),
}
