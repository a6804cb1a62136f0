"""simplify-indices: every expression in its normal form."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.ranges import Facts
from tiledsl.ir.nodes import Expr, Kernel
from tiledsl.ir.simplify import Simplifier
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.scoped import rewrite_launches


@kernel_pass()
def simplify_indices(kernel: Kernel) -> Kernel:
    """Brings every expression to its normal form, under the bounds that hold where it stands.

    Safe because `ir/simplify.py` gives an expression of the same value for all values of the variables in range, never
    touches one with effects, and does not change float arithmetic; ranges hold because each variable is bound once.
    """

    def simplified(e: Expr, facts: Facts) -> Expr:
        return facts.simplifier.simplify(e)

    result = rewrite_launches(kernel, simplified)
    plain = Simplifier({})
    grids = [tuple(plain.simplify(e) for e in launch.grid) for launch in kernel.launches]
    return replace(result, launches=tuple(replace(a, grid=grid) for a, grid in zip(result.launches, grids)))
