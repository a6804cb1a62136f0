"""How accesses move from one iteration of a vectorised loop, a lane, to the next."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.analysis.alignment import element_alignment, row_strides
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Address, Buffer, Const, Expr, Load, Node, Store, Var
from tiledsl.ir.simplify import Simplifier
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import walk

ACCESS_BITS = 128  # of the widest access that one thread makes: PTX ISA, "ld", "st", .v4.b32


@dataclass(frozen=True)
class Run:
    """An access whose lanes are neighbours: `indices` of lane 0, `width` lanes (a power of two) at a time aligned."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    version: Expr | None
    width: int

    def address(self, lane: int = 0) -> Address:
        *outer, last = self.indices
        moved = Const(int(last.value) + lane) if isinstance(last, Const) else last + lane if lane else last
        return Address(self.buffer, (*outer, moved), self.version)


def mentions(node: Node | None, variables: set[Var]) -> bool:
    return node is not None and any(n in variables for n in walk(node) if isinstance(n, Var))


def run_of(access: Load | Store, lane: Var, lanes: int, simplifier: Simplifier) -> Run | None:
    """The run that `access` makes over the lanes 0 .. lanes - 1; None if they are not neighbours.

    `lanes` is a power of two. The width is 1 where nothing wider is aligned, or where elements are smaller than a byte.
    """
    if not access.indices or mentions(access.version, {lane}) or row_strides(access.buffer)[-1] != Const(1):
        return None
    *outer, last = (simplifier.simplify(i) for i in access.indices)
    if dtype_of(last) is not INDEX:
        return None
    base = simplifier.simplify(last - lane) if lanes > 1 else last
    if any(mentions(i, {lane}) for i in (*outer, base)):
        return None
    indices = (*outer, base)
    bits = access.buffer.dtype.bits
    width = min(lanes, ACCESS_BITS // bits, element_alignment(access.buffer, indices, simplifier))
    return Run(access.buffer, indices, access.version, width if width * bits >= 8 else 1)


def is_invariant(access: Load, lane: Var, simplifier: Simplifier) -> bool:
    """Whether every lane reads the same element."""
    where = [simplifier.simplify(i) for i in access.indices]
    return not any(mentions(e, {lane}) for e in (*where, access.version))
