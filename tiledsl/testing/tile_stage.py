"""Small tile kernels with hand-assigned layouts, executed before and after lower-tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import (
    Alloc,
    Assigned,
    Barrier,
    Buffer,
    Const,
    Expr,
    Kernel,
    Launch,
    Region,
    Space,
    Stmt,
    Var,
    static_shape,
)
from tiledsl.ir.verify import verify
from tiledsl.passes.lower_tiles import lower_tiles
from tiledsl.target import target_named

BARRIER = Barrier()


def region(
    b: Buffer, *offsets: Expr | int, extents: Sequence[int] | None = None, version: Expr | None = None
) -> Region:
    """The box of `extents` (default: the whole buffer) at `offsets` (default: 0)."""
    shape = tuple(extents) if extents is not None else static_shape(b)
    at = tuple(o if isinstance(o, Expr) else Const(o) for o in offsets) or (Const(0),) * len(shape)
    return Region(b, at, shape, version)


def tensor(name: str, shape: Sequence[int], dtype: DType) -> Buffer:
    return Buffer(name, tuple(shape), dtype, Space.GLOBAL)


def shared(name: str, shape: Sequence[int], dtype: DType, versions: int = 1) -> Buffer:
    return Buffer(name, tuple(shape), dtype, Space.SHARED, versions=versions)


def tile(name: str, shape: Sequence[int], dtype: DType) -> Buffer:
    return Buffer(name, tuple(shape), dtype, Space.FRAGMENT)


def kernel(
    params: Sequence[Buffer],
    body: Sequence[Stmt],
    layouts: Mapping[Buffer, Fragment | Layout],
    threads: int,
    thread: Var | None = None,
) -> Kernel:
    """One block; every buffer with a layout is allocated at the top, in that order."""
    launch = Launch(
        "k",
        (Const(1),),
        (Var("bx"),),
        (threads,),
        thread or Var("t"),
        (*(Alloc(b) for b in layouts), *body),
        layouts=tuple(Assigned(b, f) for b, f in layouts.items()),
    )
    return Kernel("k", tuple(params), (launch,))


def lowered(k: Kernel, target: str = "sm_80") -> Kernel:
    """The kernel after lower-tiles, verified."""
    verify(k)
    result: Kernel = lower_tiles.bind(target_named(target))(k)
    return result


def integers(rng: np.random.Generator, b: Buffer, low: int = -3, high: int = 4) -> Any:
    """Small integers, exact in every dtype and in every sum of the tests."""
    dtype = numpy_dtype(b.dtype)
    low = 0 if b.dtype.kind.value == "uint" else low
    return rng.integers(low, high, static_shape(b)).astype(dtype)


def agree(k: Kernel, target: str = "sm_80", seed: int = 0, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Executes `k` at both stages on the same inputs (S1) with all checks on, compares bit for bit, returns the arrays.

    Barriers are put between all statements at the top of the body, as insert-barriers has not run.
    """
    rng = np.random.default_rng(seed)
    given = {p.name: integers(rng, p) for p in k.params if isinstance(p, Buffer)} | dict(inputs or {})
    before, after = ({n: a.copy() for n, a in given.items()} for _ in range(2))
    tile_interp.run(k, before)
    interp.run(with_barriers(lowered(k, target)), after, check=True)
    for name, expected in before.items():
        np.testing.assert_array_equal(after[name].view(np.uint8), expected.view(np.uint8), err_msg=name)
    return after


def with_barriers(k: Kernel) -> Kernel:
    """A barrier after each statement at the top of the body: stands in for insert-barriers."""

    def separated(body: Sequence[Stmt]) -> tuple[Stmt, ...]:
        out: list[Stmt] = []
        for s in body:
            out += [s, BARRIER]
        return tuple(out)

    return replace(k, launches=tuple(replace(x, body=separated(x.body)) for x in k.launches))
