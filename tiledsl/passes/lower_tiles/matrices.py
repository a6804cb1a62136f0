"""Fragments as 8x8 matrices of 16-bit units: what ldmatrix and stmatrix move (PTX ISA, "ldmatrix"; algorithms.md A.3).

Lane 8*q + r of an instruction on several matrices gives the address of row r of matrix q. A fragment fits if the lanes
of a warp and the registers of 32 bits stand in the order in which the instruction deals a matrix out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from tiledsl.errors import error
from tiledsl.ir.layout import Digit, Fragment, dim_of, split_digits
from tiledsl.ir.nodes import Address, AtomCall, Buffer, Const, Expr, Space, static_shape
from tiledsl.ir.swizzle import chunk, contiguous_run
from tiledsl.isa.table import atom_named
from tiledsl.passes.lower_tiles.access import root_coordinates, shared_offset, total
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.spread import Loop, coordinates, cut, numbered, register_loops, thread_digits

LANES, ROWS = 32, 8
COUNTS = (4, 2, 1)  # matrices of one instruction, best first


@dataclass(frozen=True, slots=True)
class Matrices:
    """A fragment cut into matrices: `warps` are the thread digits above the lanes, `groups` those of the matrix number.

    The rows of a matrix, contiguous in memory, follow each other along `row_dim`. `word` elements fill a register of 32
    bits; `transposed` says that a thread holds pieces of columns, which .trans loads.
    """

    shape: tuple[int, ...]
    row_dim: int
    word: int
    transposed: bool
    warps: tuple[Digit, ...]
    groups: tuple[Digit, ...]

    @property
    def count(self) -> int:
        return prod(d.extent for d in self.groups)

    @property
    def row_step(self) -> int:
        return prod(self.shape[self.row_dim + 1 :])


def match_matrices(f: Fragment, contiguous: int, bits: int) -> Matrices | None:
    """`f` as matrices whose rows run along dimension `contiguous`; None where it does not fit. `bits` of an element."""
    if f.is_ragged or bits not in (8, 16, 32) or f.num_threads % LANES:
        return None
    threads, regs = split_digits(f.threads, f.shape), split_digits(f.regs, f.shape)
    if threads is None or regs is None:
        return None
    for transposed in (False, True) if bits == 16 else (False,):
        found = _match(f.shape, threads, regs, contiguous, 32 // bits, transposed)
        if found is not None:
            return found
    return None


def _match(
    shape: tuple[int, ...],
    threads: Sequence[Digit],
    regs: Sequence[Digit],
    contiguous: int,
    word: int,
    transposed: bool,
) -> Matrices | None:
    step = prod(shape[contiguous + 1 :])
    above = cut(threads, LANES)
    lanes = cut(above[1], 4) if above else None
    within = cut(regs, word)
    if above is None or lanes is None or within is None or len(lanes[0]) != 1 or len(lanes[1]) != 1:
        return None
    eight, four = lanes[0][0], lanes[1][0]
    along_rows = four if transposed else eight
    row_dim = dim_of(along_rows, shape)[0] if along_rows.stride else contiguous
    if row_dim == contiguous:
        return None
    row_step = prod(shape[row_dim + 1 :])
    wanted_eight = step if transposed else row_step
    wanted_four = 2 * row_step if transposed else word * step
    wanted_word = (Digit(2, row_step),) if transposed else (Digit(word, step),) if word > 1 else ()
    if (eight.stride, four.stride, within[1]) != (wanted_eight, wanted_four, wanted_word):
        return None
    return Matrices(shape, row_dim, word, transposed, above[0], within[0])


@dataclass(frozen=True, slots=True)
class RowAccess:
    """One matrix instruction of `count` matrices inside `loops`: this lane's row starts at `coords` of the tile, the
    registers at `reg`.
    """

    count: int
    loops: tuple[Loop, ...]
    coords: tuple[Expr, ...]
    reg: Expr


def row_access(
    ctx: Context, m: Matrices, groups: Sequence[Digit], fixed: Sequence[tuple[Expr, Digit]] = ()
) -> RowAccess:
    """The instructions for the matrices numbered by `groups`; `fixed` are the values of the other register digits."""
    total_count = prod(d.extent for d in groups)
    for count in COUNTS:
        halves = cut(groups, count) if total_count % count == 0 else None
        if halves is not None:
            break
    else:
        raise AssertionError("one matrix can always be cut off")
    outer, inner = halves
    row = (ctx.thread_digit(1, ROWS), Digit(ROWS, m.row_step))
    chosen = thread_digits(ctx, inner, ROWS)
    loops = register_loops(ctx, outer)
    parts = [*thread_digits(ctx, m.warps, LANES), *fixed, *((loop.var, d) for loop, d in loops), *chosen, row]
    scalar = tuple(Loop(loop.var, loop.extent) for loop, _ in loops)
    number = numbered(loops)
    return RowAccess(count, scalar, coordinates(ctx, parts, m.shape), ctx.simplify(number * (count * m.word)))


def row_address(ctx: Context, buffer: Buffer, indices: Sequence[Expr], version: Expr | None) -> Address | None:
    """The address of the 16 bytes from `buffer[indices]` on; None if they may not be contiguous and aligned."""
    run = chunk(buffer.dtype.bits)
    root, coords = root_coordinates(ctx, buffer, indices)
    layout = ctx.shared_layout(root)
    shapes = (static_shape(buffer), static_shape(root))
    if contiguous_run(layout) % run or layout.size % run or any(shape[-1] % run for shape in shapes):
        return None
    if not ctx.divisible(coords[-1], run):
        return None
    return Address(ctx.store_for(root), (shared_offset(ctx, layout, coords),), version)


def check_atom(ctx: Context, s: AtomCall) -> None:
    """Raises TileError TD0311 for a product that the target has not, TD0343 where the rows of a shared tile that an
    instruction reads are not whole in memory."""
    atom = atom_named(s.atom)
    assert atom is not None, s.atom
    if atom.kind == "mma" and atom.feature not in ctx.target.features:
        c, a, b = (op.dtype for op in atom.operands)
        raise error("TD0311", s.span, a=a, b=b, c=c, feature=atom.feature, target=ctx.target.name)
    shared = [a for a in s.args if isinstance(a, Address) and a.buffer.space is Space.SHARED]
    for row in shared:
        if row_address(ctx, row.buffer, row.indices, row.version) is None:
            raise error("TD0343", s.span, atom=atom.name, buffer=row.buffer.name)


def matrix_call(kind: str, m: Matrices, access: RowAccess, registers: Buffer, first: Expr, row: Address) -> AtomCall:
    """ldmatrix or stmatrix between `row` and the registers from `first` on."""
    name = f"{kind}_x{access.count}" + ("_trans" if m.transposed else "")
    reg = first if access.reg == Const(0) else access.reg if first == Const(0) else total([(1, first), (1, access.reg)])
    held = Address(registers, (reg,))
    return AtomCall(name, (held, row) if kind == "ldmatrix" else (row, held))
