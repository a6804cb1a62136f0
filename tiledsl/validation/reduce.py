"""Delta debugging: the smallest kernel that is still interesting, by steps that each make it smaller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, cast

from tiledsl.errors import TileError, error
from tiledsl.ir.nodes import Buffer, Const, Kernel, Stmt
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import node_fields, walk
from tiledsl.validation.moves import FAMILIES, OPTIONS, Family

Interesting = Callable[[Kernel], bool]
Weight = tuple[int, ...]
INVALID = (TileError, TypeError, ValueError, KeyError, IndexError, AttributeError)  # of a kernel that no one may see


def reduce_kernel(kernel: Kernel, interesting: Interesting, progress: Callable[[str], None] | None = None) -> Kernel:
    """A smaller kernel for which `interesting` holds. No single step of `moves.FAMILIES` makes the result smaller.

    Every kernel that `interesting` is asked about is well-formed and survives its text. What it raises passes through.
    Raises TileError TD0732 if it does not hold for `kernel`. Deterministic, and the result reduces to itself.
    """
    if not interesting(kernel):
        raise error("TD0732", problem="it does not hold for the whole program")
    search = _Search(kernel, interesting, progress)
    while search.round():
        pass
    return search.kernel


class _Search:
    def __init__(self, kernel: Kernel, interesting: Interesting, progress: Callable[[str], None] | None) -> None:
        self.kernel, self.interesting, self.progress = kernel, interesting, progress
        self.weight = weight(kernel)
        self.refused: set[str] = set()  # texts that are not interesting

    def round(self) -> bool:
        """Every family once, to its end. Returns whether one made the kernel smaller."""
        before = self.kernel
        for family in FAMILIES:
            self.exhaust(family)
        return self.kernel is not before

    def exhaust(self, family: Family) -> None:
        """Takes each step that keeps the kernel interesting, going on from where the last one was."""
        position = 0
        while (taken := self.first(family, position)) is not None:
            position = taken
            if self.progress:
                statements, nodes = self.weight[:2]
                self.progress(f"{family.__name__.replace('_', ' ')}: {statements} statements, {nodes} nodes")

    def first(self, family: Family, start: int) -> int | None:
        """Takes the first step from number `start` on that can be; its number, or None."""
        steps = enumerate(family(self.kernel))
        return next((n for n, candidate in steps if n >= start and self.takes(candidate)), None)

    def takes(self, candidate: Kernel) -> bool:
        try:
            heavy = weight(candidate)
            if heavy >= self.weight:
                return False
            verify(candidate)
            said = text(candidate)
            if said in self.refused:
                return False
            again = parse(said)
            verify(again)
        except INVALID:
            return False
        if not self.interesting(again):
            self.refused.add(said)
            return False
        self.kernel, self.weight = again, weight(again)
        return True


def weight(kernel: Kernel) -> Weight:
    """Statements and rows of tables, nodes, the sum of all numbers, fields that are not at their default."""
    items = nodes = numbers = unusual = 0
    seen: set[Buffer] = set()
    for node in walk(kernel):
        if isinstance(node, Buffer):
            if node in seen:
                nodes += 1
                continue
            seen.add(node)
        items += isinstance(node, Stmt)
        nodes += 1
        if not isinstance(node, Stmt):
            items += sum(len(getattr(node, n)) for n in node_fields(type(node)) if n in _TABLES and getattr(node, n))
        for f in fields(cast(Any, node)):
            if f.compare and f.name != "name":
                value = getattr(node, f.name)
                numbers += _sum(value)
                unusual += f.default is not MISSING and value != f.default
        if isinstance(node, Const) and isinstance(node.value, float):
            numbers += {0.0: 0, 1.0: 1}.get(node.value, 2)
    return items, nodes, numbers, unusual


_TABLES = ("params", "sizes", "scratch", "results", "layouts", "safe_values", "shared", "handovers", "launches")


def _sum(value: Any) -> int:
    if isinstance(value, tuple):
        return sum(map(_sum, value))
    if isinstance(value, OPTIONS):
        return sum(_sum(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, bool):
        return int(value)
    return abs(value) if isinstance(value, int) else 0
