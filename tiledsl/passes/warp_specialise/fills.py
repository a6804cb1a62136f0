"""What brings a tile from global to shared memory, and how a producer can make it.

The copy engine is best: one thread starts it, and it counts bytes by itself. What it cannot do (rows that are not
aligned, a gather, a conversion, a transposition, arithmetic on the way) the threads of the producer do: with cp.async
where memory goes as it is, 4 bytes or more at a time, else through their registers.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tiledsl.analysis.access import accesses
from tiledsl.analysis.boxes import covers, whole_region
from tiledsl.analysis.elementwise import as_parallel
from tiledsl.analysis.vector_width import Divisors, widest_vector
from tiledsl.ir.nodes import TRUE, Buffer, Const, Expr, For, Let, Load, Select, Serial, Space, Stmt, Store, Var
from tiledsl.ir.tile import Copy, Parallel, Rearrangement
from tiledsl.ir.walk import substitute, walk

ENGINE, CP_ASYNC, REGISTERS = "the copy engine", "cp.async", "registers"
LEAST_BITS = 32  # of a cp.async
MOST_ACCESSES = 32  # of global memory by a thread, before the next part of a tile begins


def tile_of(s: Stmt) -> Buffer | None:
    """The tile in shared memory that `s` fills with what it reads in global memory; None for other statements."""
    match s:
        case Copy(src, dst) | Rearrangement(src, dst):
            moves = (src.buffer.space, dst.buffer.space) == (Space.GLOBAL, Space.SHARED)
            return dst.buffer if moves else None
        case Parallel():
            found = accesses(s)
            written = {a.buffer for a in found if a.writes}
            read = {a.buffer.space for a in found if a.reads and not a.via_index}
            tile = next(iter(written)) if len(written) == 1 else None
            moves = tile is not None and tile.space is Space.SHARED and Space.GLOBAL in read
            return tile if moves and Space.SHARED not in read else None
    return None


def sources_of(s: Stmt) -> set[Buffer]:
    """The tensors whose elements the tile gets."""
    return {a.buffer for a in accesses(s) if a.reads and not a.via_index and a.buffer.space is Space.GLOBAL}


def decided_within(s: Stmt) -> list[Expr]:
    """What says which elements a fill reads, and what becomes of them on the way."""
    if isinstance(s, Copy | Rearrangement):
        return [*s.src.offsets]
    return [n for n in walk(s) if isinstance(n, Expr)]


def why_not_by_threads(s: Stmt, tile: Buffer) -> str:
    """Why threads of a producer cannot make this fill; empty if they can."""
    if isinstance(s, Copy) and (s.asynchronous or s.bulk):
        return "the program waits for it by itself"
    whole = whole_region(tile)
    written = [a.region for a in accesses(s) if a.writes and a.exact and a.guard == TRUE and a.region is not None]
    if whole is None or not covers(written, whole):
        return f"it does not write all of '{tile.name}'"
    return ""


def how_by_threads(s: Stmt, divisors: Divisors, safe: frozenset[Buffer]) -> str:
    """cp.async or registers. Where lowering finds that cp.async cannot be, threads wait for what they have written."""
    loop = as_parallel(s)
    if loop is None or any(not isinstance(x, Let | Store) for x in loop.body) or sources_of(s) & safe:
        return REGISTERS
    bits = [_moved_bits(x) for x in loop.body if isinstance(x, Store)]
    return CP_ASYNC if all(b and widest_vector(loop, {}, divisors) * b >= LEAST_BITS for b in bits) else REGISTERS


def _moved_bits(s: Store) -> int:
    """The size of the element that a store moves from global memory as it is; 0 if it does anything else."""
    value = s.value
    while isinstance(value, Select) and isinstance(value.b, Const) and value.b.value == 0:
        value = value.a
    plain = isinstance(value, Load) and value.buffer.space is Space.GLOBAL and value.buffer.dtype is s.buffer.dtype
    return s.buffer.dtype.bits if plain else 0


def by_cp_async(s: Stmt) -> Stmt:
    """`s` with its stores marked to be cp.async."""
    match s:
        case Copy():
            return replace(s, asynchronous=True)
        case Parallel(body=body):
            return replace(s, body=tuple(replace(x, asynchronous=True) if isinstance(x, Store) else x for x in body))
    raise TypeError(f"{type(s).__name__} is no copy of threads")


def in_parts(s: Stmt, threads: int) -> Stmt:
    """`s`, or a loop over parts of it: `threads` threads have registers for so many accesses each at once."""
    loop = as_parallel(s)
    if loop is None:
        return s
    rows, below = loop.extents[0], prod(loop.extents[1:])
    count = rows * below // (threads * widest_vector(loop, {}, {}))
    fitting = (n for n in range(1, rows + 1) if rows % n == 0 and count <= n * MOST_ACCESSES)
    parts = next(fitting, rows)
    if parts == 1 or rows // parts * below % threads:
        return s
    part = Var("part")
    row = part * (rows // parts) + loop.vars[0]
    body = tuple(substitute(x, {loop.vars[0]: row}) for x in loop.body)
    piece = replace(loop, extents=(rows // parts, *loop.extents[1:]), body=body)
    return For(part, Const(parts), (piece,), Serial(), span=s.span)
