"""Single-fault mutants of a thread-stage kernel: one synchronisation, guard, swizzle or versioning is not as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import count

from places import Place

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
    Role,
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
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Select,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    While,
)
from tiledsl.ir.printer import text
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import children, map_children, rewrite, walk

New = Node | tuple[Node, ...]


@dataclass(frozen=True)
class Mutant:
    """One fault of `kind`; `what` says which and where, `line` where the statement came from."""

    kind: str
    what: str
    line: int
    kernel: Kernel


def mutants(kernel: Kernel) -> Iterator[Mutant]:
    """Every statement that synchronises and every step of a counter removed in turn, or changed in its numbers,
    every guard and choice taken as true, every swizzle left out, every versioned buffer kept at version 0."""
    steps = _counter_steps(kernel)
    ordinals: Counter[tuple[str, str, str]] = Counter()
    for number, (site, place) in enumerate((n, p) for n, p in _placed(kernel, Place()) if _faults(n, steps)):
        name = _name(site)
        for kind, what, new in _faults(site, steps):
            ordinals[name, what, place] += 1
            said = f"{name} {what}, {place} #{ordinals[name, what, place]}"
            yield Mutant(kind, said, _line(site), _at(kernel, number, new, steps))
    versioned = {n for n in walk(kernel) if isinstance(n, Buffer) and n.versions > 1}
    for buffer in sorted(versioned, key=lambda b: b.name):
        yield Mutant("version", f"'{buffer.name}' always at version 0", 0, _unversioned(kernel, buffer))


def _placed(node: Node, place: Place) -> Iterator[tuple[Node, str]]:
    """`node` and everything below it, parents first, each with its place."""
    yield node, str(place)
    if isinstance(node, Launch):
        place.enter_launch()
    around = place.within_role if isinstance(node, Role) else place.within_loop if _is_loop(node) else nullcontext
    with around():
        for below in children(node):
            yield from _placed(below, place)


def _is_loop(node: Node) -> bool:
    """That stays one in the text."""
    match node:
        case For(kind=Vectorized() | Unrolled(factor=0)):
            return False
    return isinstance(node, For | While)


def _line(node: Node) -> int:
    return node.span.line if isinstance(node, Stmt) else 0


def _name(node: Node) -> str:
    match node:
        case Fence(kind):
            return f"Fence[{kind}]"
        case AsyncCommit(queue) | AsyncWait(_, queue):
            return f"{type(node).__name__}[{queue}]"
        case Arrive(barrier, bytes=n):
            return f"{'Arrive[expect]' if n else 'Arrive'} {barrier.buffer.name}"
        case Expect(barrier) | Await(barrier) | InitBarrier(barrier):
            return f"{type(node).__name__} {barrier.buffer.name}"
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
        kind = type(node).__name__
        return ((kind, "removed", ()), *((kind, what, new) for what, new in _other_forms(node)))
    match node:
        case BulkMove(rank=rank) if rank is not None:
            other = Binary("^", rank, Const(1, dtype_of(rank)))
            yielded = (("removed", ()), ("elsewhere", replace(node, rank=other)))
            fewer = (("of 16 bytes fewer", replace(node, lanes=node.lanes - 128 // node.src.buffer.dtype.bits)),)
            return tuple(("send", what, new) for what, new in (*yielded, *fewer))
        case TensorCopy() | BulkMove():
            return tuple(("multicast", what, new) for what, new in _fewer_blocks(node))
        case Store(buffer) if buffer in counters:
            return (("counter", f"of '{buffer.name}' removed", ()),)
        case If(cond, then) if cond != TRUE:
            first = f" of {_name(then[0])}" if then and isinstance(then[0], Arrive) else ""
            return (("guard", f"'{text(cond)}'{first} taken as true", replace(node, cond=TRUE)),)
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
