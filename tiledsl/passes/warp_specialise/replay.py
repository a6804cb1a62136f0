"""What says where to copy, and whether: values that the producer computes for itself, by the same statements.

A private buffer can be computed twice if that needs only what all roles can know: arguments, loop variables, tensors
that nobody writes, and other such buffers. What a statement needs includes the loops and conditionals around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiledsl.analysis.access import accesses, reach, storage_roots
from tiledsl.analysis.turns import decided_by
from tiledsl.ir.nodes import AtomicUpdate, Block, Buffer, Expr, For, If, Launch, Let, Node, Space, Stmt, Var
from tiledsl.ir.ops import Effect
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import walk

_PRIVATE = (Space.FRAGMENT, Space.LOCAL, Space.VAR)


def leaves(block: Block, around: tuple[Stmt, ...] = ()) -> Iterator[tuple[Stmt, tuple[Stmt, ...]]]:
    """The statements of `block` that are neither loops nor conditionals, each with those around it."""
    for s in block:
        match s:
            case For(body=body):
                yield from leaves(body, (*around, s))
            case If(_, then, orelse):
                yield from leaves((*then, *orelse), (*around, s))
            case _:
                yield s, around


@dataclass(frozen=True, slots=True)
class Needs:
    """Everything that some expressions depend on, directly or not: variables, and buffers that are read."""

    variables: frozenset[Var]
    buffers: frozenset[Buffer]
    replayed: tuple[Stmt, ...]  # the statements that write private buffers among these

    @property
    def private(self) -> frozenset[Buffer]:
        return frozenset(b for b in self.buffers if b.space in _PRIVATE)


class Replay:
    """The questions about a launch, over tables that are made once."""

    def __init__(self, launch: Launch) -> None:
        self.thread = launch.thread
        nodes = [n for s in launch.body for n in walk(s)]
        self.lets = {n.var: n.value for n in nodes if isinstance(n, Let)}
        self.results = {n.result for n in nodes if isinstance(n, AtomicUpdate)}
        self.roots = storage_roots(launch.body)
        self.written: set[Buffer] = set()
        self.writers: dict[Buffer, list[tuple[Stmt, tuple[Stmt, ...]]]] = {}
        for s, around in leaves(launch.body):
            for b in {a.buffer for a in accesses(s) if a.writes}:
                self.written.add(self.roots.get(b, b))
                self.writers.setdefault(b, []).append((s, around))

    def needs(self, wanted: Sequence[Node]) -> Needs:
        """What expressions and statements depend on, through binds, private buffers and the control flow around."""
        variables: set[Var] = set()
        buffers: set[Buffer] = set()
        replayed: dict[int, Stmt] = {}
        work = list(wanted)
        while work:
            node = work.pop()
            names, loads = reach(node, self.lets)
            variables |= names
            read = {l.buffer for l in loads}
            if isinstance(node, Stmt):
                read |= {a.buffer for a in accesses(node, self.lets)}
            for b in read - buffers:
                buffers.add(b)
                for s, around in self.writers.get(b, ()) if b.space in _PRIVATE else ():
                    if id(s) not in replayed:
                        replayed[id(s)] = s
                        work += [s, *decided_by(around)]
        return Needs(frozenset(variables), frozenset(buffers), tuple(replayed.values()))

    def why_not(self, wanted: Sequence[Expr]) -> str:
        """Why threads that only copy cannot evaluate `wanted`; empty if they can."""
        needs = self.needs(wanted)
        if self.thread in needs.variables:
            return "it depends on the number of the thread"
        values = [*wanted, *(self.lets[v] for v in needs.variables if v in self.lets)]
        if needs.variables & self.results or any(self._acts(n) for n in (*values, *needs.replayed)):
            return "an atomic operation or a call says where to copy"
        for b in sorted(needs.buffers, key=lambda b: b.name):
            if b.space is Space.GLOBAL:
                if self.roots.get(b, b) in self.written:
                    return f"'{b.name}', which says where to copy, is written by the kernel"
            elif b.space not in _PRIVATE:
                return f"'{b.name}', which says where to copy, is in {b.space.value} memory"
            elif b in self.roots or b in self.roots.values():
                return f"'{b.name}', which says where to copy, is used through a view"
        return ""

    def _acts(self, node: Node) -> bool:
        """Whether evaluating it does more than give a value, or takes other threads."""
        return any(isinstance(n, Expr) and effect_of(n) not in (Effect.PURE, Effect.READS) for n in walk(node))
