"""The one oracle that says what a statement reads and writes: planners, liveness and verifiers all ask here.

Loads count wherever they stand: in values, index expressions, predicates, and in the lets that a statement uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from math import prod

from tiledsl.analysis.boxes import box_of, whole_region
from tiledsl.ir import concurrent
from tiledsl.ir.concurrent import Arrive, Await, BulkMove, Expect, Hold, InitBarrier, Roles, Settle, TensorCopy
from tiledsl.ir.nodes import (
    TRUE,
    Address,
    Alloc,
    Assert,
    Assume,
    AtomCall,
    AtomicUpdate,
    Block,
    Buffer,
    Const,
    Descriptor,
    Evaluate,
    Expr,
    Extern,
    For,
    If,
    Let,
    Load,
    Move,
    Node,
    Print,
    Region,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    View,
    While,
    all_of,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Im2col, Parallel, Rearrangement, Reduce, Scan, Source
from tiledsl.ir.walk import children, statements, walk
from tiledsl.isa.table import atom_named


class AccessKind(Enum):
    READ = "read"
    WRITE = "write"
    ATOMIC = "atomic"  # reads and writes in one step; two of them do not conflict


ARRIVAL = AccessKind.ATOMIC  # of bytes at a barrier: two may be exchanged, but none with a wait


@dataclass(frozen=True, slots=True)
class Access:
    """One access of a statement. `region` is None where nothing is known of the part of the buffer that is touched.

    `via_index` marks a load that decides where or whether something happens (index, predicate, let value). `exact`:
    the access touches every element of `region` whenever `guard` holds; otherwise it touches some of them.
    """

    buffer: Buffer
    region: Region | None
    kind: AccessKind
    via_index: bool = False
    guard: Expr = TRUE
    exact: bool = False

    @property
    def reads(self) -> bool:
        return self.kind is not AccessKind.WRITE

    @property
    def writes(self) -> bool:
        return self.kind is not AccessKind.READ


def conflict(a: AccessKind, b: AccessKind) -> bool:
    """Whether the order of the two matters, if they touch the same place."""
    if a is AccessKind.READ and b is AccessKind.READ:
        return False
    return not (a is AccessKind.ATOMIC and b is AccessKind.ATOMIC)


Lets = Mapping[Var, Expr]


def accesses(stmt: Stmt, lets: Lets | None = None) -> list[Access]:
    """Everything that `stmt` touches, blocks below it included, in program order.

    `lets` are the binds in scope that count as part of the statement: their loads are reads of it.
    """
    collector = _Collector(lets or {})
    collector.statement(stmt)
    return collector.found


def reach(e: Node, lets: Lets) -> tuple[set[Var], list[Load]]:
    """All variables that `e` depends on, and all loads, through the binds `lets` transitively."""
    variables: set[Var] = set()
    loads: list[Load] = []
    work: list[Node] = [e]
    while work:
        node = work.pop()
        if isinstance(node, Var):
            if node not in variables:
                variables.add(node)
                if node in lets:
                    work.append(lets[node])
            continue
        if isinstance(node, Load):
            loads.append(node)
        work.extend(children(node))
    return variables, loads


def statements_below(body: Block) -> Iterator[Stmt]:
    """All statements of `body`, parents first; expressions are not entered."""
    for s in body:
        yield s
        yield from statements(s)


def storage_roots(body: Block) -> dict[Buffer, Buffer]:
    """Each view in `body`, with the buffer that owns its storage."""
    roots: dict[Buffer, Buffer] = {}
    for s in statements_below(body):
        if isinstance(s, View):
            roots[s.buffer] = roots.get(s.source, s.source)
    return roots


def rooted(found: list[Access], roots: Mapping[Buffer, Buffer]) -> list[Access]:
    """The accesses with views replaced by their storage, of which an unknown part is touched."""
    if not roots:
        return found
    return [Access(roots[a.buffer], None, a.kind, a.via_index, a.guard) if a.buffer in roots else a for a in found]


def negated(cond: Expr) -> Expr:
    return cond.a if isinstance(cond, Unary) and cond.op == "not" else Unary("not", cond)


Part = tuple[Buffer, Sequence[Expr], Sequence[int], Expr | None]  # buffer, offsets, extents, version


def _element(buffer: Buffer, indices: Sequence[Expr], version: Expr | None = None) -> Part:
    return buffer, indices, (1,) * len(indices), version


@dataclass(slots=True)
class _Collector:
    """`inner` holds the extents of the loops inside the statement (None: not constant, or a bound value)."""

    lets: Lets
    found: list[Access] = field(default_factory=list)
    inner: dict[Var, int | None] = field(default_factory=dict)
    guards: list[Expr] = field(default_factory=list)
    certain: bool = True  # false inside loops that may not run
    seen: set[Var] = field(default_factory=set)

    def add(self, part: Part, kind: AccessKind, *, via_index: bool = False) -> None:
        buffer, offsets, extents, version = part
        region, exact = box_of(buffer, offsets, extents, self.inner, version)
        whole = exact and self.certain and not any(_depends(g, self.inner) for g in self.guards)
        self.found.append(Access(buffer, region, kind, via_index, all_of(self.guards), whole))

    def version(self, buffer: Buffer, version: Expr | None, kind: AccessKind) -> None:
        """Some part of that version."""
        whole = whole_region(buffer)
        region = whole and replace(whole, version=version)
        self.found.append(Access(buffer, region, kind, guard=all_of(self.guards)))

    def unknown(self, buffer: Buffer, kind: AccessKind) -> None:
        self.found.append(Access(buffer, None, kind, guard=all_of(self.guards)))

    def expression(self, e: Expr, *, via_index: bool = False) -> None:
        match e:
            case Const():
                return
            case Var():
                if e in self.lets and e not in self.seen:
                    self.seen.add(e)
                    self.expression(self.lets[e], via_index=True)
                return
            case Load(buffer, indices, version):
                self.indices(indices, version)
                self.add(_element(buffer, indices, version), AccessKind.READ, via_index=via_index)
                return
            case Descriptor(start):  # of an operand, which is only read: some part of a version of a tile
                self.indices(start.indices, start.version)
                self.version(start.buffer, start.version, AccessKind.READ)
                return
            case Address(buffer, indices, version):  # a pointer handed on: anything may happen behind it
                self.indices(indices, version)
                self.unknown(buffer, AccessKind.READ)
                self.unknown(buffer, AccessKind.WRITE)
                return
            case Extern(_, args):
                for a in args:
                    self.expression(a, via_index=via_index)
                return
        for child in children(e):
            if isinstance(child, Expr):
                self.expression(child, via_index=via_index)

    def indices(self, indices: Sequence[Expr], version: Expr | None) -> None:
        for i in indices:
            self.expression(i, via_index=True)
        if version is not None:
            self.expression(version, via_index=True)

    def region(self, r: Source, *kinds: AccessKind) -> None:
        self.indices(r.offsets, r.version)
        for kind in kinds:
            if isinstance(r, Im2col):
                self.unknown(r.buffer, kind)
                continue
            self.add((r.buffer, r.offsets, r.extents, r.version), kind)

    def address(self, a: Expr, lanes: int, *kinds: AccessKind) -> None:
        if not isinstance(a, Address):
            self.expression(a)
            return
        self.indices(a.indices, a.version)
        extents = (1,) * (len(a.indices) - 1) + (lanes,)
        for kind in kinds:
            self.add((a.buffer, a.indices, extents, a.version), kind)

    def block(self, body: Block) -> None:
        for s in body:
            self.statement(s)

    def guarded(self, cond: Expr, body: Block) -> None:
        self.guards.append(cond)
        self.block(body)
        self.guards.pop()

    def loop(self, inner: Mapping[Var, int | None], body: Block) -> None:
        outer, certain = self.inner, self.certain
        self.inner = {**outer, **inner}
        self.certain = certain and all(extent is not None and extent > 0 for extent in inner.values())
        self.block(body)
        self.inner, self.certain = outer, certain

    def statement(self, s: Stmt) -> None:
        read, write = AccessKind.READ, AccessKind.WRITE
        if self.tile_operation(s):
            return
        match s:
            case Let(var, value):
                self.expression(value, via_index=True)
                self.inner[var] = None
            case Alloc(buffer, init):
                if init is not None and (whole := whole_region(buffer)) is not None:
                    self.expression(init)
                    self.region(whole, write)
            case Store(buffer, indices, value, version):
                self.expression(value)
                self.indices(indices, version)
                self.add(_element(buffer, indices, version), write)
            case AtomicUpdate(op, buffer, indices, value, _, result):
                self.expression(value)
                self.indices(indices, None)
                self.add(_element(buffer, indices), read if op == "load" else AccessKind.ATOMIC)
                if result is not None:
                    self.inner[result] = None
            case Move(dst, src, lanes):
                self.address(src, lanes, read)
                self.address(dst, lanes, write)
            case AtomCall(atom, args):
                self.atom_call(atom, args)
            case For(var, extent, body):
                self.expression(extent, via_index=True)
                self.loop({var: extent.value if isinstance(extent, Const) else None}, body)  # type: ignore[dict-item]
            case If(cond, then, orelse):
                self.expression(cond, via_index=True)
                self.guarded(cond, then)
                self.guarded(negated(cond), orelse)
            case While(cond, body):
                self.expression(cond, via_index=True)
                self.loop({Var("trip"): None}, body)
            case Print(_, args, buffer):
                for a in args:
                    self.expression(a)
                if buffer is not None:
                    self.unknown(buffer, read)
            case Assert(e) | Assume(e) | concurrent.NamedSync(e) | concurrent.NamedArrive(e):
                self.expression(e, via_index=True)
            case Roles(roles):
                for role in roles:
                    self.loop({role.thread: role.threads}, role.body)
            case TensorCopy() | BulkMove():
                self.engine(s)
            case Hold(buffer) | Settle(buffer):
                self.unknown(buffer, read)
                if isinstance(s, Hold):  # the tensor core may have written it
                    self.unknown(buffer, write)
            case InitBarrier(barrier) | Arrive(barrier) | Expect(barrier) | Await(barrier):
                self.barrier(s, barrier)
            case Evaluate(value):
                self.expression(value)

    def barrier(self, s: Stmt, barrier: Address) -> None:
        """What is handed over counts as written, by others: so does the barrier, whose phases follow each other."""
        if isinstance(s, Await | Expect):
            self.expression(s.parity if isinstance(s, Await) else s.bytes, via_index=True)
        self.address(barrier, 1, AccessKind.READ, AccessKind.WRITE)
        for b in s.buffers if isinstance(s, Arrive | Await) else ():
            self.unknown(b, AccessKind.READ)
            self.unknown(b, AccessKind.WRITE)

    def engine(self, s: TensorCopy | BulkMove) -> None:
        """A box of the tensor, clipped to it; in shared memory as many elements, one after the other."""
        op, box = (s.op, s.box) if isinstance(s, TensorCopy) else ("", (s.lanes,))
        for a, kind in ((s.src, AccessKind.READ), (s.dst, AccessKind.ATOMIC if op else AccessKind.WRITE)):
            self.indices(a.indices, a.version)
            extents = box if a.buffer.space is Space.GLOBAL else (prod(box),)
            if len(extents) == len(a.indices):
                self.add((a.buffer, a.indices, extents, a.version), kind)
            else:  # they go on in the next row
                self.unknown(a.buffer, kind)
        for e in s.tap if isinstance(s, TensorCopy) else () if s.rank is None else (s.rank,):
            self.expression(e, via_index=True)
        if s.barrier is not None:
            self.address(s.barrier, 1, ARRIVAL)

    def tile_operation(self, s: Stmt) -> bool:
        update = read, write = AccessKind.READ, AccessKind.WRITE
        match s:
            case Copy(src, dst) | Rearrangement(src, dst):
                self.region(src, read)
                self.region(dst, write)
                if isinstance(s, Copy) and s.barrier is not None:
                    self.address(s.barrier, 1, ARRIVAL)
                    self.expression(Const(0) if s.rank is None else s.rank, via_index=True)
            case Fill(dst, value):
                self.expression(value)
                self.region(dst, write)
            case Gemm(a, b, c, clear=clear, e=e):
                for operand in (a, b) if e is None else (a, b, e):
                    self.region(operand, read)
                self.region(c, *((write,) if clear else update))
            case Reduce(src, dst, clear=clear):
                self.region(src, read)
                self.region(dst, *((write,) if clear else update))
            case Scan(src, dst):
                self.region(src, read)
                self.region(dst, write)
            case Atomic(_, dst, src):
                self.region(src, read)
                self.region(dst, AccessKind.ATOMIC)
            case Parallel(variables, extents, body):
                self.loop(dict(zip(variables, extents)), body)
            case _:
                return False
        return True

    def atom_call(self, name: str, args: tuple[Expr, ...]) -> None:
        """Registers and memory of an instruction, as unknown parts but for rows of matrices: the row says which."""
        read, write = AccessKind.READ, AccessKind.WRITE
        row = atom_named(name)
        assert row is not None, name
        written = MEMORY_WRITTEN.get(row.kind)
        for i, a in enumerate(args):
            if not isinstance(a, Address):
                self.expression(a, via_index=True)
            elif row.kind == "ldmatrix" and a.buffer.space is Space.SHARED:
                self.address(a, row.bytes * 8 // a.buffer.dtype.bits, read)
            else:
                self.indices(a.indices, a.version)
                registers = a.buffer.space in (Space.LOCAL, Space.VAR)
                memory = (write if i == written else read,)
                for kind in _register_kinds(row.kind, i) if registers else memory:
                    self.unknown(a.buffer, kind)


# The argument of an instruction that names memory it writes; see the docstring of `isa.atom.Atom`.
MEMORY_WRITTEN = {"stmatrix": 0, "cp_async": 0}


def _register_kinds(kind: str, position: int) -> tuple[AccessKind, ...]:
    match kind:
        case "mma" | "mma_sp" | "wgmma":
            return (AccessKind.READ, AccessKind.WRITE) if position == 0 else (AccessKind.READ,)
        case "ldmatrix":
            return (AccessKind.WRITE,)
    return (AccessKind.READ,)


def _depends(e: Expr, variables: Mapping[Var, int | None]) -> bool:
    return bool(variables) and any(isinstance(n, Var) and n in variables for n in walk(e))
