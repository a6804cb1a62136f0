"""What a plan of a tile product says, and what all kinds of plans share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TypeAlias

from tiledsl.analysis.descriptors import Matrix
from tiledsl.errors import error
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.layout_ops import permute_dims
from tiledsl.ir.nodes import Buffer, Region, static_shape
from tiledsl.ir.tile import Gemm
from tiledsl.isa.atom import Atom

Known: TypeAlias = Mapping[Buffer, Fragment | Layout]

# Who says the layout of an operand before its product does: `Assigned.why`.
TURNED = "the copy that transposes it"
ANNOTATED = frozenset({"user", TURNED})


class Read(Enum):
    """How an operand gets into the registers of the instruction."""

    REGISTERS = "registers"  # it is there already
    LDMATRIX = "ldmatrix"
    LDMATRIX_TRANS = "ldmatrix_trans"
    ELEMENTS = "elements"  # one load for each element, or for neighbours along k
    DESCRIPTOR = "descriptor"  # not at all: the tensor core reads it from shared memory


@dataclass(frozen=True, slots=True)
class OperandPlan:
    """`layout` is that of the whole buffer; `fragment` that of the tile as (m, k) or (k, n), without transposition,
    in the registers of all warps, whether it stays there or is loaded step by step (then only to read coordinates off).

    An operand that is read through descriptors has a `matrix` in place of a fragment.
    """

    layout: Fragment | Layout
    read: Read
    fragment: Fragment | None
    matrix: Matrix | None = None

    @property
    def held(self) -> Fragment:
        """The fragment of an operand that comes into registers."""
        assert self.fragment is not None
        return self.fragment


@dataclass(frozen=True, slots=True)
class GemmPlan:
    """`kind` is "wgmma" or "mma" (tensor cores, `atom`) or "fma" (multiply-add by each thread, no atom).

    Of mma: `warps` are those along m and n, warp w standing at (w % warps[0], w // warps[0]); `repeats` the atoms of
    each warp along m and n; the accumulator's registers are (repeat m, repeat n, registers of d), those of a fragment
    operand (k step, repeat, registers of a or b). Of wgmma: the same of warpgroups. Of fma: `warps` are the threads
    along m and n, n fastest; `repeats` the elements of each thread. `k_steps` times the atom's k (fma: 1) is the depth
    of the tile. `e` is the layout of the metadata of a sparse operand. `refused` says why the product is not made by
    wgmma, where the target has it.
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
    refused: str = ""
    e: Fragment | None = None


def tile_shape(gemm: Gemm) -> tuple[int, int, int]:
    """(m, n, k) of the product."""
    rows, columns = matrix_dims(gemm.a)
    m = columns if gemm.transpose_a else rows
    rows, columns = matrix_dims(gemm.b)  # its depth: a sparse operand a has half of it
    return (m, rows, columns) if gemm.transpose_b else (m, columns, rows)


def matrix_dims(region: Region) -> tuple[int, int]:
    """Rows and columns of a region: its last two extents; the others must be 1."""
    if len(region.extents) < 2 or prod(region.extents[:-2]) != 1:
        raise TypeError(f"a region of {region.extents} elements is no matrix")
    return region.extents[-2], region.extents[-1]


def for_buffer(gemm: Gemm, region: Region, tile: Fragment, transposed: bool) -> Fragment:
    """The tile's fragment as the buffer stores it: transposed if so, with its leading extents of 1."""
    stored = permute_dims(tile, (1, 0)) if transposed else tile
    if stored is None:
        raise error("TD0314", gemm.span, operand="", buffer=region.buffer.name, why="a ragged fragment")
    return Fragment(static_shape(region.buffer), stored.threads, stored.regs)
