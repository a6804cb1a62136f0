"""bulk-loads: tiles that no pipeline copies come from global to shared memory by the copy engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import accesses
from tiledsl.analysis.bulk_loads import Engine, Loads, is_load, tiles_of
from tiledsl.analysis.copy_engine import bulk_bytes, by_threads
from tiledsl.analysis.turns import count_of, is_regular, nest_of
from tiledsl.ir.concurrent import Arrive, Await
from tiledsl.ir.dtypes import INT32, UINT64
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Binary,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Load,
    Space,
    Stmt,
    Store,
    While,
)
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import map_blocks, statements
from tiledsl.passes.base import kernel_pass, with_launches
from tiledsl.passes.facts import tile_stage
from tiledsl.target import Target
from tiledsl.verifiers.roles import verify_roles


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,), verify=verify_roles)
def bulk_loads(kernel: Kernel, *, target: Target, copy_engine: Engine = Engine.AUTO) -> Kernel:
    """Copies of whole tiles from global to shared memory become bulk copies, in launches without roles.

    Copies next to each other share a barrier in shared memory, on which one thread announces their bytes. All threads
    wait for it where one of the tiles is first used, at the latest at the end of the block. `copy_engine`: for all
    tiles that it can bring ("always"), for those for which that pays ("auto"), or for none ("never").
    """
    launches = []
    for launch in kernel.launches:
        loads = Loads(kernel, launch, target, Engine(copy_engine))
        launches.append(launch if loads.never else _launch(launch, loads))
    return with_launches(kernel, launches)


def _launch(launch: Launch, loads: Loads) -> Launch:
    writer = _Writer(loads)
    body = writer.block(launch.body)
    if not writer.declared and not writer.notes:
        return launch
    notes = (*launch.notes, *dict.fromkeys(writer.notes))
    return replace(launch, body=(*writer.declared, *body), notes=notes)


@dataclass(slots=True)
class _Writer:
    loads: Loads
    around: list[Stmt] = field(default_factory=list)  # loops and conditionals, outermost first
    declared: list[Stmt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        waits: dict[int, list[Stmt]] = {}
        i = 0
        while i < len(block):
            out += waits.pop(i, ())
            together = self.together(block[i : min(waits, default=len(block))])
            if not together:
                out += self.statement(block[i])
                i += 1
                continue
            full = self.barrier(together)
            last = i + len(together)
            used = next((j for j in range(last, len(block)) if _uses(block[j], together)), len(block))
            waits.setdefault(used, []).extend(self.waits(full, together))
            out += self.issued(full, together)
            i = last
        return (*out, *waits.pop(len(block), ()))

    def statement(self, s: Stmt) -> Block:
        if not isinstance(s, For | If | While):
            return (s,)
        self.around.append(s)
        made = map_blocks(s, self.block)
        self.around.pop()
        return (made,)

    def together(self, block: Block) -> list[Copy]:
        """The copies that `block` begins with and that the copy engine makes, up to one into the same tile."""
        found: list[Copy] = []
        for s in block:
            if not isinstance(s, Copy) or not is_load(s) or s.dst.buffer in tiles_of(found):
                break
            if why := self.loads.why_not(s, self.around):
                self.notes.append(by_threads(s, why))
                break
            found.append(s)
        return found

    def barrier(self, copies: list[Copy]) -> Buffer:
        name = "_".join(b.name for b in tiles_of(copies))
        full = Buffer(f"{name}_full", (1,), UINT64, Space.BARRIER)
        self.declared.append(Alloc(full, Const(1, UINT64)))
        for s in copies:
            self.notes.append(f"copy to {s.dst.buffer.name} at line {s.span.line}: by the copy engine")
        return full

    def issued(self, full: Buffer, copies: list[Copy]) -> Iterator[Stmt]:
        at = Address(full, (Const(0),))
        yield Arrive(at, sum(map(bulk_bytes, copies)), "one", span=copies[0].span)
        yield from (replace(s, bulk=True, barrier=at) for s in copies)

    def waits(self, full: Buffer, copies: list[Copy]) -> Iterator[Stmt]:
        """The wait for the phase of this turn: computed from the loops around where these are regular, else kept."""
        at, tiles, span = Address(full, (Const(0),)), tiles_of(copies), copies[0].span
        nest = nest_of(self.around)
        if is_regular(nest, self.loads.lets):
            phase: Expr = count_of(nest) % 2 if nest else Const(0)
            yield Await(at, phase, tiles, span=span)
            return
        kept = Buffer("phase", (), INT32, Space.VAR)
        self.declared.append(Alloc(kept, Const(0, INT32)))
        yield Await(at, Load(kept, ()), tiles, span=span)
        yield Store(kept, (), Binary("-", Const(1, INT32), Load(kept, ())), span=span)


def _uses(s: Stmt, copies: list[Copy]) -> bool:
    """Whether `s` touches one of the tiles, or leaves the iteration."""
    tiles = tiles_of(copies)
    leaves = any(isinstance(x, Break | Continue) for x in (s, *statements(s)))
    return leaves or any(a.buffer in tiles for a in accesses(s))
