"""Which elements of shared memory a statement of the thread stage touches itself, and where its blocks are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd, prod

from tiledsl.analysis.access import AccessKind, negated
from tiledsl.ir.concurrent import Arrive, Await, BulkMove, Expect, InitBarrier, Roles, TensorCopy
from tiledsl.ir.nodes import (
    Address,
    AtomCall,
    AtomicUpdate,
    Binary,
    Block,
    Buffer,
    Const,
    Descriptor,
    Expr,
    For,
    If,
    Let,
    Load,
    Move,
    Node,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    While,
    static_shape,
)
from tiledsl.ir.walk import children
from tiledsl.isa.table import atom_named

# Buffer, indices, version, bytes, kind, issued, and the conditions within the statement under which it happens.
Touch = tuple[Buffer, tuple[Expr, ...], Expr | None, int, AccessKind, bool, tuple[Expr, ...]]


def touches(s: Stmt) -> Iterator[Touch]:
    """The accesses to shared memory that `s` itself makes, not those of its blocks."""
    read, write = AccessKind.READ, AccessKind.WRITE
    match s:
        case Store(buffer, indices, value, version, asynchronous):
            yield from _loads(value, *indices, version)
            yield buffer, indices, version, _bytes(buffer, 1), write, asynchronous, ()
        case AtomicUpdate(_, buffer, indices, value):
            yield from _loads(value, *indices)
            yield buffer, indices, None, _bytes(buffer, 1), AccessKind.ATOMIC, False, ()
        case Move(dst, src, lanes):
            for address, kind in ((src, read), (dst, write)):
                yield from _loads(*address.indices, address.version)
                yield address.buffer, address.indices, address.version, _bytes(address.buffer, lanes), kind, False, ()
        case AtomCall(atom, args):
            yield from _atom(atom, args)
        case TensorCopy() | BulkMove():
            lanes = s.lanes if isinstance(s, BulkMove) else prod(s.box)
            for address, kind in ((s.src, read), (s.dst, write)):
                yield from _loads(*address.indices, address.version)
                yield address.buffer, address.indices, address.version, _bytes(address.buffer, lanes), kind, True, ()
            yield from _loads(*(s.barrier.indices if s.barrier is not None else ()))
            yield from _loads(*(s.tap if isinstance(s, TensorCopy) else (s.rank,)))
        case InitBarrier(barrier) | Arrive(barrier) | Expect(barrier) | Await(barrier):
            rest = s.parity if isinstance(s, Await) else s.bytes if isinstance(s, Expect) else None
            yield from _loads(*barrier.indices, rest)
        case For(extent=extent):
            yield from _loads(extent)
        case If(cond=cond) | While(cond=cond):
            yield from _loads(cond)
        case _:
            yield from _loads(*(c for c in children(s) if isinstance(c, Expr)))


def _atom(name: str, args: tuple[Expr, ...]) -> Iterator[Touch]:
    row = atom_named(name)
    assert row is not None, name
    for a in args:
        match a:
            case Address(buffer, indices, version):
                yield from _loads(*indices, version)
                kind = AccessKind.WRITE if row.kind in ("stmatrix", "cp_async") else AccessKind.READ
                yield buffer, indices, version, row.bytes, kind, row.kind == "cp_async", ()
            case Descriptor(start):  # which bytes, says the layout: any of the version
                yield from _loads(*start.indices, start.version)
                buffer = start.buffer
                yield buffer, (), start.version, _bytes(buffer, prod(static_shape(buffer))), AccessKind.READ, True, ()
            case _:
                yield from _loads(a)


def queue_of(s: Stmt) -> str | None:
    """The queue (`ir.concurrent.QUEUES`) to which `s` issues; None for what completes on a barrier or at once."""
    match s:
        case Store(asynchronous=True):
            return "copy"
        case TensorCopy(barrier=None) | BulkMove(barrier=None):
            return "store"
        case AtomCall(atom):
            row = atom_named(atom)
            return _QUEUES.get(row.kind) if row is not None else None
    return None


_QUEUES = {"cp_async": "copy", "wgmma": "product"}


def _bytes(buffer: Buffer, lanes: int) -> int:
    return max(1, lanes * buffer.dtype.bits // 8)


def _whole(buffer: Buffer) -> int:
    """Bytes of one version; of a tensor whose extents are not known those of an element, as little as it can have."""
    return _bytes(buffer, prod(e if isinstance(e, int) else 1 for e in buffer.shape))


def _loads(*expressions: Node | None, when: tuple[Expr, ...] = ()) -> Iterator[Touch]:
    for e in expressions:
        match e:
            case None | Const() | Var():
                continue
            case Load(buffer, indices, version):
                yield from _loads(*indices, version, when=when)
                yield buffer, indices, version, _bytes(buffer, 1), AccessKind.READ, False, when
            case Select(cond, a, b):  # only the chosen side is evaluated
                yield from _loads(cond, when=when)
                yield from _loads(a, when=(*when, cond))
                yield from _loads(b, when=(*when, negated(cond)))
            case Binary("and" | "or" as op, a, b):  # b is evaluated only if a does not decide
                yield from _loads(a, when=when)
                yield from _loads(b, when=(*when, a if op == "and" else negated(a)))
            case Address(buffer, indices, version):  # a pointer handed to the user's own code
                for kind in (AccessKind.READ, AccessKind.WRITE):
                    yield buffer, (), version, _whole(buffer), kind, False, when
            case _:
                yield from _loads(*children(e), when=when)


def bytes_of(buffer: Buffer) -> int:
    """Bytes of all versions. Elements of less than a byte are packed within a version."""
    return buffer.versions * version_bytes(buffer)


def version_bytes(buffer: Buffer) -> int:
    return -(-prod(static_shape(buffer)) * buffer.dtype.bits // 8)


def is_shared(buffer: Buffer) -> bool:
    return buffer.space is Space.SHARED


def granules_of(block: Block, roots: Mapping[Buffer, Buffer]) -> dict[Buffer, int]:
    """The unit in bytes of each shared buffer's tables: what all its accesses are multiples of."""
    found: dict[Buffer, int] = {}

    def visit(body: Block) -> None:
        for s in body:
            for buffer, _, _, size, *_ in touches(s):
                if is_shared(buffer):
                    root = roots.get(buffer, buffer)
                    found[root] = gcd(found.get(root, 16), size)
            for inner in blocks_of(s):
                visit(inner)

    visit(block)
    return found


def blocks_of(s: Stmt) -> tuple[Block, ...]:
    """The blocks below a statement of the thread stage."""
    match s:
        case For(body=body) | While(body=body):
            return (body,)
        case If(_, then, orelse):
            return (then, orelse)
        case Roles(roles):
            return tuple(role.body for role in roles)
    return ()


def binds_of(block: Block) -> Iterator[Let]:
    for s in block:
        if isinstance(s, Let):
            yield s
        for inner in blocks_of(s):
            yield from binds_of(inner)
