"""Single-fault mutants of a thread-stage kernel: one synchronisation, guard, swizzle or versioning is not as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    BulkMove,
    ClusterBarrier,
    Expect,
    Fence,
    InitBarrier,
    NamedArrive,
    NamedSync,
    SetRegisters,
    TensorCopy,
    members,
)
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
    """Every statement that synchronises and every step of a counter removed in turn, or changed in its numbers,
    every guard and choice taken as true, every swizzle left out, every versioned buffer kept at version 0."""
    steps = _counter_steps(kernel)
    ordinals: Counter[str] = Counter()
    for number, site in enumerate(n for n in walk(kernel) if _faults(n, steps)):
        name = _name(site)
        ordinals[name] += 1
        for kind, what, new in _faults(site, steps):
            yield Mutant(kind, f"{name} #{ordinals[name]} {what}", _at(kernel, number, new, steps))
    versioned = {n for n in walk(kernel) if isinstance(n, Buffer) and n.versions > 1}
    for buffer in sorted(versioned, key=lambda b: b.name):
        yield Mutant("version", f"'{buffer.name}' always at version 0", _unversioned(kernel, buffer))


def _name(node: Node) -> str:
    match node:
        case Fence(kind):
            return f"Fence[{kind}]"
        case AsyncCommit(queue) | AsyncWait(_, queue):
            return f"{type(node).__name__}[{queue}]"
        case Arrive(bytes=n) if n:
            return "Arrive[expect]"
    return type(node).__name__


SYNCHRONISES = (
    *(Barrier, ClusterBarrier, AsyncCommit, AsyncWait, InitBarrier, Arrive, Expect, Await, Fence, SetRegisters),
    *(NamedSync, NamedArrive),
)


def _other_forms(node: Node) -> Iterator[tuple[str, New]]:
    """What else than itself, or nothing, may stand at a statement that synchronises."""
    match node:
        case AsyncWait(pending, queue, sources):
            yield f"lets {pending + 1} pend", replace(node, pending=pending + 1)
            if queue == "store" and not sources:
                yield "for the sources only", replace(node, sources=True)
        case InitBarrier(_, arrivals):
            yield "counts an arrival more", replace(node, count=arrivals + 1)
            yield "counts an arrival fewer", replace(node, count=arrivals - 1)
        case Arrive(_, n):
            yield "twice", (node, node)
            yield from _fewer_blocks(node)
            if n:
                yield "expects 16 bytes more", replace(node, bytes=n + 16)
                yield "expects 16 bytes fewer", replace(node, bytes=n - 16)
        case Expect(_, n):
            yield "expects 16 bytes more", replace(node, bytes=n + 16)
            yield "expects 16 bytes fewer", replace(node, bytes=n - 16)
        case Await(_, parity):
            yield "for the other parity", replace(node, parity=Binary("^", parity, Const(1, dtype_of(parity))))
        case NamedSync(number, threads) | NamedArrive(number, threads):
            yield "at the next barrier", replace(node, id=Binary("+", number, Const(1, dtype_of(number))))
            yield "for a warpgroup more", replace(node, count=threads + 128)
            yield "for a warpgroup fewer", replace(node, count=threads - 128)
        case SetRegisters(registers, increase):
            more = registers + (8 if increase else 16)
            yield f"{more} of them", replace(node, count=more)


def _fewer_blocks(node: Arrive | TensorCopy | BulkMove) -> Iterator[tuple[str, New]]:
    """At each block of the cluster less."""
    for rank in members(node.ranks):
        left = node.ranks & ~(1 << rank)
        yield f"not at block {rank}", replace(node, ranks=left) if left else ()


def _faults(node: Node, counters: set[Buffer]) -> tuple[tuple[str, str, New], ...]:
    """What may go wrong at a node: the kind of fault, which one, and what stands there then."""
    if isinstance(node, SYNCHRONISES):
        kind, line = type(node).__name__, f"(line {node.span.line})"
        return ((kind, f"removed {line}", ()), *((kind, f"{what} {line}", new) for what, new in _other_forms(node)))
    match node:
        case TensorCopy() | BulkMove():
            return tuple(("multicast", f"{what} (line {node.span.line})", new) for what, new in _fewer_blocks(node))
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
    """The variables on which it depends, directly or through binds, which version is accessed, or which barrier and
    which phase of it awaited."""
    lets = {n.var: n.value for n in walk(kernel) if isinstance(n, Let)}
    selecting = [n.version for n in walk(kernel) if isinstance(n, (Load, Store, Address)) and n.version is not None]
    for n in walk(kernel):
        if isinstance(n, Address) and n.buffer.space is Space.BARRIER:
            selecting += n.indices
        elif isinstance(n, Await):
            selecting.append(n.parity)
    found: set[Buffer] = set()
    while selecting:
        for n in walk(selecting.pop()):
            if isinstance(n, Load) and n.buffer.space is Space.VAR:
                found.add(n.buffer)
            elif isinstance(n, Var) and n in lets:
                selecting.append(lets.pop(n))
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
