"""Reducers, gathered: the loops that update one accumulate into tiles of their own, and its end reduces these.

A point of a T.Parallel loop that updates `r[i]` has an element of a hidden fragment to itself: the indices of `r`, and
the loop's variables that are none of these. So threads accumulate in registers, without looking at each other; what
they have is combined once, by reductions of the hidden fragments at T.finalize_reducer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from tiledsl.errors import TileError, error
from tiledsl.ir.combine import COMBINE, identity
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Block,
    Buffer,
    Const,
    Expr,
    Launch,
    Load,
    Node,
    Region,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.tile import Fill, Parallel, Reduce
from tiledsl.ir.walk import map_children, walk

Shape: TypeAlias = "tuple[int, ...]"
_UNFINISHED = "is updated, but T.finalize_reducer never combines its parts"


def without_reducers(launch: Launch, reducers: Mapping[Buffer, str]) -> Launch:
    """The launch with ordinary fragments in place of `reducers`, which map each to what it computes.

    Raises TileError TD0265 for a reducer that is used in another way.
    """
    gatherer = _Gatherer(reducers, _partials(launch, reducers))
    body = tuple(s for stmt in launch.body for s in gatherer.statement(stmt))
    for buffer, stmt in gatherer.pending.items():
        raise misused(buffer, stmt, _UNFINISHED)
    return replace(launch, body=body)


def misused(buffer: Buffer, at: Stmt, what: str) -> TileError:
    return error("TD0265", at.span, name=buffer.name, what=what)


def _partials(launch: Launch, reducers: Mapping[Buffer, str]) -> dict[Buffer, dict[Shape, Buffer]]:
    """The hidden fragment for each kind of loop that updates a reducer: by the extents of its further variables."""
    found: dict[Buffer, dict[Shape, Buffer]] = {b: {} for b in reducers}
    for loop in (n for n in walk(launch) if isinstance(n, Parallel)):
        for s in (n for n in walk(loop) if isinstance(n, Store) and n.buffer in reducers):
            further = _further(loop, s)
            shape = tuple(loop.extents[loop.vars.index(v)] for v in further)
            if shape:
                whole = (*_extents(s.buffer), *shape)
                partial = Buffer(f"{s.buffer.name}_partial", whole, s.buffer.dtype, Space.FRAGMENT)
                found[s.buffer].setdefault(shape, partial)
    return found


def _extents(buffer: Buffer) -> Shape:
    return tuple(e for e in buffer.shape if isinstance(e, int))


def _further(loop: Parallel, update: Store) -> tuple[Var, ...]:
    """The variables of the loop that are no indices of the updated element."""
    used: list[Var] = []
    for index, extent in zip(update.indices, update.buffer.shape):
        if isinstance(index, Var) and index in loop.vars and index not in used:
            used.append(index)
        elif not (isinstance(index, Const) and extent == 1):
            what = "has indices that are not different variables of the T.Parallel loop"
            raise misused(update.buffer, update, what)
    return tuple(v for v in loop.vars if v not in used)


class _Gatherer:
    """`pending` are the reducers whose parts have not been combined yet, with their last update; `set` have values."""

    def __init__(self, reducers: Mapping[Buffer, str], partials: Mapping[Buffer, Mapping[Shape, Buffer]]) -> None:
        self.reducers, self.partials = reducers, partials
        self.pending: dict[Buffer, Stmt] = {}
        self.set: set[Buffer] = set()
        self.loop: Parallel | None = None
        self.at: Stmt | None = None  # what is looked at

    def statement(self, s: Stmt) -> Block:
        self.at = s
        match s:
            case Alloc(buffer) if buffer in self.reducers:
                return (s, *(Alloc(p, span=s.span) for p in self.partials[buffer].values()))
            case Fill(Region(buffer)) if buffer in self.reducers:
                return self.fill(s)
            case Reduce(Region(buffer), Region(same)) if buffer is same and buffer in self.reducers:
                return self.finalize(s)
            case Store(buffer) if buffer in self.reducers:
                return (self.update(s),)
            case Parallel():
                self.loop = s
                result = self.below(s)
                self.loop = None
                return (result,)
        return (self.below(s),)

    def below(self, s: Stmt) -> Stmt:
        return map_children(s, self.visit)

    def visit(self, node: Node) -> Node | Block:
        match node:
            case Stmt():
                return self.statement(node)
            case Load(buffer) | Region(buffer) if buffer in self.pending:
                assert self.at is not None
                raise misused(buffer, self.at, "is used before T.finalize_reducer has combined its parts")
        return map_children(node, self.visit)

    def fill(self, s: Fill) -> Block:
        buffer = s.dst.buffer
        self.set.add(buffer)
        self.pending.pop(buffer, None)
        start = identity(COMBINE[self.reducers[buffer]], buffer.dtype)
        return (s, *(Fill(_whole(p), start, span=s.span) for p in self.partials[buffer].values()))

    def update(self, s: Store) -> Stmt:
        """The same update of the element of the hidden fragment that belongs to the point of the loop."""
        buffer, op = s.buffer, COMBINE[self.reducers[s.buffer]].op
        value = _combined(s, op)
        if value is None or self.loop is None:
            other = f"is stored to, but not by its operator, {self.reducers[buffer]}"
            what = other if value is None else "is updated outside of a T.Parallel loop"
            raise misused(buffer, s, what)
        if buffer not in self.set:
            raise misused(buffer, s, "is updated before it has a value")
        self.visit(value)
        self.pending[buffer] = s
        further = _further(self.loop, s)
        if not further:
            return s  # no other point updates the element
        shape = tuple(self.loop.extents[self.loop.vars.index(v)] for v in further)
        at = (*s.indices, *further)
        partial = self.partials[buffer][shape]
        return Store(partial, at, Binary(op, Load(partial, at), value), span=s.span)

    def finalize(self, s: Reduce) -> Block:
        buffer = s.dst.buffer
        self.pending.pop(buffer, None)
        return tuple(r for p in self.partials[buffer].values() for r in _reductions(p, s, self.reducers[buffer]))


def _whole(buffer: Buffer) -> Region:
    extents = _extents(buffer)
    return Region(buffer, (Const(0, INDEX),) * len(extents), extents)


def _combined(s: Store, op: str) -> Expr | None:
    """What the store combines the element with by `op`; None if it does something else."""
    match s.value:
        case Binary(found, Load(buffer, at), value) if (found, buffer, at) == (op, s.buffer, s.indices):
            return value
        case Binary(found, value, Load(buffer, at)) if (found, buffer, at) == (op, s.buffer, s.indices):
            return value
    return None


def _reductions(partial: Buffer, s: Reduce, op: str) -> Iterator[Stmt]:
    """`partial` into the reducer, whose own value takes part, dimension by dimension from the last."""
    result = s.dst.buffer
    least = len(result.shape)
    source = partial
    while len(source.shape) > least + 1:
        shape = _extents(source)[:-1]
        narrower = Buffer(partial.name, shape, partial.dtype, Space.FRAGMENT)
        yield Alloc(narrower, span=s.span)
        yield Reduce(_whole(source), _whole(narrower), op, len(shape), span=s.span)
        source = narrower
    yield Reduce(_whole(source), _whole(result), op, least, clear=False, span=s.span)
