"""The memory of the tile stage on tokens: tiles with what is known of who touched them, tensors, and views."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.im2col import place_in
from tiledsl.ir.nodes import AsyncCommit, Buffer, Expr, Kernel, Launch, Load, Region, Space, Stmt, Var, static_shape
from tiledsl.ir.tile import Im2col, Source
from tiledsl.ir.walk import statements
from tiledsl.verifiers.order import Agent, Ordering, Place, Tile
from tiledsl.verifiers.values import Evaluator, GlobalMemory, Mask, as_number, as_token, both, initial, mix
from tiledsl.verifiers.world import GivenUp, World, tensors


@dataclass
class Trace:
    """What a run did: `left` counts (statement's kind, buffer, content) of every write, `first` has its order."""

    left: Counter[int] = field(default_factory=Counter)
    events: list[tuple[int, Stmt, str]] = field(default_factory=list)
    effects: list[tuple[int, Stmt]] = field(default_factory=list)
    memory: GlobalMemory = field(default_factory=lambda: GlobalMemory({}))


class TileMemory(Evaluator):
    """`agent` executes `statement` at the moment."""

    def __init__(self, kernel: Kernel, launch: Launch, world: World) -> None:
        super().__init__({**world.values, launch.thread: 0})
        self.names = tensors(kernel)
        self.trace = Trace(memory=GlobalMemory(world.shapes))
        self.tiles: dict[Buffer, Tile] = {}
        self.owners: dict[Buffer, Agent] = {}
        self.agent = Agent(0, "the block", launch.num_threads)
        self.ordering = Ordering(any(isinstance(s, Roles) for s in statements(launch)))
        self.statement: Stmt = AsyncCommit()

    def version(self, b: Buffer, version: Expr | None, on: Mask) -> Any:
        if version is None:
            if b.versions > 1:
                raise VerifyError(f"P8: an access to '{b.name}' names none of its versions", self.statement.span)
            return 0
        found = self.value(version, on)
        if np.any(np.asarray(found) < 0) or np.any(np.asarray(found) >= b.versions):
            raise VerifyError(f"P8: version {found} of '{b.name}', which has {b.versions}", self.statement.span)
        return found

    def tile(self, b: Buffer) -> Tile:
        if b not in self.tiles:
            extents = static_shape(b)
            one = initial(mix("nothing", *np.ogrid[tuple(slice(n) for n in extents)]), b.dtype)
            self.tiles[b] = Tile(np.broadcast_to(one.reshape(extents), (b.versions, *extents)).copy())
            self.owners[b] = self.agent
        return self.tiles[b]

    def mine(self, b: Buffer) -> Tile:
        """The tile, of which registers belong to the threads that allocated them."""
        tile = self.tile(b)
        if b.space is not Space.SHARED and self.owners.get(b, self.agent).number != self.agent.number:
            raise VerifyError(
                f"W14: {self.agent.name} uses '{b.name}', which is in the registers of {self.owners[b].name}",
                self.statement.span,
            )
        return tile

    def fetch(self, b: Buffer, version: Any, indices: list[Any], *, allowed: int = 0) -> Any:
        """Tokens of elements. Operations that are `allowed` may still write them."""
        if b.space is Space.VAR:
            return as_token(self.agent.scalars.get(b, 0))
        if b.space is Space.GLOBAL:
            return self.trace.memory.read(self.names[b], b.dtype, indices)
        tile = self.mine(b)
        at, inside = _clipped(b, version, indices)
        self.ordering.read(self.agent, b.name, tile, _chosen(at, inside), self.statement, allowed)
        return np.where(inside, tile.tokens[at], mix("outside", *indices))

    def put(self, b: Buffer, version: Any, indices: list[Any], tokens: Any, on: Mask, **how: int) -> None:
        """Stores tokens; an `operation` does it, others that are `allowed` may still write there."""
        if b.space is Space.GLOBAL:
            self.trace.memory.write(self.names[b], indices, tokens, on)
        else:
            tile = self.mine(b)
            at, inside = _clipped(b, version, indices)
            where, tokens, *spread = np.broadcast_arrays(both(inside, on), as_token(tokens), *at)
            at = tuple(x[where] for x in spread)
            self.ordering.write(self.agent, b.name, tile, at, self.statement, how.get("allowed", 0))
            tile.tokens[at] = tokens[where]
            if operation := how.get("operation", 0):
                self.ordering.issue(tile, at, operation, self.statement)
        chosen, tokens, *spread = np.broadcast_arrays(on, as_token(tokens), *indices)
        self.record(b, tokens[chosen], *(i[chosen] for i in spread))

    def record(self, b: Buffer, *content: Any) -> None:
        digest = hash((b.name, *(np.asarray(as_token(c)).tobytes() for c in content)))
        self.trace.left[digest] += 1
        self.trace.events.append((digest, self.statement, b.name))

    def load(self, e: Load, on: Mask) -> Any:
        b = e.buffer
        if b.space is Space.VAR:
            return self.agent.scalars.get(b, 0)
        indices = [self.value(i, on) for i in e.indices]
        token = self.fetch(b, self.version(b, e.version, on), [np.asarray(i) for i in indices])
        return as_number(token, b.dtype)

    def box(self, r: Source) -> list[Any]:
        """The indices of its elements, each along axes of its own where they do not depend on each other."""
        if isinstance(r, Im2col):
            return self.matrix(r)
        rank = len(r.extents)
        offsets = [self.value(o, True) for o in r.offsets]
        return [
            np.reshape(np.max(o) + np.arange(n), (1,) * d + (n,) + (1,) * (rank - d - 1))
            for d, (o, n) in enumerate(zip(offsets, r.extents))
        ]

    def matrix(self, r: Im2col) -> list[Any]:
        axes = Var("row"), Var("column")
        first = [np.max(self.value(o, True)) for o in r.offsets]
        self.env |= {v: o + i for v, o, i in zip(axes, first, np.ogrid[tuple(slice(n) for n in r.extents)])}
        return [np.asarray(self.value(i, True)) for i in place_in(r.buffer, r.window, *axes).coordinates]

    def read(self, r: Source, *, allowed: int = 0) -> Any:
        """Tokens of the region, dimensions of extent 1 dropped."""
        return self.whole(r, allowed=allowed).reshape([n for n in r.extents if n != 1])

    def whole(self, r: Source, *, allowed: int = 0) -> Any:
        """Tokens of the region."""
        version = self.version(r.buffer, r.version, True)
        return np.broadcast_to(self.fetch(r.buffer, version, self.box(r), allowed=allowed), r.extents)

    def write(self, r: Region, tokens: Any, **how: int) -> None:
        shaped = np.broadcast_to(tokens, [n for n in r.extents if n != 1]).reshape(r.extents)
        version = self.version(r.buffer, r.version, True)
        self.put(r.buffer, version, self.box(r), shaped, True, **how)

    def lend(self, r: Region, operation: int) -> None:
        """`operation` reads the region from here on, if it is on chip."""
        if r.buffer.space is not Space.GLOBAL:
            at, inside = _clipped(r.buffer, self.version(r.buffer, r.version, True), self.box(r))
            self.ordering.borrow(self.agent, self.tile(r.buffer), _chosen(at, inside), operation, self.statement)

    def fetch_all(self, b: Buffer) -> Any:
        return self.tile(b).tokens if b.space is not Space.VAR else as_token(self.agent.scalars.get(b, 0))

    def view(self, b: Buffer, source: Buffer) -> None:
        if b.dtype.bits != source.dtype.bits or source.space is Space.GLOBAL:
            raise GivenUp
        self.tiles[b] = self.tile(source).under((source.versions, *static_shape(b)))


def _clipped(b: Buffer, version: Any, indices: list[Any]) -> tuple[tuple[Any, ...], Any]:
    inside: Any = np.True_
    at = []
    for i, n in zip(indices, b.shape):
        assert isinstance(n, int)
        inside = inside & (i >= 0) & (i < n)
        at.append(np.clip(i, 0, n - 1))
    return (np.asarray(version), *at), inside


def _chosen(at: Place, inside: Any) -> Place:
    """The places that are inside of their buffer."""
    if np.all(inside):
        return at
    inside, *spread = np.broadcast_arrays(inside, *at)
    return tuple(x[inside] for x in spread)
