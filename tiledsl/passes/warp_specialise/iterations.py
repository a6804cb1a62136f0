"""The number of an iteration of a nest of loops, and whether it follows from their variables."""

from __future__ import annotations

from collections.abc import Mapping

from tiledsl.analysis.access import reach
from tiledsl.ir.nodes import Const, Expr, For, Stmt, Var


def is_regular(nest: tuple[Stmt, ...], lets: Mapping[Var, Expr]) -> bool:
    """Whether n follows from the loop variables: no conditionals, and extents of inner loops that are always the same.

    How often the outermost loop runs does not enter. `lets`: the values of all names of the launch. Sizes that are
    known at launch only do not count as always the same: n would be a product that may not fit in 32 bits.
    """
    variables: set[Var] = set()
    for s in nest:
        if not isinstance(s, For):
            return False
        used, loads = reach(s.extent, lets)
        if variables and (loads or used):
            return False
        variables.add(s.var)
    return True


def count_of(nest: tuple[Stmt, ...]) -> Expr:
    """n for the present iteration of a regular nest."""
    total: Expr = Const(0)
    for s in nest:
        assert isinstance(s, For)
        total = s.var if total == Const(0) else total * s.extent + s.var
    return total
