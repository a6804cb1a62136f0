"""Single-fault mutants of a thread-stage kernel: each lacks one synchronisation or one versioning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tiledsl.ir.nodes import (
    Address,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Buffer,
    Const,
    Kernel,
    Load,
    Node,
    Stmt,
    Store,
)
from tiledsl.ir.walk import rewrite, walk


@dataclass(frozen=True)
class Mutant:
    """`what` says which fault, and where the statement came from."""

    what: str
    kernel: Kernel


def mutants(kernel: Kernel) -> Iterator[Mutant]:
    """Every barrier, commit and wait removed in turn, every wait weakened, every versioned buffer kept at version 0."""
    sites = [n for n in walk(kernel) if isinstance(n, (Barrier, AsyncCommit, AsyncWait))]
    for number, site in enumerate(sites):
        name = type(site).__name__
        yield Mutant(f"{name} {number} removed (line {site.span.line})", _at(kernel, number, ()))
        if isinstance(site, AsyncWait):
            weaker = replace(site, pending=site.pending + 1)
            yield Mutant(
                f"{name} {number} lets {weaker.pending} pend (line {site.span.line})", _at(kernel, number, (weaker,))
            )
    versioned = {n for n in walk(kernel) if isinstance(n, Buffer) and n.versions > 1}
    for buffer in sorted(versioned, key=lambda b: b.name):
        yield Mutant(f"'{buffer.name}' always at version 0", _unversioned(kernel, buffer))


def _at(kernel: Kernel, number: int, new: tuple[Stmt, ...]) -> Kernel:
    """The kernel with the `number`-th synchronisation, in walking order, replaced."""
    seen = -1

    def visit(node: Node) -> Node | tuple[Node, ...]:
        nonlocal seen
        if isinstance(node, (Barrier, AsyncCommit, AsyncWait)):
            seen += 1
            return new if seen == number else node
        return node

    result: Kernel = rewrite(kernel, visit)
    return result


def _unversioned(kernel: Kernel, buffer: Buffer) -> Kernel:
    def visit(node: Node) -> Node:
        if isinstance(node, (Load, Store, Address)) and node.buffer is buffer:
            return replace(node, version=Const(0))
        return node

    result: Kernel = rewrite(kernel, visit)
    return result
