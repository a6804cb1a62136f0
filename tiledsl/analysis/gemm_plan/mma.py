"""Products by mma.sync: each warp brings its operands into registers and multiplies atom by atom."""

from __future__ import annotations

from functools import cache

from tiledsl.analysis.bank_conflicts import fewest_conflicts
from tiledsl.analysis.gemm_plan.plan import GemmPlan, Known, OperandPlan, Read, for_buffer, matrix_dims
from tiledsl.analysis.vector_width import divisor
from tiledsl.errors import error
from tiledsl.ir.layout import Digit, Fragment, Layout
from tiledsl.ir.layout_ops import canonical, permute_dims
from tiledsl.ir.nodes import Region, Space, static_shape
from tiledsl.ir.swizzle import choose_swizzle, chunk, contiguous_run, expand
from tiledsl.ir.tile import Gemm
from tiledsl.isa.atom import Atom


def plan_mma(gemm: Gemm, atom: Atom, shape: tuple[int, int, int], num_threads: int, known: Known) -> GemmPlan:
    """The plan with the instruction `atom`. Raises TileError TD0310, TD0313, TD0315."""
    m, n, k = shape
    atom_m = atom.operands[1].fragment.shape[0]
    atom_k, atom_n = atom.operands[2].fragment.shape
    if k % atom_k:
        raise error("TD0313", gemm.span, k=k, step=atom_k, atom=atom.name)
    if num_threads % 32:
        raise error("TD0315", gemm.span, threads=num_threads)
    warps = _partition(gemm, (m, n), (atom_m, atom_n), num_threads // 32)
    repeats = (m // (warps[0] * atom_m), n // (warps[1] * atom_n))
    k_steps = k // atom_k
    d, *inputs = (op.fragment for op in atom.operands)
    c = accumulator(d, warps, repeats)
    a, b = operand_a(inputs[0], warps, repeats, k_steps), operand_b(inputs[1], warps, repeats, k_steps)
    e = None
    if gemm.e is not None:
        e = for_buffer(gemm, gemm.e, operand_a(inputs[2], warps, repeats, k_steps), False)
    return GemmPlan(
        "mma", atom, shape, warps, repeats, k_steps, for_buffer(gemm, gemm.c, c, False),
        _operand(gemm, gemm.a, a, gemm.transpose_a, not gemm.transpose_a, known, num_threads),
        _operand(gemm, gemm.b, b, gemm.transpose_b, gemm.transpose_b, known, num_threads),
        e=e,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- warps


def _partition(gemm: Gemm, tile: tuple[int, int], atom: tuple[int, int], warps: int) -> tuple[int, int]:
    """Warps along m and n, by the policy. Raises TD0310."""
    legal = warp_partitions(tile, atom, warps)
    if not legal:
        counts = [w for w in range(1, 33) if warp_partitions(tile, atom, w)]
        works = ", ".join(str(32 * w) for w in counts) or "no number of"
        raise error(
            "TD0310", gemm.span, m=tile[0], n=tile[1], warps=warps, atom_m=atom[0], atom_n=atom[1], works=works
        )  # fmt: skip
    match gemm.policy:
        case "full_row":
            return max(legal)
        case "full_col":
            return min(legal)
        case _:
            # A warp loads m + n elements for each step along k: the squarest tile loads least. More rows on a tie.
            return min(legal, key=lambda w: (tile[0] // w[0] + tile[1] // w[1], -w[0]))


def warp_partitions(tile: tuple[int, int], atom: tuple[int, int], warps: int) -> list[tuple[int, int]]:
    """All (warps along m, along n) that cut the tile into multiples of the atom."""
    return [
        (wm, warps // wm)
        for wm in range(1, warps + 1)
        if warps % wm == 0 and tile[0] % (wm * atom[0]) == 0 and tile[1] % (warps // wm * atom[1]) == 0
    ]


# A.3, "Block-level C for mma": numbers of warps (or warpgroups) have m fastest; an operand is the same in all of them
# along the dimension that it lacks.


@cache
def accumulator(d: Fragment, warps: tuple[int, int], repeats: tuple[int, int]) -> Fragment:
    """c (m, n) of all warps, from the instruction's `d`."""
    (wm, wn), (rm, rn) = warps, repeats
    grid = Fragment((wm, wn), (Digit(wn, 1), Digit(wm, wn)), ())
    repeat = Fragment((rm, rn), (), (Digit(rm, rn), Digit(rn, 1)))
    return canonical(grid @ repeat @ d)


@cache
def operand_a(a: Fragment, warps: tuple[int, int], repeats: tuple[int, int], k_steps: int) -> Fragment:
    """a (m, k) of all warps."""
    (wm, wn), rm = warps, repeats[0]
    grid = Fragment((wm, 1), (Digit(wn, 0), Digit(wm, 1)), ())
    repeat = Fragment((rm, k_steps), (), (Digit(k_steps, 1), Digit(rm, k_steps)))
    return canonical(grid @ repeat @ a)


@cache
def operand_b(b: Fragment, warps: tuple[int, int], repeats: tuple[int, int], k_steps: int) -> Fragment:
    """b (k, n) of all warps."""
    (wm, wn), rn = warps, repeats[1]
    grid = Fragment((1, wn), (Digit(wn, 1), Digit(wm, 0)), ())
    repeat = Fragment((k_steps, rn), (), (Digit(k_steps, rn), Digit(rn, 1)))
    return canonical(grid @ repeat @ b)


# ------------------------------------------------------------------------------------------------------- operands


def _operand(
    gemm: Gemm,
    region: Region,
    tile: Fragment,
    transposed: bool,
    k_major: bool,
    known: Known,
    num_threads: int,
) -> OperandPlan:
    buffer = region.buffer
    if buffer.space is Space.FRAGMENT:
        return OperandPlan(for_buffer(gemm, region, tile, transposed), Read.REGISTERS, tile)
    bits = buffer.dtype.bits
    layout = known.get(buffer)
    matrices = bits == 16 or (k_major and bits in (8, 32))
    if not isinstance(layout, Layout):
        shape = static_shape(buffer)
        if matrices:
            layout = choose_swizzle(shape, bits)
        else:
            stored = permute_dims(tile, (1, 0)) if transposed else tile
            layout = element_layout(shape, bits, stored, matrix_dims(region))
    # ldmatrix reads rows of 16 bytes, which must lie together and be aligned.
    unit = chunk(bits)
    whole = contiguous_run(layout) % unit == 0 and matrix_dims(region)[1] % unit == 0
    if not matrices or not whole or divisor(region.offsets[-1], {}) % unit:
        return OperandPlan(layout, Read.ELEMENTS, tile)
    return OperandPlan(layout, Read.LDMATRIX if k_major else Read.LDMATRIX_TRANS, tile)


def element_layout(shape: tuple[int, ...], bits: int, stored: Fragment | None, region: tuple[int, int]) -> Layout:
    """The layout whose element loads conflict least, among those that keep 16-byte chunks whole."""
    if stored is None or region != shape[-2:]:
        return choose_swizzle(shape, bits)
    return expand(fewest_conflicts(stored, bits), shape[:-2])
