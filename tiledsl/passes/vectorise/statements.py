"""One statement of a vectorised loop for all of its lanes: moves in, arithmetic lane by lane, moves out."""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.analysis.lanes import Run, is_invariant, mentions, run_of
from tiledsl.analysis.ranges import Facts
from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.nodes import (
    Alloc,
    AtomCall,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    Move,
    Select,
    Space,
    Stmt,
    Store,
    Unary,
    Unrolled,
    Var,
    all_of,
)
from tiledsl.ir.walk import map_children, substitute, walk

MEMORY = (Space.GLOBAL, Space.SHARED)
CP_ASYNC_BYTES = (4, 8, 16)  # PTX ISA, "cp.async": cp-size


class LanesDiffer(Exception):
    """A condition is not the same for all lanes: fewer must be taken at once."""


class Lanes:
    """`lanes` iterations of a loop over `lane` at once, `lanes` being a power of two. Methods raise LanesDiffer."""

    def __init__(self, lane: Var, lanes: int, facts: Facts) -> None:
        self.lane = lane
        self.lanes = lanes
        self.facts = facts
        self.expanded: dict[Var, Buffer] = {}  # variables that differ between lanes: an array of their values

    def varies(self, e: Expr | None) -> bool:
        return mentions(e, {self.lane, *self.expanded})

    def run(self, access: Load | Store) -> Run | None:
        """The run that the access makes, None if its lanes are not neighbours."""
        if any(mentions(i, set(self.expanded)) for i in access.indices):
            return None
        return run_of(access, self.lane, self.lanes, self.facts.simplifier)

    def is_same(self, load: Load) -> bool:
        """Whether all lanes load the same element."""
        hidden = any(mentions(i, set(self.expanded)) for i in load.indices)
        return not hidden and is_invariant(load, self.lane, self.facts.simplifier)

    def block(self, block: Block) -> Block:
        """The statements of `block` for all lanes."""
        return tuple(new for s in block for new in self.statement(s))

    def statement(self, s: Stmt) -> Block:
        match s:
            case If(cond, then, orelse):
                return self.branch(s, self.facts.simplifier.simplify(cond), then, orelse)
            case Let(var, value) if self.varies(value):
                values = Buffer(var.name, (self.lanes,), var.dtype, Space.LOCAL)
                stored = self.store(Store(values, (self.lane,), value, span=s.span))
                self.expanded[var] = values
                return (Alloc(values, span=s.span), *stored)
            case Let():
                return (s,)
            case Store():
                return self.store(s)
        raise TypeError(f"{type(s).__name__} in a vectorised loop")

    def branch(self, s: If, cond: Expr, then: Block, orelse: Block) -> Block:
        if self.varies(cond):
            raise LanesDiffer
        outer = self.facts
        self.facts = outer.under(cond)
        new_then = self.block(then)
        self.facts = outer.under_not(cond)
        new_else = self.block(orelse)
        self.facts = outer
        return (If(cond, new_then, new_else, span=s.span),)

    def store(self, s: Store) -> Block:
        if s.asynchronous and (copy := asynchronous_copy(s, self.lane, self.lanes, self.facts)):
            return copy
        gather = _Gather(self, s)
        value = gather.expr(self.facts.simplifier.simplify(s.value), ())
        target = self.run(s)
        if target is not None and target.width > 1:
            if s.buffer.space is Space.LOCAL:
                if gather.only is not None and value == gather.only.value:
                    return moves(target, gather.only.source, self.lanes, s.span)
            else:
                return (*gather.before, *self.store_run(target, value, s.span))
        return (*gather.before, *self.per_lane(Store(s.buffer, s.indices, value, s.version, span=s.span)))

    def store_run(self, target: Run, value: Expr, span: Span) -> Block:
        """Stores `value`, which reads registers only, to neighbours in memory."""
        held = self.run(value) if isinstance(value, Load) and value.buffer.space is Space.LOCAL else None
        if held is not None and held.width >= target.width:
            return moves(target, held, self.lanes, span)
        array = Buffer(target.buffer.name, (self.lanes,), target.buffer.dtype, Space.LOCAL)
        computed = self.per_lane(Store(array, (self.lane,), value, span=span))
        source = Run(array, (Const(0),), None, target.width)
        return (Alloc(array, span=span), *computed, *moves(target, source, self.lanes, span))

    def per_lane(self, s: Store) -> Block:
        """`s` in an unrolled loop with a variable of its own."""
        if not mentions(s, {self.lane}) and not _reads(s.value, s.buffer):
            return (s,)  # the same for every lane, however often
        lane = Var(self.lane.name)
        return (For(lane, Const(self.lanes), (substitute(s, {self.lane: lane}),), Unrolled(), span=s.span),)


class _Loaded:
    """A vector load: `value` is what a lane reads of it, `source` the memory it came from."""

    def __init__(self, value: Expr, source: Run) -> None:
        self.value = value
        self.source = source


class _Gather:
    """Takes the loads out of one value: `before` are the statements that put neighbours into registers."""

    def __init__(self, lanes: Lanes, s: Store) -> None:
        self.lanes = lanes
        self.span = s.span
        self.stored = s.buffer
        self.before: list[Stmt] = []
        self.only: _Loaded | None = None  # set while exactly one load was taken out, without a condition

    def expr(self, e: Expr, conditions: Sequence[Expr]) -> Expr:
        """`e`, evaluated where `conditions` hold, with loads of neighbours replaced by loads of registers."""
        lanes = self.lanes
        match e:
            case Const():
                return e
            case Var():
                return Load(lanes.expanded[e], (lanes.lane,)) if e in lanes.expanded else e
            case Select(cond, a, b) if _reads_memory(a) or _reads_memory(b):
                if lanes.varies(cond):
                    raise LanesDiffer
                test = self.expr(cond, conditions)
                first = self.expr(a, (*conditions, cond))
                return Select(test, first, self.expr(b, (*conditions, Unary("not", cond))))
            case Load(buffer) if buffer.space in MEMORY:
                return self.load(e, conditions)
        return map_children(e, lambda n: self.expr(n, conditions) if isinstance(n, Expr) else n)

    def load(self, e: Load, conditions: Sequence[Expr]) -> Expr:
        run = self.lanes.run(e)
        if run is None or run.width == 1:
            if not conditions and e.buffer is not self.stored and self.lanes.is_same(e):
                once = Var("same", e.buffer.dtype)
                self.before.append(Let(once, e, span=self.span))
                return once
            return map_children(e, lambda n: self.expr(n, conditions) if isinstance(n, Expr) else n)
        array = Buffer(e.buffer.name, (self.lanes.lanes,), e.buffer.dtype, Space.LOCAL)
        into = Run(array, (Const(0),), None, run.width)
        body = moves(into, run, self.lanes.lanes, self.span)
        if conditions:
            body = (If(all_of(list(conditions)), body, span=self.span),)
        value = Load(array, (self.lanes.lane,))
        self.only = None if self.before or conditions else _Loaded(value, run)
        self.before += [Alloc(array, span=self.span), *body]
        return value


def _reads_memory(e: Expr) -> bool:
    return any(isinstance(n, Load) and n.buffer.space in MEMORY for n in walk(e))


def _reads(e: Expr, buffer: Buffer) -> bool:
    return any(isinstance(n, Load) and n.buffer is buffer for n in walk(e))


def moves(target: Run, source: Run, lanes: int, span: Span = NOWHERE) -> Block:
    """Moves of all lanes, as wide as both sides allow."""
    width = min(target.width, source.width)
    return tuple(Move(target.address(i), source.address(i), width, span=span) for i in range(0, lanes, width))


# -------------------------------------------------------------------------------------------------------- cp.async


def asynchronous_copy(s: Store, lane: Var, lanes: int, facts: Facts) -> Block | None:
    """cp.async instructions for all lanes of a store from global to shared memory; None where there is none for it."""
    found = _guarded_load(facts.simplifier.simplify(s.value))
    if found is None:
        return None
    load, conditions = found
    spaces = load.buffer.space, s.buffer.space
    is_plain = spaces == (Space.GLOBAL, Space.SHARED) and load.buffer.dtype is s.buffer.dtype
    if not is_plain or any(mentions(c, {lane}) for c in conditions):
        return None
    target = run_of(s, lane, lanes, facts.simplifier)
    source = run_of(load, lane, lanes, facts.simplifier)
    if target is None or source is None:
        return None
    width = min(target.width, source.width)
    size = width * s.buffer.dtype.bits // 8
    if size not in CP_ASYNC_BYTES:
        return None
    predicate = all_of(list(conditions))
    return tuple(
        AtomCall(f"cp_async_{size}", (target.address(i), source.address(i), predicate), span=s.span)
        for i in range(0, lanes, width)
    )


def _guarded_load(e: Expr) -> tuple[Load, tuple[Expr, ...]] | None:
    """The load that `e` is, and the conditions outside of which it is zero bits instead; None for anything else."""
    match e:
        case Load():
            return e, ()
        case Select(cond, a, Const(value)) if value == 0 and str(value) != "-0.0":
            inner = _guarded_load(a)
            return None if inner is None else (inner[0], (cond, *inner[1]))
    return None
