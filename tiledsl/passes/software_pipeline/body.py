"""The body of a pipelined loop as a flat list of units: what is scheduled, what it needs, what it touches.

Binds (scalar lets) meet one of three fates: *inline* (a pure integer: substituted), *replay* (evaluated anew before
each unit that uses it, at that unit's iteration), *scheduled* (has an effect, or reads what is overwritten before its
last use: executed once, kept in a VAR). Guards of a conditional body move to the units below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import Access, AccessKind, accesses, negated, reach, rooted
from tiledsl.analysis.boxes import may_overlap
from tiledsl.errors import Span
from tiledsl.ir.concurrent import Arrive, Await, ClusterBarrier, NamedArrive, NamedSync
from tiledsl.ir.dtypes import Kind
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Block,
    Buffer,
    Cast,
    Const,
    Evaluate,
    Expr,
    Extern,
    For,
    If,
    Let,
    Load,
    Node,
    Print,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    View,
    While,
    all_of,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import Copy, Gemm, Parallel
from tiledsl.ir.types import dtype_of, effect_of
from tiledsl.ir.walk import may_leave, substitute, walk

# Stands for the world outside: statements with an effect are kept in order by writing to it.
WORLD = Buffer("side effects", (), dtype_of(Const(0)), Space.GLOBAL)
_FENCES = (Barrier, ClusterBarrier, NamedSync, NamedArrive, AsyncCommit, AsyncWait)
_EFFECTS = (Print, Assert, Evaluate)


@dataclass(frozen=True, slots=True)
class Unit:
    """What gets a stage and a place in the order.

    `producer`: pure data movement from global to shared memory; `asynchronous`: it can be cp.async. `product`: the
    tensor core multiplies by itself. `handover`: tiles come from other roles or go back to them. `counted` units take
    an entry of the user's `stage=` and `order=`. A `fence` is ordered with everything. `kept`: of a copy why threads
    make it themselves, empty if the copy engine can.
    """

    block: Block
    guards: tuple[Expr, ...]
    binds: tuple[Let, ...]
    accesses: tuple[Access, ...]
    producer: bool = False
    asynchronous: bool = False
    counted: bool = True
    fence: bool = False
    product: bool = False
    handover: bool = False
    kept: str = "it is no copy of a tile"

    @property
    def span(self) -> Span:
        return self.block[0].span

    @property
    def label(self) -> str:
        """A short name for plans and messages: the kind of statement and what it writes."""
        names = dict.fromkeys(a.buffer.name for a in self.accesses if a.writes and a.buffer is not WORLD)
        return f"{type(self.block[0]).__name__.lower()} {', '.join(names)}".rstrip()


@dataclass(frozen=True, slots=True)
class Body:
    """`declarations` are the allocations and views of the body: they are made once, before the loop. `supply`: where
    in the program of another role a barrier stands first; both barriers of a comparison are of the same role."""

    loop: For
    units: tuple[Unit, ...]
    declarations: Block
    lets_before: tuple[int, ...] = ()  # per let of the body, the number of counted units before it
    leaves: bool = False  # a break or continue leaves the iteration half-way
    supply: Mapping[Buffer, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Item:
    stmt: Stmt
    guards: tuple[Expr, ...] = ()
    counted: bool = True


def flatten(
    loop: For,
    roots: Mapping[Buffer, Buffer],
    *,
    manual: bool,
    products: Callable[[Gemm], bool] = lambda _: False,
    kept: Callable[[Copy, tuple[Expr, ...]], str] | None = None,
    supply: Mapping[Buffer, int] | None = None,
) -> Body:
    """The units of `loop`. With a `manual` schedule a conditional is taken apart only if it is the whole body.

    `products` says which products the tensor core can make asynchronously, `kept` why a copy under guards is not one of
    the copy engine.
    """
    declarations: list[Stmt] = []
    items = list(_items(loop.body, (), declarations, sole=True, manual=manual))
    leaves = may_leave(i.stmt for i in items)
    builder = _Builder(items, roots, declarations, kept)
    for position, item in enumerate(items):
        builder.item(position, item)
    units = tuple(_classify(i, builder.units, products) for i in range(len(builder.units)))
    return Body(loop, units, tuple(declarations), tuple(builder.lets_before), leaves, supply or {})


def _items(
    body: Block, guards: tuple[Expr, ...], declarations: list[Stmt], *, sole: bool, manual: bool
) -> Iterator[_Item]:
    real = [s for s in body if not isinstance(s, (Alloc, View, Let, Assume))]
    for s in body:
        match s:
            case Alloc(buffer, init):
                declarations.append(replace(s, init=None))
                if init is not None:
                    yield _Item(Store(buffer, (), init, span=s.span), guards, counted=False)
            case View():
                declarations.append(s)
            case Assume():
                pass  # a promise may be forgotten; its variables need not outlive the reordering
            case If(cond, then, orelse) if _splits(s, sole=sole and len(real) == 1, manual=manual):
                yield from _items(then, (*guards, cond), declarations, sole=sole, manual=manual)
                yield from _items(orelse, (*guards, negated(cond)), declarations, sole=sole, manual=manual)
            case _:
                yield _Item(s, guards, counted=not isinstance(s, Let))


def _splits(s: If, *, sole: bool, manual: bool) -> bool:
    """Whether the guard of `s` moves to the statements below it."""
    if not sole and (manual or not any(_is_producer(n) for b in (s.then, s.orelse) for x in b for n in walk(x))):
        return False
    if effect_of(s.cond) not in (Effect.PURE, Effect.READS):
        return False
    read = {l.buffer for l in reach(s.cond, {})[1]}
    inside = [a for b in (s.then, s.orelse) for x in b for a in accesses(x)]
    bound = {x.var for b in (s.then, s.orelse) for x in b if isinstance(x, Let)}
    return not any(a.writes and a.buffer in read for a in inside) and not (reach(s.cond, {})[0] & bound)


@dataclass(slots=True)
class _Builder:
    items: list[_Item]
    roots: Mapping[Buffer, Buffer]
    declarations: list[Stmt]
    kept: Callable[[Copy, tuple[Expr, ...]], str] | None = None
    units: list[Unit] = field(default_factory=list)
    values: dict[Var, Expr] = field(default_factory=dict)  # what inlined and scheduled binds are replaced by
    replayed: dict[Var, Let] = field(default_factory=dict)
    lets_before: list[int] = field(default_factory=list)

    def item(self, position: int, item: _Item) -> None:
        stmt = substitute(item.stmt, self.values)
        guards = tuple(substitute(g, self.values) for g in item.guards)
        match stmt:
            case Let(var, value):
                self.lets_before.append(sum(u.counted for u in self.units))
                self.bind(position, stmt, guards, var, value)
            case AtomicUpdate(result=Var() as result):
                fresh = Var(result.name, result.dtype)
                keep = self.variable(result)
                self.unit((replace(stmt, result=fresh), Store(keep, (), fresh, span=stmt.span)), guards)
            case _:
                self.unit((stmt,), guards, counted=item.counted)
                if self.kept and isinstance(item.stmt, Copy):
                    self.units[-1] = replace(self.units[-1], kept=self.kept(item.stmt, item.guards))

    def bind(self, position: int, let: Let, guards: tuple[Expr, ...], var: Var, value: Expr) -> None:
        effect = effect_of(value)
        if effect is Effect.PURE and (var.dtype.is_integer or var.dtype.kind is Kind.BOOL):
            self.values[var] = value
        elif effect in (Effect.PURE, Effect.READS) and self.replayable(position, let):
            self.replayed[var] = let
        else:
            self.unit((Store(self.variable(var), (), value, span=let.span),), guards, counted=False)

    def variable(self, var: Var) -> Buffer:
        """A VAR that holds the value of `var` from the unit that computes it to those that use it."""
        buffer = Buffer(var.name, (), var.dtype, Space.VAR)
        self.declarations.append(Alloc(buffer))
        self.values[var] = Load(buffer, ())
        return buffer

    def replayable(self, position: int, let: Let) -> bool:
        """Whether `let` has the same value when evaluated at its uses: nothing that it reads is written before them."""
        if let.var.dtype.kind is Kind.HANDLE:
            return False
        lets = {v: l.value for v, l in self.replayed.items()}
        read = {self.roots.get(l.buffer, l.buffer) for l in reach(let.value, lets)[1]}
        if not read:
            return True
        names = {let.var}
        last = position
        for i in range(position + 1, len(self.items)):
            s = self.items[i].stmt
            if names & (reach(s, {})[0] | set().union(*(reach(g, {})[0] for g in self.items[i].guards))):
                last = i
                if isinstance(s, Let):
                    names.add(s.var)
        between = [a for i in self.items[position + 1 : last] for a in rooted(accesses(i.stmt), self.roots)]
        return not any(a.writes and a.buffer in read for a in between)

    def unit(self, block: Block, guards: tuple[Expr, ...], *, counted: bool = True) -> None:
        lets = {v: l.value for v, l in self.replayed.items()}
        used = set().union(*(reach(n, lets)[0] for n in (*block, *guards)))
        guarded: Block = (If(all_of(list(guards)), block),) if guards else block
        found = [a for s in guarded for a in rooted(accesses(s, lets), self.roots)]
        if any(isinstance(n, _EFFECTS) or _is_effect(n) for s in block for n in walk(s)):
            found.append(Access(WORLD, None, AccessKind.WRITE))
        fence = any(isinstance(n, _FENCES) for s in block for n in walk(s))
        binds = tuple(l for v, l in self.replayed.items() if v in used)
        self.units.append(Unit(block, guards, binds, tuple(found), counted=counted, fence=fence))


def _is_effect(n: Node) -> bool:
    return (isinstance(n, Extern) and not n.pure) or (isinstance(n, AtomicUpdate) and n.result is not None)


def _classify(i: int, units: Sequence[Unit], products: Callable[[Gemm], bool]) -> Unit:
    """Unit i, marked if it is a producer. It is no cp.async if the loop writes its source or writes its tile twice."""
    u = units[i]
    match u.block:
        case (Gemm() as gemm,) if not u.guards and products(gemm):
            return replace(u, product=True)
        case (Await() | Arrive(),):
            return replace(u, handover=True, counted=False)
    if len(u.block) != 1 or not _is_producer(u.block[0]):
        return u
    others = [a for j, other in enumerate(units) if j != i for a in other.accesses if a.writes]
    sources = {a.buffer for a in u.accesses if a.reads and not a.via_index}
    tiles = [a for a in u.accesses if a.writes]
    alone = not any(
        o.buffer in sources or any(o.buffer is t.buffer and may_overlap(o.region, t.region) for t in tiles)
        for o in others
    )
    return replace(u, producer=True, asynchronous=alone and _is_async(u.block[0]))


def _is_producer(s: Node) -> bool:
    match s:
        case Copy(src, dst):
            return src.buffer.space is Space.GLOBAL and dst.buffer.space is Space.SHARED
        case Parallel(body=body):
            stores = list(_plain_stores(body))
            return bool(stores) and all(x is not None and x.buffer.space is Space.SHARED for x in stores)
    return False


def _is_async(s: Stmt) -> bool:
    match s:
        case Copy(src, dst):
            return src.buffer.dtype == dst.buffer.dtype
        case Parallel(body=body):
            return all(
                x is not None and isinstance(x.value, Load) and x.value.buffer.dtype == x.buffer.dtype
                for x in _plain_stores(body)
            )
    return False


def _plain_stores(body: Block) -> Iterator[Store | None]:
    """The stores of `body` that move a global element; None for anything else."""
    for s in body:
        match s:
            case Store(value=value) if _moves_global(value):
                yield s
            case If(_, then, orelse):
                yield from _plain_stores(then)
                yield from _plain_stores(orelse)
            case Let():
                pass
            case _:
                yield None


def _moves_global(value: Expr) -> bool:
    match value:
        case Load(buffer):
            return buffer.space is Space.GLOBAL
        case Cast(_, a):
            return _moves_global(a)
        case Select(_, a, b):
            return all(isinstance(x, Const) or _moves_global(x) for x in (a, b)) and not isinstance(a, Const)
    return False


def asynchronous(s: Stmt) -> Stmt:
    """`s`, a unit that can be cp.async, marked so."""
    match s:
        case Copy():
            return replace(s, asynchronous=True)
        case Parallel(body=body):
            return replace(s, body=tuple(asynchronous(x) for x in body))
        case If(_, then, orelse):
            return replace(s, then=tuple(asynchronous(x) for x in then), orelse=tuple(asynchronous(x) for x in orelse))
        case Store():
            return replace(s, asynchronous=True)
    return s


def opaque_buffers(u: Unit) -> set[Buffer]:
    """Buffers that `u` touches through a node that cannot say which version it means."""
    found: set[Buffer] = set()
    for s in u.block:
        rows = set(map(id, matrix_rows(s)))
        for n in walk(s):
            match n:
                case Address() if id(n) in rows:
                    continue
                case AtomicUpdate(buffer=b) | Print(buffer=Buffer() as b) | Address(buffer=b):
                    found.add(b)
                case While() if any(a.writes for a in u.accesses):
                    found.update(a.buffer for a in u.accesses)
    return found


def matrix_rows(s: Stmt) -> Iterator[Address]:
    """The rows of tiles that instructions within `s` read: accesses like others, which name a version."""
    for n in walk(s):
        if isinstance(n, AtomCall):
            yield from (a for a in n.args if isinstance(a, Address) and a.buffer.space is Space.SHARED)
