"""Bodies of tile statements over a few fragments, as layout inference sees them."""

from __future__ import annotations

from hypothesis import strategies as st

from tiledsl.analysis.gemm_plan import warp_partitions
from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.nodes import Assigned, Binary, Buffer, Const, Kernel, Launch, Load, Region, Space, Stmt, Store, Var
from tiledsl.ir.tile import Copy, Fill, Gemm, Parallel, Reduce


def whole(b: Buffer) -> Region:
    return Region(b, tuple(Const(0) for _ in b.shape), tuple(e for e in b.shape if isinstance(e, int)))


KINDS = ("in", "out", "fill", "map", "broadcast", "reduce", "fuse", "turn", "row", "both", "gemm", "gemm")


@st.composite
def tile_bodies(
    draw: st.DrawFn, kinds: tuple[str, ...] = KINDS, rows: tuple[int, ...] = (64, 1, 16, 24, 40, 32, 64)
) -> tuple[int, tuple[Stmt, ...]]:
    """(threads, body): 2 to 7 statements over a few matrices, rows and columns of one shape."""
    threads = draw(st.sampled_from((32, 64, 96, 128, 256)))
    m, n = draw(st.sampled_from(rows)), draw(st.sampled_from((64, 1, 8, 24, 40, 64)))
    matrices = [Buffer(f"x{i}", (m, n), FLOAT32, Space.FRAGMENT) for i in range(3)]
    by_row = [Buffer(f"r{i}", (m,), FLOAT32, Space.FRAGMENT) for i in range(2)]
    columns = [Buffer(f"c{i}", (n,), FLOAT32, Space.FRAGMENT) for i in range(2)]
    flat = Buffer("flat", (m * n,), FLOAT32, Space.FRAGMENT)
    turned = Buffer("turned", (n, m), FLOAT32, Space.FRAGMENT)
    outside = Buffer("G", (m, n), draw(st.sampled_from((FLOAT16, FLOAT32))))

    def statement() -> Stmt:
        i, j = Var("i"), Var("j")
        kind = draw(st.sampled_from(kinds))
        x, y = draw(st.sampled_from(matrices)), draw(st.sampled_from(matrices))
        r, c = draw(st.sampled_from(by_row)), draw(st.sampled_from(columns))
        dim = draw(st.integers(0, 1))
        match kind:
            case "in":
                return Copy(whole(outside), whole(x))
            case "out":
                return Copy(whole(x), whole(outside))
            case "fill":
                return Fill(whole(draw(st.sampled_from((x, r, c, flat, turned)))), Const(0.0, FLOAT32))
            case "map":
                value = Binary("+", Load(x, (i, j)), Load(y, (i, j)))
                return Parallel((i, j), (m, n), (Store(y, (i, j), value),))
            case "broadcast":
                value = Binary("*", Load(r, (i,)), Load(c, (j,)))
                return Parallel((i, j), (m, n), (Store(x, (i, j), value),))
            case "reduce":
                return Reduce(whole(x), whole(c if dim == 0 else r), "sum", dim)
            case "fuse":
                return Parallel((i,), (m * n,), (Store(flat, (i,), Load(x, (i // n, i % n))),))
            case "turn":
                return Parallel((i, j), (n, m), (Store(turned, (i, j), Load(x, (j, i))),))
            case "row":
                return Parallel((i,), (m,), (Store(r, (i,), Load(by_row[0], (i,))),))
            case "both":  # a row's element is written by every point of the row
                by_point = [Store(b, (i, j), Load(r, (i,))) for b in (x, y)]
                rows_ = [Store(by_row[1], (i,), Load(by_row[0], (i,)))]
                return Parallel((i, j), (m, n), tuple(draw(st.sampled_from((by_point, by_point[:1] + rows_, rows_)))))
            case _ if not warp_partitions((m, n), (16, 8), threads // 32):
                return Fill(whole(c), Const(1.0, FLOAT32))
            case _:
                a = Buffer("a", (m, 16), FLOAT16, Space.SHARED)
                b = Buffer("b", (16, n), FLOAT16, Space.SHARED)
                return Gemm(
                    whole(a), whole(b), whole(x), policy=draw(st.sampled_from(("square", "full_row", "full_col")))
                )

    return threads, tuple(statement() for _ in range(draw(st.integers(2, 7))))


def kernel(threads: int, body: tuple[Stmt, ...], layouts: tuple[Assigned, ...] = ()) -> Kernel:
    return Kernel("k", (), (Launch("k", (Const(1),), (Var("b"),), (threads,), Var("t"), body, layouts),))
