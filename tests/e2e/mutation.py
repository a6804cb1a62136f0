"""Single-fault mutants of a thread-stage kernel: each lacks one synchronisation, guard, swizzle or versioning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from tiledsl.ir.nodes import (
    TRUE,
    Address,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Binary,
    Buffer,
    Const,
    If,
    Kernel,
    Let,
    Load,
    Node,
    Select,
    Space,
    Store,
    Var,
)
from tiledsl.ir.printer import text
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import map_children, rewrite, walk

New = Node | tuple[Node, ...]


@dataclass(frozen=True)
class Mutant:
    """One fault of `kind`; `what` says which, and where the statement came from."""

    kind: str
    what: str
    kernel: Kernel


def mutants(kernel: Kernel) -> Iterator[Mutant]:
    """Every barrier, commit, wait and step of a version counter removed in turn, every wait weakened, every guard and
    choice taken as true, every swizzle left out, every versioned buffer kept at version 0."""
    steps = _counter_steps(kernel)
    for number, site in enumerate(n for n in walk(kernel) if _faults(n, steps)):
        for kind, what, new in _faults(site, steps):
            yield Mutant(kind, f"{type(site).__name__} {number} {what}", _at(kernel, number, new, steps))
    versioned = {n for n in walk(kernel) if isinstance(n, Buffer) and n.versions > 1}
    for buffer in sorted(versioned, key=lambda b: b.name):
        yield Mutant("version", f"'{buffer.name}' always at version 0", _unversioned(kernel, buffer))


def _faults(node: Node, counters: set[Buffer]) -> tuple[tuple[str, str, New], ...]:
    """What may go wrong at a node: the kind of fault, which one, and what stands there then."""
    match node:
        case Barrier() | AsyncCommit():
            return ((type(node).__name__, f"removed (line {node.span.line})", ()),)
        case AsyncWait(pending):
            weaker = replace(node, pending=pending + 1)
            return (
                ("AsyncWait", f"removed (line {node.span.line})", ()),
                ("AsyncWait", f"lets {weaker.pending} pend (line {node.span.line})", weaker),
            )
        case Store(buffer) if buffer in counters:
            return (("counter", f"removed (line {node.span.line})", ()),)
        case If(cond) if cond != TRUE:
            return (("guard", f"'{text(cond)}' taken as true (line {node.span.line})", replace(node, cond=TRUE)),)
        case Select(cond, a):
            return (("selection", f"'{text(cond)}' taken as true", a),)
        case Binary("^", a) if dtype_of(node).is_integer:
            return (("swizzle", f"'{text(node)}' without the right side", a),)
    return ()


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


def _at(kernel: Kernel, number: int, new: New, counters: set[Buffer]) -> Kernel:
    """The kernel with the `number`-th site replaced, counted in walking order."""
    sites = count()

    def visit(node: Node) -> New:
        if not _faults(node, counters):
            return map_children(node, visit)
        if next(sites) == number:
            return new
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
