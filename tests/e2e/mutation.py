"""Single-fault mutants of a thread-stage kernel: each lacks one synchronisation or one versioning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from tiledsl.ir.nodes import (
    Address,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Buffer,
    Const,
    Kernel,
    Let,
    Load,
    Node,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.walk import map_children, rewrite, walk


@dataclass(frozen=True)
class Mutant:
    """`what` says which fault, and where the statement came from."""

    what: str
    kernel: Kernel


def mutants(kernel: Kernel) -> Iterator[Mutant]:
    """Every barrier, commit, wait and step of a version counter removed in turn, every wait weakened, every versioned
    buffer kept at version 0."""
    steps = _counter_steps(kernel)
    sites = [n for n in walk(kernel) if _is_site(n, steps)]
    for number, site in enumerate(sites):
        name = type(site).__name__
        yield Mutant(f"{name} {number} removed (line {site.span.line})", _at(kernel, number, (), steps))
        if isinstance(site, AsyncWait):
            weaker = replace(site, pending=site.pending + 1)
            what = f"{name} {number} lets {weaker.pending} pend (line {site.span.line})"
            yield Mutant(what, _at(kernel, number, (weaker,), steps))
    versioned = {n for n in walk(kernel) if isinstance(n, Buffer) and n.versions > 1}
    for buffer in sorted(versioned, key=lambda b: b.name):
        yield Mutant(f"'{buffer.name}' always at version 0", _unversioned(kernel, buffer))


def _counter_steps(kernel: Kernel) -> set[Buffer]:
    """The variables that the version of some access depends on, directly or through binds."""
    lets = {n.var: n.value for n in walk(kernel) if isinstance(n, Let)}
    versions = [n.version for n in walk(kernel) if isinstance(n, (Load, Store, Address)) and n.version is not None]
    found: set[Buffer] = set()
    while versions:
        for n in walk(versions.pop()):
            if isinstance(n, Load) and n.buffer.space is Space.VAR:
                found.add(n.buffer)
            elif isinstance(n, Var) and n in lets:
                versions.append(lets.pop(n))
    return found


def _is_site(node: Node, counters: set[Buffer]) -> bool:
    return isinstance(node, (Barrier, AsyncCommit, AsyncWait)) or (isinstance(node, Store) and node.buffer in counters)


def _at(kernel: Kernel, number: int, new: tuple[Stmt, ...], counters: set[Buffer]) -> Kernel:
    """The kernel with the `number`-th site replaced, counted in walking order."""
    sites = count()

    def visit(node: Node) -> Node | tuple[Node, ...]:
        if _is_site(node, counters):
            return new if next(sites) == number else node
        return map_children(node, visit)

    result = visit(kernel)
    assert isinstance(result, Kernel)
    return result


def _unversioned(kernel: Kernel, buffer: Buffer) -> Kernel:
    def visit(node: Node) -> Node:
        if isinstance(node, (Load, Store, Address)) and node.buffer is buffer:
            return replace(node, version=Const(0))
        return node

    result: Kernel = rewrite(kernel, visit)
    return result
