"""How often something has happened when the loops around it are in some iteration: the turns of rings of barriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import dropwhile

from tiledsl.analysis.access import reach
from tiledsl.ir.nodes import Break, Const, Continue, Expr, For, If, Stmt, Var, While
from tiledsl.ir.walk import statements


def nest_of(around: Sequence[Stmt]) -> tuple[Stmt, ...]:
    """What is around from the outermost loop on: what stands outside of that is executed at most once."""
    return tuple(dropwhile(lambda s: isinstance(s, If), around))


def decided_by(around: Sequence[Stmt]) -> list[Expr]:
    """What says how often statements inside of `around` are executed."""
    return [s.extent if isinstance(s, For) else s.cond for s in around if isinstance(s, For | If | While)]


def is_regular(nest: Sequence[Stmt], lets: Mapping[Var, Expr]) -> bool:
    """Whether the number of iterations so far follows from the loop variables.

    No conditionals, no iteration that is left half-way, and extents of inner loops that are always the same; how often
    the outermost loop runs does not enter. `lets`: the values of all names of the launch. Sizes that are known at
    launch only do not count as always the same: the number would be a product that may not fit in 32 bits.
    """
    variables: set[Var] = set()
    for s in nest:
        if not isinstance(s, For) or any(isinstance(x, Break | Continue) for x in statements(s)):
            return False
        used, loads = reach(s.extent, lets)
        if variables and (loads or used):
            return False
        variables.add(s.var)
    return True


def count_of(nest: Sequence[Stmt]) -> Expr:
    """The number of iterations before the present one of a regular nest."""
    total: Expr = Const(0)
    for s in nest:
        assert isinstance(s, For)
        total = s.var if total == Const(0) else total * s.extent + s.var
    return total
