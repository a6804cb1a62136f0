"""Ping-pong: the warpgroups of a role take turns at the tensor core, and each computes beside the others' products.

Where the warpgroups of a role share nothing but the tiles that they read, each may be at another place of the loop. In
a loop that multiplies, and works on the sums before it multiplies again, they would all do the same at the same time:
multiply, while nobody computes, then compute, while the tensor core waits. So the products of one are issued behind
those of the other, and its softmax runs beside them (FlashAttention-3, Shah et al. 2024, section 3.1).

A *turn* is products that are issued one behind the other, with no work on registers in between. Each warpgroup has a
named barrier. It waits there for its turn, of which the warpgroup before it tells as soon as its products are issued;
the first turn is given by the last warpgroup, and the first one takes the one that is left over. What a warpgroup waits
for in its turn, tiles, others give without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.uniform import Uniform, uniform_values
from tiledsl.errors import Span
from tiledsl.ir.concurrent import WARPGROUP, Fence, Hold, NamedArrive, NamedSync, Role, Roles
from tiledsl.ir.nodes import (
    AsyncCommit,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Binary,
    Block,
    Call,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Move,
    Select,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    eq,
)
from tiledsl.ir.walk import statements
from tiledsl.isa.table import atom_named
from tiledsl.passes.base import kernel_pass, with_launches
from tiledsl.passes.facts import thread_stage
from tiledsl.passes.placed import put_before
from tiledsl.passes.scoped import role_barrier
from tiledsl.verifiers.turns import verify_turns

NAMED_BARRIERS = 16


class When(Enum):
    AUTO = "auto"  # in loops with several products and work between them
    ON = "on"  # wherever there is work beside which products can run
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Turn:
    """In the block at `block` the products in the statements `first` to `last`. `products`: how many groups of them."""

    block: Path
    first: int
    last: int
    products: int
    span: Span


@dataclass(frozen=True, slots=True)
class Rotation:
    """The turns of the `warpgroups` of a role; barrier `barrier` + w is that of warpgroup w.

    `path` is the role's; its statements `start` to `end` hold the turns.
    """

    path: Path
    role: str
    warpgroups: int
    barrier: int
    turns: tuple[Turn, ...]
    start: int
    end: int

    def __str__(self) -> str:
        last = self.barrier + self.warpgroups - 1
        lines = ", ".join(f"{t.products} products at line {t.span.line}" for t in self.turns)
        return f"{self.role}: {self.warpgroups} warpgroups take turns at barriers {self.barrier}-{last}: {lines}"


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """The rotations of a launch, and of loops that might have gained, why there are none."""

    rotations: tuple[Rotation, ...] = ()
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([*map(str, self.rotations), *self.refused])


@kernel_pass(requires=(thread_stage,), ensures=(thread_stage,), verify=verify_turns)
def ping_pong(kernel: Kernel, *, when: When = When.AUTO) -> Kernel:
    """Lets the warpgroups of a role take turns at the tensor core, where that gains; `when` it does is the user's."""
    when = When(when)
    if when is When.OFF:
        return kernel
    launches = []
    for launch in kernel.launches:
        plan = make_turn_plan(kernel, launch, when)
        body = with_turns(launch, plan) if plan.rotations else launch.body
        notes = (*launch.notes, *(str(plan),) * bool(str(plan)))
        launches.append(replace(launch, body=body, notes=notes) if str(plan) else launch)
    return with_launches(kernel, launches)


# --------------------------------------------------------------------------------------------------------------- plan


def make_turn_plan(kernel: Kernel, launch: Launch, when: When = When.AUTO) -> TurnPlan:
    """The turns of a thread-stage launch, whose barriers are in place."""
    planner: _Planner | None = None
    rotations: list[Rotation] = []
    for i, s in enumerate(launch.body):
        for n, role in enumerate(s.roles if isinstance(s, Roles) else ()):
            if role.threads >= 2 * WARPGROUP and role.threads % WARPGROUP == 0 and _multiplies(role):
                planner = planner or _Planner(uniform_values(kernel, launch), when, _first_free(launch))
                rotations += planner.rotation(role, (i, n))
    return TurnPlan(tuple(rotations), tuple(planner.refused) if planner else ())


def _multiplies(role: Role) -> bool:
    return any(_is_commit(s) for s in statements(role))


def _is_commit(s: Stmt) -> bool:
    return isinstance(s, AsyncCommit) and s.queue == "product"


def _first_free(launch: Launch) -> int:
    """The number from which on nobody uses named barriers; there is none if they are computed."""
    used = [0]
    for s in statements(launch):
        match s:
            case Barrier(number):
                used.append(number)
            case NamedSync(number) | NamedArrive(number):
                used.append(int(number.value) if isinstance(number, Const) else NAMED_BARRIERS)
            case Roles(roles):
                used += [role_barrier(n, role).id for n, role in enumerate(roles)]
    return max(used) + 1


class _Planner:
    """Finds turns. A loop that gets none though it could gain leaves a reason in `refused`."""

    def __init__(self, uniform: Uniform, when: When, free: int) -> None:
        self.uniform, self.when, self.free = uniform, when, free
        self.refused: list[str] = []

    def rotation(self, role: Role, path: Path) -> Iterator[Rotation]:
        found = [(i, list(self.turns(s, (*path, i), looped=False))) for i, s in enumerate(role.body)]
        places = [i for i, turns in found if turns]
        if not places:
            return
        count = role.threads // WARPGROUP
        if self.free + count > NAMED_BARRIERS:
            self.refused.append(f"{role.name}: no turns, {NAMED_BARRIERS} named barriers are too few")
            return
        turns = tuple(t for _, mine in found for t in mine)
        yield Rotation(path, role.name, count, self.free, turns, places[0], places[-1])
        self.free += count

    def turns(self, s: Stmt, path: Path, *, looped: bool) -> Iterator[Turn]:
        """The turns in the blocks of `s`: all warpgroups execute these equally often."""
        match s:
            case For(_, extent, body, Serial()) if self.uniform(extent):
                yield from self.block(body, path, looped=True)
            case If(cond, then, orelse) if self.uniform(cond):
                for n, inner in enumerate((then, orelse)):
                    yield from self.block(inner, (*path, n), looped=looped)

    def block(self, block: Block, path: Path, *, looped: bool) -> Iterator[Turn]:
        if looped and any(map(_is_commit, block)):
            yield from self.of_loop(block, path)
            return
        for i, s in enumerate(block):
            yield from self.turns(s, (*path, i), looped=looped)

    def of_loop(self, block: Block, path: Path) -> Iterator[Turn]:
        """The turns of a block that is executed again and again, or none for a reason."""
        turns = list(runs(block, path))
        works = any(map(computes, block))
        products = sum(t.products for t in turns)
        if not works or (products < 2 and self.when is When.AUTO):
            if self.when is When.ON:
                self.refused.append(f"no turns at line {turns[0].span.line}: nothing is computed beside the products")
            return
        if any(isinstance(x, Barrier) for s in block for x in (s, *statements(s))):
            self.refused.append(f"no turns at line {turns[0].span.line}: the warpgroups exchange data in the loop")
            return
        yield from turns


def runs(block: Block, path: Path) -> Iterator[Turn]:
    """Products that are issued one behind the other: until a statement computes on registers."""
    first: int | None = None
    last = products = 0
    for i, s in enumerate(block):
        if _issues(s) and first is None:
            first = _begin(block, i)
        if _is_commit(s):
            last, products = i, products + 1
        elif first is not None and products and computes(s):
            yield Turn(path, first, last, products, block[first].span)
            first, products = None, 0
    if first is not None and products:
        yield Turn(path, first, last, products, block[first].span)


def _begin(block: Block, i: int) -> int:
    """Where the fence of the product at `i` begins."""
    while i and isinstance(block[i - 1], Fence | Hold):
        i -= 1
    return i


def _issues(s: Stmt) -> bool:
    """Whether it gives the tensor core something to multiply by itself."""
    return any(isinstance(x, AtomCall) and _is_product(x) for x in (s, *statements(s)))


def _is_product(s: AtomCall) -> bool:
    row = atom_named(s.atom)
    return row is not None and row.kind == "wgmma"


def computes(s: Stmt) -> bool:
    """Whether threads compute in it: counters of slots and phases, waits and arrivals are no work."""
    for x in (s, *statements(s)):
        match x:
            case Store(buffer) if buffer.space is not Space.VAR:
                return True
            case Move() | AtomicUpdate():
                return True
            case AtomCall() if not _is_product(x):
                return True
    return False


# -------------------------------------------------------------------------------------------------------------- apply


def with_turns(launch: Launch, plan: TurnPlan) -> Block:
    """The body of `launch` with the barriers of `plan`."""
    before: dict[Path, Block] = {}
    for r in plan.rotations:
        _add_rotation(before, launch, r)
    return put_before(launch.body, before, lambda path, span, whole: before[path])


def _add_rotation(before: dict[Path, Block], launch: Launch, r: Rotation) -> None:
    """What stands before which statement; one behind the last of a block means at its end."""
    at, number = r.path
    roles = launch.body[at]
    assert isinstance(roles, Roles)
    role = roles.roles[number]
    mine, count, first = Var("turn"), 2 * WARPGROUP, Const(r.barrier)
    own: Expr = first + mine
    last = Const(r.warpgroups - 1)
    following = Const(r.barrier + 1) - mine if r.warpgroups == 2 else Select(eq(mine, last), first, own + 1)
    give = NamedArrive(first, count, span=role.body[r.start].span)
    take = NamedSync(first, count, span=role.body[r.end].span)
    number_of = Let(mine, Call("warp_uniform", (Binary("//", role.thread, Const(WARPGROUP)),)))
    _put(before, (*r.path, r.start), (number_of, If(eq(mine, last), (give,), span=give.span)))
    _put(before, (*r.path, r.end + 1), (If(eq(mine, 0), (take,), span=take.span),))
    for t in r.turns:
        _put(before, (*t.block, t.first), (NamedSync(own, count, span=t.span),))
        _put(before, (*t.block, t.last + 1), (NamedArrive(following, count, span=t.span),))


def _put(before: dict[Path, Block], path: Path, block: Block) -> None:
    before[path] = (*before.get(path, ()), *block)
