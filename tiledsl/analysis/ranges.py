"""What is known of the integers of a kernel: bounds, divisors, limits, conditions that hold.

Every variable is bound once, so one table serves a whole launch; conditions on the way to a statement refine it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, isinf

from tiledsl.analysis.alignment import alignment
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.dtypes import INDEX, Kind
from tiledsl.ir.linear import Interval, add_scaled, bounds
from tiledsl.ir.nodes import (
    Assume,
    AtomicUpdate,
    Binary,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Unary,
    Var,
    While,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.simplify import UNBOUNDED, Ranges, Simplifier
from tiledsl.ir.tile import Parallel
from tiledsl.ir.types import dtype_of, effect_of

# A dynamic extent and a number of blocks fit in an int32: the launch checks it. Source of the latter: CUDA C++
# Programming Guide, "Technical Specifications per Compute Capability", maximum x-dimension of a grid.
GREATEST_SIZE = (1 << 31) - 1
SIZE: Interval = (0, GREATEST_SIZE)
_COMPARISONS = ("<", "<=", ">", ">=", "==")


@dataclass(frozen=True)
class Facts:
    """`ranges`: inclusive bounds; `divisors`: the variable is a multiple; `limits`: the variable is less than the
    expression; `known`: conditions that hold, none of them a conjunction."""

    ranges: dict[Var, Interval] = field(default_factory=dict)
    divisors: dict[Var, int] = field(default_factory=dict)
    limits: dict[Var, Expr] = field(default_factory=dict)
    known: tuple[Expr, ...] = ()

    @cached_property
    def simplifier(self) -> Simplifier:
        """One for all questions under these facts: it remembers. Ask it only of variables that have their facts."""
        return Simplifier(self.ranges, self.divisors, self.limits)

    def proves(self, cond: Expr) -> bool | None:
        """Whether `cond` follows (True), is excluded (False), or is open."""
        simple = self.simplifier.simplify(cond)
        match simple:
            case Const(value):
                return bool(value)
            case Binary("and", a, b):
                return self.proves(b) if self.proves(a) else None
            case Binary("<", a, b) if dtype_of(a) is INDEX and self._follows(a, b):
                return True
        return True if simple in self.known else self.simplifier.proves(simple)

    def _follows(self, a: Expr, b: Expr) -> bool:
        """Whether a < b follows from a known c < d, since (a - b) - (c - d) <= 0."""
        for cond in self.known:
            match cond:
                case Binary("<", c, d) if dtype_of(c) is INDEX:
                    if self.simplifier.bounds((a - b) - (c - d))[1] <= 0:
                        return True
        return False

    def under(self, cond: Expr) -> Facts:
        """These facts where `cond` holds. Only what no store can change later is remembered."""
        parts = [self.simplifier.simplify(c) for c in conjuncts(cond)]
        parts = [c for c in parts if not isinstance(c, Const) and effect_of(c) is Effect.PURE]
        if not parts:
            return self
        ranges, divisors = dict(self.ranges), dict(self.divisors)
        for c in parts:
            ranges.update(_refined(c, Simplifier(ranges)))
            divisors.update(divisors_of(c))
        return replace(self, ranges=ranges, divisors=divisors, known=(*self.known, *parts))

    def under_not(self, cond: Expr) -> Facts:
        """These facts where `cond` does not hold."""
        return self.under(Unary("not", cond))


def conjuncts(cond: Expr) -> Iterator[Expr]:
    """The conditions that `cond` joins with `and`."""
    match cond:
        case Binary("and", a, b):
            yield from conjuncts(a)
            yield from conjuncts(b)
        case _:
            yield cond


def divisors_of(cond: Expr) -> dict[Var, int]:
    """The divisor that a condition of the form `v % c == 0` promises; empty for any other."""
    match cond:
        case Binary("==", Binary("%", Var() as v, Const(int(c))), Const(0)) if c > 1:
            return {v: c}
        case Binary("==", Const(0), Binary("%", Var() as v, Const(int(c)))) if c > 1:
            return {v: c}
    return {}


def under(cond: Expr, ranges: Ranges) -> dict[Var, Interval]:
    """`ranges` where `cond` holds: tighter for variables that it compares."""
    result = dict(ranges)
    for c in conjuncts(cond):
        result.update(_refined(c, Simplifier(result)))
    return result


def _refined(cond: Expr, simplifier: Simplifier) -> dict[Var, Interval]:
    """Bounds of the variables in a comparison of indices, from the bounds of all that they are added to."""
    match cond:
        case Unary("not", Binary(op, a, b)) if op in ("<", "<=", ">", ">="):
            cond = Binary({"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[op], a, b)
    match cond:
        case Binary(op, a, b) if op in _COMPARISONS and dtype_of(a) is INDEX:
            pass
        case _:
            return {}
    result: dict[Var, Interval] = {}
    pairs = {"<": [(a, b, 1)], "<=": [(a, b, 0)], ">": [(b, a, 1)], ">=": [(b, a, 0)], "==": [(a, b, 0), (b, a, 0)]}
    for lesser, greater, plus in pairs[op]:  # lesser - greater + plus <= 0
        x = simplifier.linear(lesser - greater + plus)
        for atom, k in x.items():
            if not isinstance(atom.expr, Var):
                continue
            v = atom.expr
            rest = dict(x)
            add_scaled(rest, {atom: k}, -1)
            least, _ = bounds(simplifier.algebra.digits(rest))
            if isinf(least):
                continue
            low, high = result.get(v, simplifier.ranges.get(v, UNBOUNDED))
            if k > 0:  # k*v <= -least
                high = min(high, -least // k)
            else:  # v >= least / -k
                low = max(low, -(-least // -k))
            if low <= high:  # else nothing here is ever executed, and any range is true
                result[v] = low, high
    return result


def variable_ranges(kernel: Kernel) -> dict[Var, Interval]:
    """Inclusive bounds of every integer variable bound in the kernel, at any place where it is in scope."""
    result: dict[Var, Interval] = {}
    for launch in kernel.launches:
        result.update(launch_facts(kernel, launch, assume=False).ranges)
    return result


def launch_facts(kernel: Kernel, launch: Launch, assume: bool = True) -> Facts:
    """What holds throughout `launch`. An Assume at the top level of its body counts for all of it.

    It is executed by every thread, so a run in which it does not hold has no meaning at all.
    """
    ranges: dict[Var, Interval] = {}
    for size in kernel.sizes:
        ranges[size] = SIZE
    for v, extent in zip(launch.blocks, launch.grid):
        ranges[v] = (0, max(0, min(Simplifier(ranges).bounds(extent)[1], GREATEST_SIZE) - 1))
    ranges[launch.thread] = (0, launch.num_threads - 1)
    limits = {v: extent for v, extent in zip(launch.blocks, launch.grid) if not isinstance(extent, Const)}
    facts = Facts(ranges, limits=limits)
    if assume:
        for s in launch.body:
            if isinstance(s, Assume):
                facts = facts.under(s.cond)
    facts = Facts(dict(facts.ranges), dict(facts.divisors), dict(limits), facts.known)
    _collect(launch.body, facts)
    return facts


def _collect(block: Block, facts: Facts) -> None:
    """Adds the variables bound in `block`. Each is bound before it is used, so the simplifier sees its final range."""
    simplifier = facts.simplifier
    for s in block:
        match s:
            case Let(var, value) if var.dtype.is_integer or var.dtype.kind is Kind.BOOL:
                facts.ranges[var] = simplifier.bounds(value)
                if var.dtype is INDEX and (unit := alignment(value, simplifier)) > 1 and not isinstance(value, Const):
                    facts.divisors[var] = unit
            case For(var, extent, body):
                facts.ranges[var] = (0, max(0, simplifier.bounds(extent)[1] - 1))
                if not isinstance(extent, Const) and effect_of(extent) is Effect.PURE:  # else a store may change it
                    facts.limits[var] = extent
                _collect(body, facts)
            case While(_, body):
                _collect(body, facts)
            case If(_, then, orelse):
                _collect(then, facts)
                _collect(orelse, facts)
            case Roles(roles):
                for role in roles:
                    facts.ranges[role.thread] = (0, role.threads - 1)
                    _collect(role.body, facts)
            case Parallel(vars, extents, body):
                facts.ranges.update({v: (0, n - 1) for v, n in zip(vars, extents)})
                _collect(body, facts)
            case AtomicUpdate(result=Var() as var) if var.dtype.is_integer:
                facts.ranges[var] = (-inf, inf) if var.dtype is INDEX else var.dtype.int_range


def in_bounds(facts: Facts, buffer: Buffer, indices: tuple[Expr, ...]) -> list[Expr]:
    """The conditions, of those that say that `indices` lie in `buffer`, that do not follow from `facts`."""
    needed: list[Expr] = []
    for index, extent in zip(indices, buffer.shape, strict=True):
        size = Const(extent) if isinstance(extent, int) else extent
        for cond in (Binary("<=", Const(0, dtype_of(index)), index), Binary("<", index, size)):
            if not facts.proves(cond):
                needed.append(facts.simplifier.simplify(cond))
    return needed
