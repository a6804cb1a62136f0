"""Shared tiles that live for a part of a kernel: in one segment of it, in several, in the body of a loop."""

from __future__ import annotations

from hypothesis import strategies as st

from tiledsl.ir.dtypes import FLOAT32
from tiledsl.ir.nodes import Alloc, Buffer, Const, For, Kernel, Launch, Load, Space, Stmt, Store, Var
from tiledsl.testing.strategies.barriers import THREADS, BarrierProgram, Exchange, bodies, initial

SIZES = (64, 1000, 2048, 4096)  # elements; most kernels need less memory where tiles share their bytes


@st.composite
def shared_lifetimes(draw: st.DrawFn) -> BarrierProgram:
    """Kernels of the thread stage without barriers and without places for their tiles: for planners of both.

    Each segment allocates one or two tiles, in the body of a loop perhaps, writes them, and works on them and on those
    that earlier segments have left behind.
    """
    x = Exchange()
    x.tiles = []
    body: list[Stmt] = [Alloc(x.counts), Alloc(x.private), *initial(x)]
    left: list[Buffer] = []
    for segment in range(draw(st.integers(1, 4))):
        fresh = [_tile(draw, f"S{segment}{i}") for i in range(draw(st.integers(1, 2)))]
        old = draw(st.lists(st.sampled_from(left), max_size=1)) if left else []
        x.tiles = fresh
        begin: list[Stmt] = [*map(Alloc, fresh), *initial(x)[1:-1]]
        x.tiles = [*fresh, *old]
        k = Var("k")
        match draw(st.integers(0, 2)):
            case 0:
                body += [*begin, *draw(bodies(x, None, 3))]
                left += fresh
            case 1:
                body += [*begin, For(k, Const(draw(st.integers(1, 3))), draw(bodies(x, k, 3)))]
                left += fresh
            case _:
                inside = (*begin, *draw(bodies(x, k, 3)))
                body.append(For(k, Const(draw(st.integers(1, 3))), inside))
    body.append(Store(x.out, (x.thread,), Load(x.private, (Const(0),))))
    launch = Launch("lives", (Const(1),), (Var("bx"),), (THREADS,), x.thread, tuple(body))
    return BarrierProgram(Kernel("lives", (x.source, x.out), (launch,)))


def _tile(draw: st.DrawFn, name: str) -> Buffer:
    size = draw(st.sampled_from(SIZES))
    versions = 2 if size <= 1000 and draw(st.booleans()) else 1
    return Buffer(name, (size,), FLOAT32, Space.SHARED, versions=versions)
