"""Which integers in tensors decide where something happens, and how large they may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isinf
from typing import Any

from tiledsl.analysis.ranges import launch_facts
from tiledsl.cpu.binding import host_value
from tiledsl.ir.dtypes import DType
from tiledsl.ir.nodes import (
    Address,
    AtomicUpdate,
    Binary,
    Buffer,
    Const,
    Expr,
    Extent,
    For,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Node,
    Region,
    Space,
    Stmt,
    Store,
    Var,
    View,
)
from tiledsl.ir.simplify import Simplifier
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import children, rewrite, statements, substitute, walk

Sizes = Mapping[Var, Any]
LONGEST = 150  # what a loop extent that comes from a tensor is bounded by
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


def index_limits(kernel: Kernel, sizes: Sizes) -> dict[Buffer, int]:
    """The integer tensors that indices, loop extents or comparisons with indices depend on, and the largest value.

    Values from 0 to the limit keep every access that depends on them alone inside of its buffer, as far as interval
    arithmetic can tell.
    """
    found: dict[Buffer, int] = {}
    for launch in kernel.launches:
        for buffer, limit in _Launch(kernel, launch, sizes).limits():
            found[buffer] = min(limit, found.get(buffer, limit))
    return found


@dataclass(frozen=True)
class _Use:
    """An expression that decides something; it should lie in 0 .. `most`."""

    value: Expr
    most: int


class _Launch:
    def __init__(self, kernel: Kernel, launch: Launch, sizes: Sizes) -> None:
        self.sizes = sizes
        known = {v: Const(int(n), v.dtype) for v, n in sizes.items() if v.dtype.is_integer}
        self.launch = substitute(launch, known)
        self.ranges = dict(launch_facts(kernel, self.launch).ranges)
        self.lets = {n.var: n.value for n in walk(self.launch) if isinstance(n, Let)}
        self.sources = self._flow()

    def limits(self) -> Iterator[tuple[Buffer, int]]:
        for use in self._uses():
            tensors = self._tensors(use.value)
            if tensors:
                limit = self._limit(use)
                yield from ((t, limit) for t in tensors)

    def _flow(self) -> dict[Node, frozenset[Buffer]]:
        """The integer tensors that variables and buffers have their values from."""
        flow: dict[Node, frozenset[Buffer]] = {}
        changed = True
        while changed:
            changed = False
            for s in statements(self.launch):
                for target, source in _moves(s):
                    now = flow.get(target, frozenset()) | self._tensors(source, flow)
                    if now != flow.get(target, frozenset()):
                        flow[target], changed = now, True
        return flow

    def _tensors(self, node: Node, flow: Mapping[Node, frozenset[Buffer]] | None = None) -> frozenset[Buffer]:
        flow = self.sources if flow is None else flow
        found: set[Buffer] = set()
        for n in walk(node):
            found |= flow.get(n, frozenset()) if isinstance(n, (Var, Buffer)) else frozenset()
            if isinstance(n, Buffer) and n.space is Space.GLOBAL and n.dtype.is_integer:
                found.add(n)
        return frozenset(found)

    def _uses(self) -> Iterator[_Use]:
        for n in walk(self.launch):
            match n:
                case Load() | Store() | Address() | AtomicUpdate():
                    for index, extent in zip(n.indices, n.buffer.shape):
                        yield _Use(index, self._extent(extent) - 1)
                case Region(buffer, offsets, extents):
                    for offset, extent, size in zip(offsets, buffer.shape, extents):
                        yield _Use(offset, self._extent(extent) - size)
                case For(_, extent):
                    yield _Use(extent, LONGEST)
                case Binary(op, a, b) if op in _COMPARISONS and dtype_of(a).is_integer:
                    for one, other in ((a, b), (b, a)):
                        if self._tensors(one) and not self._tensors(other):
                            high = self._bounds(other, 0)[1]
                            yield _Use(one, LONGEST if isinf(high) else int(min(high + 1, LONGEST)))

    def _extent(self, e: Extent) -> int:
        return host_value(e, self.sizes)

    def _limit(self, use: _Use) -> int:
        """The largest of most, most/2, ... 0 with which the use stays in its range; `most` if none does."""
        most = max(0, use.most)
        for halvings in range(most.bit_length() + 1):
            low, high = self._bounds(use.value, most >> halvings)
            if low >= 0 and high <= most:
                return most >> halvings
        return most

    def _bounds(self, e: Expr, limit: int) -> tuple[float, float]:
        """Of `e`, if all that is loaded for it lies in 0 .. `limit`."""
        loaded: dict[DType, Var] = {}

        def rule(n: Node) -> Node:
            if isinstance(n, Load) and n.buffer.dtype.is_integer and self._tensors(n):
                return loaded.setdefault(n.buffer.dtype, Var("loaded", n.buffer.dtype))
            return n

        inlined = substitute(e, self.lets)
        for _ in range(len(self.lets)):
            again = substitute(inlined, self.lets)
            if again is inlined:
                break
            inlined = again
        inlined = rewrite(inlined, rule)
        try:
            return Simplifier({**self.ranges, **{v: (0, limit) for v in loaded.values()}}).bounds(inlined)
        except TypeError:  # an index among machine integers
            return float("-inf"), float("inf")


def _moves(s: Stmt) -> Iterator[tuple[Var | Buffer, Node]]:
    """What `s` gives a value, and what it has it from."""
    match s:
        case Let(var, value):
            yield var, value
        case Store(buffer, _, value):
            yield buffer, value
        case View(buffer, source):
            yield buffer, source
            yield source, buffer
        case Move(dst, src):
            yield dst.buffer, src.buffer
        case AtomicUpdate(buffer=buffer, result=Var() as var):
            yield var, buffer
        case _:
            below = children(s)
            regions = {name: getattr(s, name, None) for name in ("src", "dst")}
            if isinstance(regions["src"], Region) and isinstance(regions["dst"], Region) and below:
                yield regions["dst"].buffer, regions["src"].buffer
