"""expand-lets: names for pure integer expressions are replaced by what they stand for."""

from __future__ import annotations

from collections.abc import Iterator

from tiledsl.ir.dtypes import BOOL
from tiledsl.ir.nodes import Call, Extern, Kernel, Let, Node, Stmt, Var
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import Parallel
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import children, rewrite, walk
from tiledsl.passes.base import kernel_pass

LARGEST = 24  # nodes: beyond, a value that belongs to no Parallel loop is computed once, as it was written


@kernel_pass()
def expand_lets(kernel: Kernel) -> Kernel:
    """Replaces variables bound to pure index, integer and boolean expressions by these expressions.

    Later passes then see what an index depends on: planners of pipelines the loop variable, layout inference the
    variables of a Parallel loop. Safe because every variable is bound once, so that a value without loads is the same
    wherever its variable is in scope. A load stays where it is, since a store may come between the let and its use, and
    what has an effect is neither moved nor duplicated. Large expressions stay too, unless they are in a Parallel loop.
    """
    expanded = set(_expandable(kernel, in_parallel=False))
    values: dict[Var, Node] = {}

    def rule(node: Node) -> Node | tuple[Node, ...]:
        match node:
            case Let(var, value) if var in expanded:
                values[var] = value
                return ()
            case Var():
                return values.get(node, node)
        return node

    result: Kernel = rewrite(kernel, rule) if expanded else kernel
    return result


def _expandable(node: Node, in_parallel: bool) -> Iterator[Var]:
    match node:
        case Let(var, value) if var.dtype.is_integer or var.dtype is BOOL:
            nodes = list(walk(value))
            is_cheap = not any(isinstance(n, (Call, Extern)) for n in nodes)
            if is_cheap and effect_of(value) is Effect.PURE and (in_parallel or len(nodes) <= LARGEST):
                yield var
        case Parallel():
            in_parallel = True
    for child in children(node):
        if isinstance(child, Stmt) or not isinstance(node, Stmt):
            yield from _expandable(child, in_parallel)
