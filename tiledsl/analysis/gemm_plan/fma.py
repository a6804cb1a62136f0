"""Products by ordinary multiply-adds: threads in a grid over the tile, each with elements of its own."""

from __future__ import annotations

from tiledsl.analysis.gemm_plan.mma import element_layout
from tiledsl.analysis.gemm_plan.plan import GemmPlan, Known, OperandPlan, Read, for_buffer, matrix_dims
from tiledsl.errors import error
from tiledsl.ir.layout import Digit, Fragment, Layout
from tiledsl.ir.layout_ops import canonical, permute_dims
from tiledsl.ir.nodes import Region, Space, static_shape
from tiledsl.ir.tile import Gemm


def plan_fma(gemm: Gemm, shape: tuple[int, int, int], threads: int, known: Known) -> GemmPlan:
    """Threads in a grid over the tile, each with a tile of its own; neighbours in n share 16-byte chunks."""
    m, n, k = shape
    grids = [(tm, threads // tm) for tm in range(1, threads + 1) if threads % tm == 0]
    legal = [(tm, tn) for tm, tn in grids if m % tm == 0 and n % tn == 0]
    if not legal:
        raise error("TD0316", gemm.span, m=m, n=n, threads=threads)
    tm, tn = min(legal, key=lambda g: (m // g[0] + n // g[1], g[0]))
    rm, rn = m // tm, n // tn
    vector = max(v for v in (4, 2, 1) if rn % v == 0)
    columns = (Digit(rn // vector, tn * vector), Digit(vector, 1))  # of n, in registers
    c = canonical(Fragment((m, n), (Digit(tm, n), Digit(tn, vector)), (Digit(rm, tm * n), *columns)))
    a = canonical(Fragment((m, k), (Digit(tm, k), Digit(tn, 0)), (Digit(k, 1), Digit(rm, tm * k))))
    b = canonical(Fragment((k, n), (Digit(tm, 0), Digit(tn, vector)), (Digit(k, n), *columns)))
    return GemmPlan(
        "fma", None, shape, (tm, tn), (rm, rn), k, for_buffer(gemm, gemm.c, c, False),
        _fma_operand(gemm, gemm.a, a, gemm.transpose_a, known),
        _fma_operand(gemm, gemm.b, b, gemm.transpose_b, known),
    )  # fmt: skip


def _fma_operand(gemm: Gemm, region: Region, tile: Fragment, transposed: bool, known: Known) -> OperandPlan:
    buffer = region.buffer
    if buffer.space is Space.FRAGMENT:
        return OperandPlan(for_buffer(gemm, region, tile, transposed), Read.REGISTERS, tile)
    layout = known.get(buffer)
    if not isinstance(layout, Layout):
        stored = permute_dims(tile, (1, 0)) if transposed else tile
        layout = element_layout(static_shape(buffer), buffer.dtype.bits, stored, matrix_dims(region))
    return OperandPlan(layout, Read.ELEMENTS, tile)
