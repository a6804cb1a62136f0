"""How a block multiplies tiles: instruction, arrangement of warps, and the layouts that these demand of a, b and c."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from math import prod

from tiledsl.analysis.bank_conflicts import fewest_conflicts
from tiledsl.analysis.vector_width import divisor
from tiledsl.errors import error
from tiledsl.ir.dtypes import FLOAT8_E4M3, FLOAT8_E5M2, FLOAT32, TFLOAT32, DType
from tiledsl.ir.layout import Digit, Fragment, Layout
from tiledsl.ir.layout_ops import canonical, permute_dims
from tiledsl.ir.nodes import Buffer, Region, Space, static_shape
from tiledsl.ir.swizzle import choose_swizzle, chunk, contiguous_run, expand
from tiledsl.ir.tile import Gemm
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import select
from tiledsl.target import Target


class Read(Enum):
    """How an operand gets into the registers of the instruction."""

    REGISTERS = "registers"  # it is there already
    LDMATRIX = "ldmatrix"
    LDMATRIX_TRANS = "ldmatrix_trans"
    ELEMENTS = "elements"  # one load for each element, or for neighbours along k


@dataclass(frozen=True, slots=True)
class OperandPlan:
    """`layout` is that of the whole buffer; `fragment` that of the tile as (m, k) or (k, n), without transposition,
    in the registers of all warps, whether it stays there or is loaded step by step (then only to read coordinates off).
    """

    layout: Fragment | Layout
    read: Read
    fragment: Fragment


@dataclass(frozen=True, slots=True)
class GemmPlan:
    """`kind` is "mma" (tensor cores, `atom`) or "fma" (multiply-add by each thread, no atom).

    Of mma: `warps` are those along m and n, warp w standing at (w % warps[0], w // warps[0]); `repeats` the atoms of
    each warp along m and n; the accumulator's registers are (repeat m, repeat n, registers of d), those of a fragment
    operand (k step, repeat, registers of a or b). Of fma: `warps` are the threads along m and n, n fastest; `repeats`
    the elements of each thread. `k_steps` times the atom's k (fma: 1) is the depth of the tile.
    """

    kind: str
    atom: Atom | None
    shape: tuple[int, int, int]  # m, n, k of the tile
    warps: tuple[int, int]
    repeats: tuple[int, int]
    k_steps: int
    c: Fragment
    a: OperandPlan
    b: OperandPlan


def plan_gemm(
    gemm: Gemm, num_threads: int, target: Target, layouts: Mapping[Buffer, Fragment | Layout] | None = None
) -> GemmPlan:
    """The plan for `gemm` by a block of `num_threads`; shared buffers in `layouts` keep theirs.

    Raises TileError: TD0310 no partition of the warps, TD0311 missing feature, TD0312 no instruction for the dtypes,
    TD0313 k is no multiple of the instruction's, TD0314 an operand where it cannot be.
    """
    known = layouts or {}
    shape = tile_shape(gemm)
    _check_spaces(gemm)
    atom = _choose_atom(gemm, target)
    if atom is None:
        return _plan_fma(gemm, shape, num_threads, known)
    m, n, k = shape
    atom_m, atom_k = atom.operands[1].fragment.shape
    atom_n = atom.operands[2].fragment.shape[1]
    if k % atom_k:
        raise error("TD0313", gemm.span, k=k, step=atom_k, atom=atom.name)
    if num_threads % 32:
        raise error("TD0315", gemm.span, threads=num_threads)
    warps = _partition(gemm, (m, n), (atom_m, atom_n), num_threads // 32)
    repeats = (m // (warps[0] * atom_m), n // (warps[1] * atom_n))
    k_steps = k // atom_k
    c, a, b = _mma_fragments(atom, warps, repeats, k_steps)
    return GemmPlan(
        "mma", atom, shape, warps, repeats, k_steps, _for_buffer(gemm, gemm.c, c, False),
        _operand(gemm, gemm.a, a, gemm.transpose_a, not gemm.transpose_a, known, num_threads),
        _operand(gemm, gemm.b, b, gemm.transpose_b, gemm.transpose_b, known, num_threads),
    )  # fmt: skip


def tile_shape(gemm: Gemm) -> tuple[int, int, int]:
    """(m, n, k) of the product."""
    rows, columns = matrix_dims(gemm.a)
    m, k = (columns, rows) if gemm.transpose_a else (rows, columns)
    rows, columns = matrix_dims(gemm.b)
    return m, rows if gemm.transpose_b else columns, k


def matrix_dims(region: Region) -> tuple[int, int]:
    """Rows and columns of a region: its last two extents; the others must be 1."""
    if len(region.extents) < 2 or prod(region.extents[:-2]) != 1:
        raise TypeError(f"a region of {region.extents} elements is no matrix")
    return region.extents[-2], region.extents[-1]


def _check_spaces(gemm: Gemm) -> None:
    for name, region in (("a", gemm.a), ("b", gemm.b), ("c", gemm.c)):
        space = region.buffer.space
        if space is Space.FRAGMENT:
            if region.extents != tuple(region.buffer.shape):
                raise error("TD0314", gemm.span, operand=name, buffer=region.buffer.name, why="a part of a fragment")
        elif space is not Space.SHARED or name == "c":
            raise error("TD0314", gemm.span, operand=name, buffer=region.buffer.name, why=f"in {space.value} memory")


# ---------------------------------------------------------------------------------------------------- instruction


def _choose_atom(gemm: Gemm, target: Target) -> Atom | None:
    """The mma row for the dtypes, None for multiply-adds by each thread."""
    c, a, b = (r.buffer.dtype for r in (gemm.c, gemm.a, gemm.b))
    operands = [TFLOAT32 if t is FLOAT32 and gemm.precision == "tf32" else t for t in (a, b)]
    found = select("mma", (c, *operands), target)
    if found:
        return found[0]
    elsewhere = select("mma", (c, *operands))
    if elsewhere:
        raise error("TD0311", gemm.span, a=a, b=b, c=c, feature=elsewhere[0].feature, target=target.name)
    if a is not b or a in (FLOAT8_E4M3, FLOAT8_E5M2) or c.bits < 32 or not _widens(a, c):
        raise error("TD0312", gemm.span, a=a, b=b, c=c)
    return None


def _widens(a: DType, c: DType) -> bool:
    return a.kind is c.kind and a.bits <= c.bits


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


@cache
def _mma_fragments(
    atom: Atom, warps: tuple[int, int], repeats: tuple[int, int], k_steps: int
) -> tuple[Fragment, Fragment, Fragment]:
    """c (m, n), a (m, k), b (k, n) of all warps: algorithms.md A.3, "Block-level C for mma"."""
    (wm, wn), (rm, rn) = warps, repeats
    d, a, b = (op.fragment for op in atom.operands)
    # Warp numbers have m fastest; an operand is the same in all warps along the dimension that it lacks.
    grid_c = Fragment((wm, wn), (Digit(wn, 1), Digit(wm, wn)), ())
    grid_a = Fragment((wm, 1), (Digit(wn, 0), Digit(wm, 1)), ())
    grid_b = Fragment((1, wn), (Digit(wn, 1), Digit(wm, 0)), ())
    repeat_c = Fragment((rm, rn), (), (Digit(rm, rn), Digit(rn, 1)))
    repeat_a = Fragment((rm, k_steps), (), (Digit(k_steps, 1), Digit(rm, k_steps)))
    repeat_b = Fragment((k_steps, rn), (), (Digit(k_steps, rn), Digit(rn, 1)))
    return (
        canonical(grid_c @ repeat_c @ d),
        canonical(grid_a @ repeat_a @ a),
        canonical(grid_b @ repeat_b @ b),
    )


# ------------------------------------------------------------------------------------------------------- operands


def _for_buffer(gemm: Gemm, region: Region, tile: Fragment, transposed: bool) -> Fragment:
    """The tile's fragment as the buffer stores it: transposed if so, with its leading extents of 1."""
    stored = permute_dims(tile, (1, 0)) if transposed else tile
    if stored is None:
        raise error("TD0314", gemm.span, operand="", buffer=region.buffer.name, why="a ragged fragment")
    return Fragment(static_shape(region.buffer), stored.threads, stored.regs)


def _operand(
    gemm: Gemm,
    region: Region,
    tile: Fragment,
    transposed: bool,
    k_major: bool,
    known: Mapping[Buffer, Fragment | Layout],
    num_threads: int,
) -> OperandPlan:
    buffer = region.buffer
    if buffer.space is Space.FRAGMENT:
        return OperandPlan(_for_buffer(gemm, region, tile, transposed), Read.REGISTERS, tile)
    bits = buffer.dtype.bits
    layout = known.get(buffer)
    matrices = bits == 16 or (k_major and bits in (8, 32))
    if not isinstance(layout, Layout):
        shape = static_shape(buffer)
        if matrices:
            layout = choose_swizzle(shape, bits)
        else:
            stored = permute_dims(tile, (1, 0)) if transposed else tile
            layout = _element_layout(shape, bits, stored, matrix_dims(region))
    # ldmatrix reads rows of 16 bytes, which must lie together and be aligned.
    unit = chunk(bits)
    whole = contiguous_run(layout) % unit == 0 and matrix_dims(region)[1] % unit == 0
    if not matrices or not whole or divisor(region.offsets[-1], {}) % unit:
        return OperandPlan(layout, Read.ELEMENTS, tile)
    return OperandPlan(layout, Read.LDMATRIX if k_major else Read.LDMATRIX_TRANS, tile)


def _element_layout(shape: tuple[int, ...], bits: int, stored: Fragment | None, region: tuple[int, int]) -> Layout:
    """The layout whose element loads conflict least, among those that keep 16-byte chunks whole."""
    if stored is None or region != shape[-2:]:
        return choose_swizzle(shape, bits)
    return expand(fewest_conflicts(stored, bits), shape[:-2])


# ------------------------------------------------------------------------------------- multiply-adds by each thread


def _plan_fma(
    gemm: Gemm, shape: tuple[int, int, int], threads: int, known: Mapping[Buffer, Fragment | Layout]
) -> GemmPlan:
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
        "fma", None, shape, (tm, tn), (rm, rn), k, _for_buffer(gemm, gemm.c, c, False),
        _fma_operand(gemm, gemm.a, a, gemm.transpose_a, known),
        _fma_operand(gemm, gemm.b, b, gemm.transpose_b, known),
    )  # fmt: skip


def _fma_operand(
    gemm: Gemm, region: Region, tile: Fragment, transposed: bool, known: Mapping[Buffer, Fragment | Layout]
) -> OperandPlan:
    buffer = region.buffer
    if buffer.space is Space.FRAGMENT:
        return OperandPlan(_for_buffer(gemm, region, tile, transposed), Read.REGISTERS, tile)
    layout = known.get(buffer)
    if not isinstance(layout, Layout):
        stored = permute_dims(tile, (1, 0)) if transposed else tile
        layout = _element_layout(static_shape(buffer), buffer.dtype.bits, stored, matrix_dims(region))
    return OperandPlan(layout, Read.ELEMENTS, tile)
