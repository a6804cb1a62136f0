"""One statement of a vectorised loop for all of its lanes: moves in, arithmetic lane by lane, moves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tiledsl.analysis.lanes import ACCESS_BITS, Run, is_invariant, mentions, run_of
from tiledsl.analysis.ranges import Facts
from tiledsl.errors import Span
from tiledsl.ir.nodes import (
    TRUE,
    Address,
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
    Node,
    Select,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    all_of,
)
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import map_children, substitute

_MEMORY = (Space.GLOBAL, Space.SHARED)
CP_ASYNC_BYTES = (4, 8, 16)  # PTX ISA, "cp.async": cp-size


class Lanes:
    """`lanes` iterations of a loop over `lane` at once, `lanes` being a power of two."""

    def __init__(self, lane: Var, lanes: int, facts: Facts) -> None:
        self.lane = lane
        self.lanes = lanes
        self.facts = facts
        self.expanded: dict[Var, Buffer] = {}  # variables that differ between lanes: an array of their values

    @property
    def varying(self) -> set[Var]:
        return {self.lane, *self.expanded}

    def block(self, block: Block) -> Block | None:
        """The statements of `block` for all lanes; None if a condition differs between them."""
        result: list[Stmt] = []
        for s in block:
            new = self.statement(s)
            if new is None:
                return None
            result += new
        return tuple(result)

    def statement(self, s: Stmt) -> Block | None:
        match s:
            case If(cond, then, orelse):
                return self.branch(s, self.facts.simplifier.simplify(cond), then, orelse)
            case Let(var, value):
                return self.let(s, var, value)
            case Store():
                return self.store(s)
        raise TypeError(f"{type(s).__name__} in a vectorised loop")

    def branch(self, s: If, cond: Expr, then: Block, orelse: Block) -> Block | None:
        if mentions(cond, self.varying):
            return None
        outer = self.facts
        self.facts = outer.under(cond)
        new_then = self.block(then)
        self.facts = outer.under_not(cond)
        new_else = self.block(orelse)
        self.facts = outer
        return None if new_then is None or new_else is None else (If(cond, new_then, new_else, span=s.span),)

    def let(self, s: Let, var: Var, value: Expr) -> Block | None:
        if not mentions(value, self.varying):
            return (s,)
        values = Buffer(var.name, (self.lanes,), var.dtype, Space.LOCAL)
        stored = self.store(Store(values, (self.lane,), value, span=s.span))
        self.expanded[var] = values
        return None if stored is None else (Alloc(values, span=s.span), *stored)

    # ------------------------------------------------------------------------------------------------------- stores

    def store(self, s: Store) -> Block | None:
        if s.asynchronous:
            copy = asynchronous_copy(s, self.lane, self.lanes, self.facts)
            if copy is not None:
                return copy
        gather = _Gather(self)
        value = gather.expr(self.facts.simplifier.simplify(s.value), [])
        if value is None:
            return None
        run = run_of(s, self.lane, self.lanes, self.facts.simplifier)
        before, after = gather.before, []
        if run is None or run.width == 1 or (s.buffer.space is Space.LOCAL and not gather.is_one_load(value, run)):
            before += self.per_lane(replace(s, value=value, asynchronous=False))
        elif s.buffer.space is Space.LOCAL:
            return gather.straight_into(run, s.span)
        else:
            source = self.registers_of(value)
            if source is None:
                source = Run(self.array(s.buffer.name, s.buffer), (Const(0),), None, self.lanes)
                before.append(Alloc(source.buffer, span=s.span))
                before += self.per_lane(Store(source.buffer, (self.lane,), value, span=s.span))
            after = moves(run, source, self.lanes, s.span)
        return (*before, *after)

    def per_lane(self, s: Store) -> Block:
        """`s` in an unrolled loop with a variable of its own."""
        if not mentions(s, {self.lane}) and s.buffer.space in _MEMORY:
            return (s,)  # every lane stores the same: once is enough
        lane = Var(self.lane.name)
        body = substitute(s, {self.lane: lane})
        return (For(lane, Const(self.lanes), (body,), Unrolled(), span=s.span),)

    def registers_of(self, value: Expr) -> Run | None:
        """The registers that hold `value` for all lanes as neighbours, if that is all it is."""
        if isinstance(value, Load) and value.buffer.space is Space.LOCAL:
            run = run_of(value, self.lane, self.lanes, self.facts.simplifier)
            if run is not None and run.width == min(self.lanes, ACCESS_BITS // value.buffer.dtype.bits):
                return run
        return None

    def array(self, name: str, like: Buffer) -> Buffer:
        return Buffer(name, (self.lanes,), like.dtype, Space.LOCAL)


class _Gather:
    """Takes the loads out of one value: `before` are the statements that put them into registers."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.before: list[Stmt] = []
        self.loaded: dict[Buffer, tuple[Run, Expr]] = {}  # register array -> what was loaded, under which condition

    def expr(self, e: Expr, conditions: Sequence[Expr]) -> Expr | None:
        """`e` with loads of neighbours replaced by loads of registers; None if a condition differs between lanes."""
        lanes = self.lanes
        match e:
            case Const():
                return e
            case Var():
                return Load(lanes.expanded[e], (lanes.lane,)) if e in lanes.expanded else e
            case Select(cond, a, b) if not mentions(cond, lanes.varying):
                first = self.expr(a, [*conditions, cond])
                second = b if isinstance(b, Const) else None if first is None else self.without_vectors(b)
                return None if first is None or second is None else Select(cond, first, second)
            case Select(cond, a, b) if _reads_memory(a) or _reads_memory(b):
                return None
            case Load(buffer) if buffer.space in _MEMORY:
                return self.load(e, conditions)
        failed = False

        def below(n: Node) -> Node:
            nonlocal failed
            new = self.expr(n, conditions) if isinstance(n, Expr) else n
            failed |= new is None
            return n if new is None else new

        result = map_children(e, below)
        return None if failed else result
