"""bulk-stores: tiles go from shared to global memory by the copy engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiledsl.analysis.access import accesses
from tiledsl.analysis.copy_engine import why_not_bulk
from tiledsl.analysis.vector_width import Divisors, assumed_divisors
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Block, Buffer, For, If, Kernel, Launch, Space, Stmt, View, While
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import statements
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage
from tiledsl.target import Target

Tiles = frozenset[Buffer]


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,))
def bulk_stores(kernel: Kernel, *, target: Target, enabled: bool = True) -> Kernel:
    """Copies of whole tiles from shared to global memory become bulk copies, in groups of the queue "store".

    The wait until a tile has been read stands before the next statement that writes it. In a loop that is the next
    iteration, so the store overlaps what comes before; the last one is waited for at the end of the program or role,
    because shared memory must outlive it.
    """
    if not enabled or "tma" not in target.features:
        return kernel
    divisors = assumed_divisors(kernel)
    return replace(kernel, launches=tuple(_launch(launch, divisors) for launch in kernel.launches))


def _launch(launch: Launch, divisors: Divisors) -> Launch:
    views = [s for s in statements(launch) if isinstance(s, View)]
    viewed = frozenset(b for v in views for b in (v.buffer, v.source))
    made, pending = _Writer(viewed, divisors).block(launch.body, frozenset())
    return replace(launch, body=_ended(made, pending))


def _ended(block: Block, pending: Tiles) -> Block:
    """The body of a launch or role, with the last wait."""
    return (*block, AsyncWait(0, "store", sources=True)) if pending else block


@dataclass(frozen=True, slots=True)
class _Writer:
    """`block` and `statement` take and give the tiles whose stores may be in flight before and after."""

    viewed: frozenset[Buffer]
    divisors: Divisors

    def block(self, block: Block, pending: Tiles) -> tuple[Block, Tiles]:
        out: list[Stmt] = []
        for s in block:
            made, pending = self.statement(s, pending)
            out += made
        return tuple(out), pending

    def statement(self, s: Stmt, pending: Tiles) -> tuple[Block, Tiles]:
        match s:
            case Roles(roles):
                ends = [_ended(*self.block(role.body, frozenset())) for role in roles]
                made = replace(s, roles=tuple(replace(r, body=body) for r, body in zip(roles, ends)))
                return ((*_awaited(pending, s), made), frozenset())
            case For(body=body) | While(body=body):
                inner, after = self.block(body, pending)
                if after - pending:  # the next iteration finds what this one left
                    inner, after = self.block(body, pending | after)
                return (replace(s, body=inner),), pending | after
            case If(_, then, orelse):
                a, after_a = self.block(then, pending)
                b, after_b = self.block(orelse, pending)
                return (replace(s, then=a, orelse=b),), after_a | after_b
        waits: Block = ()
        if pending & {a.buffer for a in accesses(s) if a.writes}:
            waits, pending = _awaited(pending, s), frozenset()
        if not self.is_store(s):
            return (*waits, s), pending
        assert isinstance(s, Copy)
        return (*waits, replace(s, bulk=True), AsyncCommit("store", span=s.span)), pending | {s.src.buffer}

    def is_store(self, s: Stmt) -> bool:
        if not isinstance(s, Copy) or s.src.buffer.space is not Space.SHARED or s.src.buffer in self.viewed:
            return False
        return not why_not_bulk(s, self.divisors)


def _awaited(pending: Tiles, before: Stmt) -> Block:
    return (AsyncWait(0, "store", sources=True, span=before.span),) if pending else ()
