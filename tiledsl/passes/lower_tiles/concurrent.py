"""Roles, barriers in shared memory, and what waits for asynchronous work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import (
    WARPGROUP,
    Arrive,
    Await,
    BulkMove,
    ClusterBarrier,
    Dependency,
    Expect,
    Fence,
    Hold,
    InitBarrier,
    Role,
    Roles,
    SetRegisters,
    TensorCopy,
    reaches_blocks,
)
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Binary,
    Block,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    If,
    Launch,
    Let,
    Space,
    Stmt,
    Store,
    eq,
    lt,
    static_shape,
)
from tiledsl.ir.tile import Atomic, Copy, Gemm
from tiledsl.ir.walk import children, statements
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.expressions import condition, expression, optional
from tiledsl.passes.lower_tiles.scope import Scope
from tiledsl.passes.lower_tiles.spread import guarded
from tiledsl.passes.scoped import role_barrier

WARP = 32
LowerBlock = Callable[[Context, Iterable[Stmt], Scope], Block]

# ----------------------------------------------------------------------------------------------------------- barriers


def reaches_others(launch: Launch) -> bool:
    """Whether blocks of a cluster write to each other's memory, so that it must be there."""
    return any(map(reaches_blocks, statements(launch)))


def barriers_left(launch: Launch) -> Block:
    """What stands at the end: no block goes while others may still write to it or arrive at its barriers."""
    met = bool(launch.body) and launch.body[-1] == ClusterBarrier()
    return (ClusterBarrier(),) if reaches_others(launch) and not met else ()


def barriers_ready(launch: Launch) -> Block:
    """The barriers of a launch at its top: one thread makes them ready before any thread goes on, here or in a block
    that arrives at them."""
    allocs = [s for s in statements(launch) if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER]
    if not allocs:
        return ()
    inits = tuple(
        InitBarrier(Address(s.buffer, (Const(i),)), _arrivals(s), span=s.span)
        for s in allocs
        for i in range(static_shape(s.buffer)[0])
    )
    first = If(eq(launch.thread, 0), (*inits, Fence("barrier_init")))
    meet = ClusterBarrier() if reaches_others(launch) else Barrier()
    return (*(replace(s, init=None) for s in allocs), first, meet)


def _arrivals(s: Alloc) -> int:
    if not isinstance(s.init, Const):
        raise VerifyError(f"barrier '{s.buffer.name}' has no number of arrivals", s.span)
    return int(s.init.value)


def _barrier(ctx: Context, a: Address) -> Address:
    return Address(a.buffer, tuple(condition(ctx, i, {}) for i in a.indices), optional(ctx, a.version, {}))


def _handed(ctx: Context, buffers: tuple[Buffer, ...]) -> tuple[Buffer, ...]:
    """The storage of tiles that are handed over."""
    out: dict[Buffer, None] = {}
    for b in buffers:
        while b in ctx.sources:
            b = ctx.sources[b]
        out.setdefault(ctx.store_for(b))
    return tuple(out)


# Of how many threads one arrives.
_SHARE = {"threads": 1, "warps": WARP, "warpgroups": WARPGROUP}


def lower_arrive(ctx: Context, s: Arrive, scope: Scope) -> Block:
    """The arrival of those threads that stand for the others."""
    arrive = replace(s, barrier=_barrier(ctx, s.barrier), by="threads", buffers=_handed(ctx, s.buffers))
    share = _SHARE.get(s.by, ctx.num_threads)
    if scope.single or share == 1:
        return (arrive,)
    chosen = ctx.thread if share >= ctx.num_threads else ctx.thread % share
    return guarded((eq(chosen, 0),), (arrive,))


def lower_barrier(ctx: Context, s: Barrier, scope: Scope) -> Block:
    """A barrier of all threads in hand is one of the role, inside of one."""
    return (s if s.id or s.count else replace(ctx.barrier, span=s.span),)


def joined(block: Sequence[Stmt]) -> Block:
    """`block` with neighbours joined that one thread executes and that only start the copy engine or count for it."""
    out: list[Stmt] = []
    for s in block:
        last = out[-1] if out else None
        if isinstance(last, If) and isinstance(s, If) and last.cond == s.cond and _for_engine(last) and _for_engine(s):
            out[-1] = replace(last, then=(*last.then, *s.then))
        else:
            out.append(s)
    return tuple(out)


def _for_engine(s: If) -> bool:
    """Whether the statements under a condition change none of what it may depend on."""
    return not s.orelse and all(
        isinstance(x, Arrive | Expect | TensorCopy | BulkMove)
        or (isinstance(x, For) and all(isinstance(y, For | TensorCopy | BulkMove) for y in statements(x)))
        for x in s.then
    )


def lower_expect(ctx: Context, s: Expect, scope: Scope) -> Block:
    expect = replace(s, barrier=_barrier(ctx, s.barrier), bytes=expression(ctx, s.bytes, scope.env))
    return guarded(() if scope.single else (eq(ctx.thread, 0),), (expect,))


def lower_await(ctx: Context, s: Await, scope: Scope) -> Block:
    parity = expression(ctx, s.parity, {})
    handed = _handed(ctx, s.buffers)
    far = s.barrier.buffer in ctx.memory.reached
    wait = replace(s, barrier=_barrier(ctx, s.barrier), parity=parity, buffers=handed, by="threads", cluster=far)
    return guarded((eq(ctx.thread, 0),) if s.by == "one" and not scope.single else (), (wait,))


# ------------------------------------------------------------------------------------------------------------- queues


def issued(ctx: Context, block: Block) -> dict[Buffer, None]:
    """The registers into which asynchronous products of a block add, those of roles in it aside."""
    found: dict[Buffer, None] = {}
    for s in block:
        if isinstance(s, Gemm) and s.asynchronous:
            found.setdefault(ctx.store_for(s.c.buffer))
        elif not isinstance(s, Roles):
            found |= issued(ctx, tuple(c for c in children(s) if isinstance(c, Stmt)))
    return found


def lower_commit(ctx: Context, s: AsyncCommit, scope: Scope) -> Block:
    if s.queue == "product":
        ctx.products.commit()
    return (s,)


def lower_wait(ctx: Context, s: AsyncWait, scope: Scope) -> Block:
    if s.queue != "product":
        return (s,)
    return (s, *map(Hold, ctx.products.complete(s.pending)))


# -------------------------------------------------------------------------------------------------------------- roles


def lower_roles(ctx: Context, s: Roles, scope: Scope, lower_block: LowerBlock) -> Block:
    """Each role for one of its threads."""
    lowered = tuple(_role(ctx, s, number, scope, lower_block) for number in range(len(s.roles)))
    return (replace(s, roles=lowered),)


def _role(ctx: Context, s: Roles, number: int, scope: Scope, lower_block: LowerBlock) -> Role:
    role = s.roles[number]
    own = ctx.of_role(role, role_barrier(number, role))
    own.products.all.update(issued(own, role.body))
    single = all(_by_one_thread(x, role.threads) for x in role.body)
    body = lower_block(own, role.body, replace(scope, single=single))
    if single:
        body = (If(_alone(role), body),)
    return replace(role, body=(*_registers(ctx, s, role), *own.prologue, *body))


def _alone(role: Role) -> Expr:
    """Whether a thread is the one that acts for the role."""
    if role.threads % WARP:
        return eq(role.thread, 0)
    return Binary("and", lt(role.thread, WARP), Call("elected", (role.thread,)))


def _registers(ctx: Context, s: Roles, role: Role) -> Block:
    """More or fewer registers than each thread has at launch: those of the block are dealt out evenly then."""
    if not role.registers or "setmaxnreg" not in ctx.target.features:
        return ()
    dealt = ctx.target.registers_per_sm // ctx.num_threads // 8 * 8
    at_launch = min(dealt, max(r.registers for r in s.roles))
    return (SetRegisters(role.registers, role.registers > at_launch),)


def _by_one_thread(s: Stmt, threads: int) -> bool:
    """Whether one thread can execute the statement for all: it only waits, counts, and starts the copy engine."""
    match s:
        case Await() | Expect() | Dependency() | Let() | Copy(bulk=True) | Atomic(bulk=True):
            return True
        case AsyncCommit(queue) | AsyncWait(_, queue):
            return queue == "store"
        case Alloc(buffer) | Store(buffer):
            return buffer.space is Space.VAR
        case Arrive(by=by, copies=False):
            return _SHARE.get(by, threads) >= threads
        case For(body=body):
            return all(_by_one_thread(x, threads) for x in body)
        case If(then=then, orelse=orelse):
            return all(_by_one_thread(x, threads) for x in (*then, *orelse))
    return False
