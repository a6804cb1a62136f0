"""count-versions: the remainders that select copies of a buffer, and their phases, become counters.

Where a loop waits at barriers in shared memory everything that comes round is counted: `x % n` and `x // n % 2` for any
x that grows by 1 with the loop (`analysis/cycles.py` proves it on a table). A counter that begins a loop where the loop
before ended it, like that of `(tile * steps + k) % n`, lives outside of the outer loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from tiledsl.analysis.cycles import (
    Bounds,
    Cycle,
    Unclear,
    bounds_in,
    continues,
    cycle_of,
    follows,
    has_division,
    is_phase,
    is_ring,
    unwrapped,
    values_of,
    variables,
)
from tiledsl.analysis.ranges import launch_facts
from tiledsl.ir.concurrent import Await, Role
from tiledsl.ir.fresh import bound_in
from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Block,
    Break,
    Buffer,
    Cast,
    Const,
    Continue,
    Expr,
    For,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Select,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.simplify import Simplifier
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import children, map_children, rewrite, statements, substitute, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage

_MOST_VERSIONS = 64  # of a phase without the remainder that it belongs to: beyond that it is left alone
Remainder = tuple[Expr, int, int]  # (expression, offset, modulus): (loop variable + offset) % modulus


@kernel_pass(requires=[thread_stage])
def count_versions(kernel: Kernel) -> Kernel:
    """`(k + c) % n` in a serial loop over k becomes a variable that is compared with n - 1 and reset.

    A remainder costs several instructions, and the C++ compiler spreads them over all addresses that use it. One that
    another remainder is ahead of by 1 takes over its value: with n copies the next to write is the one read now. Safe
    because k runs from 0 in steps of 1; a loop whose body may `continue` past the step of the counter is left alone.
    Where phases of barriers are awaited, `k // n % 2` becomes a bit that changes when the counter of `k % n` returns to
    0, and a counter goes on from one run of its loop to the next if it would begin there anyway.
    """
    return replace(kernel, launches=tuple(_launch(kernel, launch) for launch in kernel.launches))


def _launch(kernel: Kernel, launch: Launch) -> Launch:
    if not any(isinstance(s, Await) for s in statements(launch)):
        return replace(launch, body=_block(launch.body))
    facts = launch_facts(kernel, launch)
    return replace(launch, body=_Phases(facts.simplifier, bounds_in(launch, facts.ranges)).block(launch.body))


def _block(block: Block) -> Block:
    return tuple(t for s in block for t in _statement(s))


def _statement(s: Stmt) -> Block:
    s = map_children(s, lambda n: _statement(n) if isinstance(n, Stmt) else n)
    return _by_remainders(s) if _is_countable(s) else (s,)


def _is_countable(s: Stmt) -> bool:
    return isinstance(s, For) and isinstance(s.kind, Serial) and not _may_continue(s.body)


def _by_remainders(s: Stmt) -> Block:
    assert isinstance(s, For)
    found = list(dict.fromkeys(_remainders(s.body, s.var)))
    return _counted(s, found) if found else (s,)


def _may_continue(block: Block) -> bool:
    """Whether the body may go on with the next iteration from its middle."""
    return any(isinstance(n, Continue) for s in block for n in _own(s))


def _own(s: Node) -> Iterator[Node]:
    """`s` and what is below it, without the bodies of inner loops."""
    yield s
    if not isinstance(s, (For, While)):
        for child in children(s):
            yield from _own(child)


def _remainders(block: Block, var: Var) -> Iterator[Remainder]:
    for s in block:
        for n in walk(s):
            if isinstance(n, Binary) and (modulus := _modulus(n)) > 1:
                match n.a:
                    case Var() as x if x is var:
                        yield n, 0, modulus
                    case Binary("+", Var() as x, Const(int(offset))) if x is var and offset >= 0:
                        yield n, offset, modulus


def _modulus(e: Binary) -> int:
    """n where `e` is a remainder by n, also written as a mask; else 0."""
    match e:
        case Binary("%" | "rem", _, Const(int(n))):
            return n
        case Binary("&", _, Const(int(mask))) if mask > 0 and mask & (mask + 1) == 0:
            return mask + 1
    return 0


def _counted(loop: For, found: list[Remainder]) -> Block:
    dtype = loop.var.dtype
    before: list[Stmt] = []
    first: list[Stmt] = []
    last: list[Stmt] = []
    now = {(offset % modulus, modulus): Var("slot", dtype) for _, offset, modulus in found}
    for (start, modulus), var in now.items():
        counter = Buffer("slot", (), dtype, Space.VAR)
        before.append(Alloc(counter, Const(start, dtype)))
        first.append(Let(var, Load(counter, ())))
        following: Expr | None = now.get(((start + 1) % modulus, modulus))  # what that one is now
        if following is None:
            at_end = Binary("==", var, Const(modulus - 1, dtype))
            following = Select(at_end, Const(0, dtype), Binary("+", var, Const(1, dtype)))
        last.append(Store(counter, (), following))
    names: dict[Expr, Var] = {e: now[offset % modulus, modulus] for e, offset, modulus in found}
    body = tuple(cast(Stmt, _renamed(s, names)) for s in loop.body)
    return (*before, replace(loop, body=(*first, *body, *last)))


def _renamed(node: Node, names: Mapping[Expr, Var]) -> Node:
    return cast(Node, rewrite(node, lambda n: names.get(n, n) if isinstance(n, Binary) else n))


# ------------------------------------------------------------------------------- loops that wait for phases


@dataclass(frozen=True, slots=True, eq=False)
class _Counter:
    """A value that comes round. `ring` is that whose return to 0 turns it, if it is a phase."""

    expr: Expr
    cycle: Cycle
    modulus: int = 2
    ring: _Counter | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """Where a counter stands after the statement that follows its allocation: `cycle` at loop.extent, if `complete`."""

    counter: _Counter
    loop: For
    complete: bool


@dataclass(slots=True)
class _Phases:
    simplifier: Simplifier
    bounds: Bounds
    running: dict[Buffer, _Running] = field(default_factory=dict)

    def block(self, block: Block) -> Block:
        return tuple(t for s in block for t in self.statement(s))

    def statement(self, s: Stmt) -> Block:
        s = map_children(s, self.below)
        if not isinstance(s, For) or not isinstance(s.kind, Serial):
            return (s,)
        outside: Block = ()
        if not _may_continue(s.body):
            outside, s = self.hoisted(s)
        if not _is_countable(s):
            return (*outside, s)
        if not any(isinstance(inner, Await) for inner in statements(s)):
            return (*outside, *_by_remainders(s))
        return (*outside, *self.counted(s))

    def below(self, n: Node) -> Node | tuple[Node, ...]:
        if isinstance(n, Role):
            return replace(n, body=self.block(n.body))
        return self.statement(n) if isinstance(n, Stmt) else n

    # ---- what to count

    def counted(self, loop: For) -> Block:
        found = _used(self.counters(loop), loop)
        if not found:
            return (loop,)
        step = _Step(loop.var, found)
        body = tuple(cast(Stmt, _substituted(s, step.names)) for s in loop.body)
        complete = not any(isinstance(n, Break) for s in loop.body for n in _own(s))
        result = replace(loop, body=(*step.first, *body, *step.last))
        starts: list[Stmt] = []
        for c in found:
            starts.append(Alloc(step.held[c], self.at_start(c.expr, loop.var)))
            self.running[step.held[c]] = _Running(c, loop, complete)
        return (*starts, result)

    def counters(self, loop: For) -> list[_Counter]:
        """One for each value of the body that comes round as the loop goes on; rings before their phases."""
        inside = set(bound_in(loop.body))
        candidates = dict.fromkeys(e for s in loop.body for e in _cyclic(s, loop.var))
        known = [(e, cycle_of(e, self.bounds)) for e in candidates if not inside & set(variables(e))]
        rings = [_Counter(e, c, n) for e, c in known if c is not None and (n := is_ring(c, loop.var)) > 1]
        counted = {ring.expr for ring in rings}
        phases: list[_Counter] = []
        for e, c in known:
            if c is None or e in counted:
                continue
            ring = next((r for r in rings if is_phase(c, r.cycle, loop.var)), None) or self.implied(e, c, loop.var)
            if ring is not None:
                phases.append(_Counter(e, c, 2, ring))
                rings += [ring] if ring not in rings else []
        return [*rings, *phases]

    def implied(self, e: Expr, c: Cycle, var: Var) -> _Counter | None:
        """The ring whose returns to 0 would turn `c`: a remainder of what `e` divides, if that grows by 1."""
        for n in walk(e):
            match n:
                case Binary("//" | "div", a, Const(int(modulus))) if modulus > 1:
                    pass
                case Binary(">>", a, Const(int(bits))) if bits > 0:
                    modulus = 1 << bits
                case _:
                    continue
            for offset in range(min(modulus, _MOST_VERSIONS)):
                x = Binary("+", a, Const(offset, dtype_of(a))) if offset else a
                ring = Binary("%", x, Const(modulus, dtype_of(a)))
                cycle = cycle_of(ring, self.bounds)
                if cycle is not None and is_ring(cycle, var) == modulus and is_phase(c, cycle, var):
                    return _Counter(ring, cycle, modulus)
        return None

    def at_start(self, e: Expr, var: Var) -> Expr:
        """The value of `e` when the loop over `var` begins."""
        first = substitute(e, {var: Const(0, var.dtype)})
        cycle = cycle_of(first, self.bounds)
        values = values_of(cycle) if cycle else ()
        return Const(values[0], dtype_of(e)) if len(values) == 1 else self.simplifier.simplify(first)

    # ---- where counters live

    def hoisted(self, outer: For) -> tuple[Block, For]:
        """The allocations in the body of counters that run on from one iteration to the next, and the loop without."""
        inside = set(bound_in(outer.body))
        moved: list[Alloc] = []
        kept: list[Stmt] = []
        complete = not any(isinstance(n, Break) for s in outer.body for n in _own(s))
        for s in outer.body:
            buffer = s.buffer if isinstance(s, Alloc) else None
            run = self.running.get(buffer) if buffer else None
            if run is None or buffer is None or not self.runs_on(run, outer, inside):
                kept.append(s)
                continue
            first = self.at_start(run.counter.expr, run.loop.var)
            moved.append(Alloc(buffer, self.at_start(first, outer.var), span=s.span))
            cycle = cycle_of(first, self.bounds)
            del self.running[buffer]
            if cycle is not None:
                self.running[buffer] = _Running(replace(run.counter, expr=first, cycle=cycle), outer, complete)
        return tuple(moved), (replace(outer, body=tuple(kept)) if moved else outer)

    def runs_on(self, run: _Running, outer: For, inside: set[Var | Buffer]) -> bool:
        """Whether the counter begins each iteration of `outer` where it ended the one before."""
        c, loop = run.counter.cycle, run.loop
        try:
            trips = unwrapped(loop.extent, self.bounds)
        except Unclear:
            return False
        named = {v for e in (*c.periods, trips) for v in variables(e)} - {loop.var}
        return run.complete and not named & inside and continues(c, loop.var, trips, outer.var)


class _Step:
    """The statements that begin and end an iteration of a loop with `counters`."""

    def __init__(self, var: Var, counters: Sequence[_Counter]) -> None:
        self.held = {c: Buffer(_name(c), (), dtype_of(c.expr), Space.VAR) for c in counters}
        now = {c: Var(_name(c), dtype_of(c.expr)) for c in counters}
        self.names: dict[Expr, Var] = {c.expr: now[c] for c in counters}
        self.first = [Let(now[c], Load(self.held[c], ())) for c in counters]
        self.last: list[Stmt] = []
        following: dict[_Counter, Expr] = {}
        for c in counters:
            following[c] = self.next(c, now, following, var)
            self.last.append(Store(self.held[c], (), following[c]))

    def next(self, c: _Counter, now: Mapping[_Counter, Var], following: Mapping[_Counter, Expr], var: Var) -> Expr:
        zero, one = (Const(n, dtype_of(c.expr)) for n in (0, 1))
        if c.ring is not None:
            ring = following[c.ring]
            returned = Binary("==", ring, Const(0, dtype_of(ring)))
            return Binary("^", now[c], Select(returned, one, zero))
        ahead = next((d for d in now if d.ring is None and d is not c and follows(d.cycle, c.cycle, var)), None)
        if ahead is not None and now[ahead].dtype is now[c].dtype:
            return now[ahead]
        last = Binary("==", now[c], Const(c.modulus - 1, one.dtype))
        value = Var("next", one.dtype)
        self.last.append(Let(value, Select(last, zero, Binary("+", now[c], one))))
        return value


def _used(counters: list[_Counter], loop: For) -> list[_Counter]:
    """Those that stand for something when the largest expressions have been replaced, and the rings of those."""
    names = {c.expr: Var(_name(c), dtype_of(c.expr)) for c in counters}
    left = {n for s in loop.body for n in walk(_substituted(s, names)) if isinstance(n, Var)}
    kept = [c for c in counters if names[c.expr] in left]
    turning = {c.ring for c in kept}
    return [c for c in counters if c in kept or c in turning]


def _name(c: _Counter) -> str:
    return "slot" if c.ring is None else "phase"


def _cyclic(node: Node, var: Var) -> Iterator[Expr]:
    """Expressions of `var` with a division, the larger before their parts."""
    for n in walk(node):
        if isinstance(n, (Binary, Cast)) and dtype_of(n).is_integer and var in set(variables(n)) and has_division(n):
            yield n


def _substituted(node: Node, names: Mapping[Expr, Var]) -> Node:
    """`node` with the counted expressions replaced, the largest first."""

    def top_down(n: Node) -> Node:
        found = names.get(n) if isinstance(n, Expr) else None
        return found if found is not None else map_children(n, top_down)

    return top_down(node)
