"""Products by wgmma: a warpgroup of 128 threads multiplies 64 rows by up to 256 columns, b and mostly a in place in
shared memory. Layouts: algorithms.md A.2, A.3; instructions: isa/wgmma.py.
"""

from __future__ import annotations

from itertools import product

from tiledsl.analysis.descriptors import Matrix, Piece, describe, reads_layout
from tiledsl.analysis.gemm_plan.mma import accumulator, operand_a, warp_partitions
from tiledsl.analysis.gemm_plan.plan import GemmPlan, Known, OperandPlan, Read, for_buffer
from tiledsl.analysis.vector_width import divisor
from tiledsl.ir.concurrent import WARPGROUP
from tiledsl.ir.dtypes import FLOAT32, TFLOAT32, DType
from tiledsl.ir.layout import Layout
from tiledsl.ir.nodes import Const, Region, Space, static_shape
from tiledsl.ir.swizzle import SPANS, UNIT, hardware_swizzle, panelled
from tiledsl.ir.tile import Gemm
from tiledsl.isa import wgmma
from tiledsl.target import Target

STEP_N = 8  # columns of c that an instruction handles at least


def plan_wgmma(
    gemm: Gemm, shape: tuple[int, int, int], num_threads: int, target: Target, known: Known
) -> GemmPlan | str:
    """The plan, or why the instruction cannot make this product."""
    types = _types(gemm)
    m, n, k = shape
    why = _unfit(gemm, types, k, num_threads, target)
    if why:
        return why
    d, dtype_a, dtype_b = types
    found = _partition(gemm, (m, n), num_threads // WARPGROUP, dtype_a)
    if found is None:
        return f"{m} x {n} does not split into multiples of 64 x {STEP_N} for {num_threads // WARPGROUP} warpgroups"
    groups, columns = found
    step, repeats = wgmma.extent_k(dtype_a), (m // (groups[0] * wgmma.M), n // (groups[1] * columns))
    in_registers = gemm.a.buffer.space is Space.FRAGMENT
    atom = wgmma.wgmma_row(wgmma.row_name(columns, d, dtype_a, dtype_b, in_registers))
    assert atom is not None
    c = accumulator(atom.operands[0].fragment, groups, repeats)
    if in_registers:
        tile = operand_a(wgmma.operand_a(wgmma.bits_in_memory(dtype_a)), groups, repeats, k // step)
        a: OperandPlan | str = OperandPlan(for_buffer(gemm, gemm.a, tile, gemm.transpose_a), Read.REGISTERS, tile)
    else:
        a = _operand(gemm.a, (m, k), (wgmma.M, step), not gemm.transpose_a, known)
    b = _operand(gemm.b, (n, k), (columns, step), gemm.transpose_b, known)
    if isinstance(a, str) or isinstance(b, str):
        return a if isinstance(a, str) else str(b)
    return GemmPlan("wgmma", atom, shape, groups, repeats, k // step, for_buffer(gemm, gemm.c, c, False), a, b)


def _types(gemm: Gemm) -> tuple[DType, DType, DType]:
    c, a, b = (r.buffer.dtype for r in (gemm.c, gemm.a, gemm.b))
    if gemm.precision == "tf32":
        a, b = (TFLOAT32 if t is FLOAT32 else t for t in (a, b))
    return c, a, b


def _unfit(gemm: Gemm, types: tuple[DType, DType, DType], k: int, num_threads: int, target: Target) -> str:
    """What rules the instruction out whatever the layouts are; empty if nothing does."""
    c, a, b = types
    if "wgmma" not in target.features:
        return f"{target.name} has no asynchronous products"
    if num_threads % WARPGROUP:
        return f"{num_threads} threads are no whole warpgroups of {WARPGROUP}"
    if gemm.e is not None:
        return "sparse matrices are multiplied by mma.sp"
    if types not in wgmma.TYPES:
        return f"wgmma does not multiply {a} by {b} into {c}"
    if gemm.b.buffer.space is not Space.SHARED:
        return f"operand b, '{gemm.b.buffer.name}', is not in shared memory"
    if k % wgmma.extent_k(a):
        return f"the tile is {k} deep, but wgmma of {a} works in steps of {wgmma.extent_k(a)}"
    for name in across_k(gemm):
        buffer = (gemm.a if name == "a" else gemm.b).buffer
        return f"operand {name}, '{buffer.name}', is not contiguous along k, which only 16-bit types may be"
    return ""


def across_k(gemm: Gemm) -> tuple[str, ...]:
    """Which of "a" and "b" lie in shared memory along m or n, if the instruction reads their type along k only."""
    if wgmma.takes_mn_major(_types(gemm)[1]):
        return ()
    operands = (("a", gemm.a, not gemm.transpose_a), ("b", gemm.b, gemm.transpose_b))
    return tuple(name for name, r, along_k in operands if r.buffer.space is Space.SHARED and not along_k)


def _partition(gemm: Gemm, tile: tuple[int, int], groups: int, a: DType) -> tuple[tuple[int, int], int] | None:
    """Warpgroups along m and n, by the policy, and the columns of an instruction: the widest that fits."""
    legal = [
        (g, max(columns))
        for g in warp_partitions(tile, (wgmma.M, STEP_N), groups)
        if (columns := [n for n in wgmma.extents_n(a) if tile[1] // g[1] % n == 0])
    ]
    if not legal:
        return None

    def read(g: tuple[int, int], columns: int) -> int:
        """Rows of a and columns of b that a warpgroup's instructions read for each step along k."""
        return tile[0] // (g[0] * wgmma.M) * (tile[1] // (g[1] * columns)) * (wgmma.M + columns)

    match gemm.policy:
        case "full_row":
            return max(legal)
        case "full_col":
            return min(legal)
        case _:  # what reads least of shared memory; more rows on a tie
            return min(legal, key=lambda x: (read(*x), -x[0][0]))


# ------------------------------------------------------------------------------------------------------- operands


def _operand(
    region: Region, tile: tuple[int, int], step: tuple[int, int], k_major: bool, known: Known
) -> OperandPlan | str:
    """An operand in shared memory: `tile` is (m or n, k), `step` what an instruction reads of it."""
    buffer = region.buffer
    shape, bits = static_shape(buffer), buffer.dtype.bits
    given = known.get(buffer)
    layouts = [given] if isinstance(given, Layout) else [x for s in (*SPANS, UNIT) if (x := _panelled(shape, bits, s))]
    for layout in layouts:
        matrix = operand_matrix(layout, region, tile, step, k_major)
        if matrix is not None:
            return OperandPlan(layout, Read.DESCRIPTOR, None, matrix)
    return f"no matrix descriptor describes the layout of '{buffer.name}'"


def _panelled(shape: tuple[int, ...], bits: int, span: int) -> Layout | None:
    try:
        return panelled(shape, bits, span)
    except ValueError:
        return None


def operand_matrix(
    layout: Layout, region: Region, tile: tuple[int, int], step: tuple[int, int], k_major: bool
) -> Matrix | None:
    """The descriptors with which instructions that read `step` of `tile` (m or n, k) find all of `region`."""
    bits = region.buffer.dtype.bits
    matrix = describe(layout, bits, k_major)
    origin = _origin(region, layout)
    if matrix is None or origin is None:
        return None
    *lead, row, column = origin
    along, depth = (range(0, extent, by) for extent, by in zip(tile, step))
    points = product(along, depth) if k_major else product(depth, along)
    origins = tuple((*lead, row + r, column + c) for r, c in points)
    piece = Piece(*(step if k_major else step[::-1]))
    return matrix if reads_layout(layout, bits, matrix, piece, origins) else None


def _origin(region: Region, layout: Layout) -> tuple[int, ...] | None:
    """Where the region begins, as far as descriptors mind: anything that moves by whole panels counts as 0."""
    bits = region.buffer.dtype.bits
    width = max(hardware_swizzle(layout, bits) or 0, UNIT) * 8 // bits
    out: list[int] = []
    for dim, offset in enumerate(region.offsets):
        whole = {len(region.offsets) - 2: 8, len(region.offsets) - 1: width}.get(dim, 1)
        if isinstance(offset, Const):
            out.append(int(offset.value))
        elif divisor(offset, {}) % whole == 0:
            out.append(0)
        else:
            return None
    return tuple(out)
