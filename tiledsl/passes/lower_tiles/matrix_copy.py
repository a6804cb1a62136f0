"""Copies between shared memory and registers by ldmatrix and stmatrix (algorithms.md D.2), where the layouts allow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiledsl.ir.layout import Fragment
from tiledsl.ir.layout_ops import same_map
from tiledsl.ir.nodes import (
    Alloc,
    Block,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    Load,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    eq,
    lt,
)
from tiledsl.ir.tile import Parallel
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.expressions import expression, optional
from tiledsl.passes.lower_tiles.loops import loop_layout
from tiledsl.passes.lower_tiles.matrices import LANES, Matrices, match_matrices, matrix_call, row_access, row_address
from tiledsl.passes.lower_tiles.scope import Scope
from tiledsl.passes.lower_tiles.spread import nest, thread_digits, variables


@dataclass(frozen=True, slots=True)
class _Copy:
    """A loop that moves a whole fragment to or from shared memory, element by element."""

    kind: str  # of the instruction
    fragment: Buffer
    shared: Buffer
    indices: tuple[Expr, ...]
    version: Expr | None
    converted: Cast | None = None


def matrix_copy(ctx: Context, s: Parallel, scope: Scope) -> Block | None:
    """The loop as matrix instructions; None if it is no such copy, or a warp may not be complete here."""
    copy = None if scope.parallel or scope.divergent or s.width else _recognise(s)
    if copy is None or copy.kind not in ctx.target.features:
        return None
    f = ctx.fragment_of(copy.fragment)
    held = Fragment(s.extents, f.threads, f.regs)
    if not same_map(loop_layout(ctx, s), held):
        return None
    contiguous = _contiguous_variable(ctx, s, copy)
    m = match_matrices(held, contiguous, copy.shared.dtype.bits) if contiguous is not None else None
    return None if m is None else _emit(ctx, s, copy, held, m)


def _recognise(s: Parallel) -> _Copy | None:
    if len(s.body) != 1 or not isinstance(s.body[0], Store) or len(s.extents) < 2:
        return None
    store = s.body[0]
    match store.buffer.space, store.value:
        case Space.FRAGMENT, Load(source, indices, version) if source.space is Space.SHARED:
            if source.dtype is store.buffer.dtype and _at_point(store.indices, s.vars):
                return _Copy("ldmatrix", store.buffer, source, indices, version)
        case Space.SHARED, Load() | Cast(_, Load()) if store.buffer.dtype.bits == 16:
            cast = store.value if isinstance(store.value, Cast) else None
            load = cast.a if cast is not None else store.value
            assert isinstance(load, Load)
            if load.buffer.space is Space.FRAGMENT and _at_point(load.indices, s.vars):
                return _Copy("stmatrix", load.buffer, store.buffer, store.indices, store.version, cast)
    return None


def _at_point(indices: tuple[Expr, ...], point: tuple[Var, ...]) -> bool:
    """Whether the indices are the loop's variables in order, apart from dimensions of extent 1."""
    return tuple(i for i in indices if i != Const(0)) == point


def _contiguous_variable(ctx: Context, s: Parallel, copy: _Copy) -> int | None:
    """The loop variable that moves along shared memory by one element, and along nothing else."""
    *outer, last = copy.indices
    for i, v in enumerate(s.vars):
        if v in variables(last) and v not in variables(ctx.simplify(last - v)):
            return None if any(v in variables(e) for e in outer) else i
    return None


def _emit(ctx: Context, s: Parallel, copy: _Copy, held: Fragment, m: Matrices) -> Block | None:
    access = row_access(ctx, m, m.groups)
    env = dict(zip(s.vars, access.coords))
    indices = tuple(ctx.simplify(expression(ctx, i, env)) for i in copy.indices)
    row = row_address(ctx, copy.shared, indices, optional(ctx, copy.version, {}))
    if row is None:
        return None
    guards: list[Expr] = []
    if held.num_threads < ctx.num_threads:
        guards.append(lt(ctx.thread, held.num_threads))  # whole warps: held.num_threads is a multiple of 32
    before: Block = ()
    registers = ctx.store_for(copy.fragment)
    if copy.kind == "stmatrix":
        guards += [eq(value, 0) for value, d in thread_digits(ctx, m.warps, LANES) if d.stride == 0]
        if copy.converted is not None:
            before, registers = _converted(ctx, copy, registers, held.num_regs)
    call: Stmt = replace(matrix_call(copy.kind, m, access, registers, Const(0), row), span=s.span)
    return (*before, *nest(access.loops, guards, (call,)))


def _converted(ctx: Context, copy: _Copy, registers: Buffer, count: int) -> tuple[Block, Buffer]:
    """Statements that convert the fragment's registers into an array of the shared buffer's dtype, and that array."""
    assert copy.converted is not None
    packed = ctx.registers(f"{registers.name}_{copy.shared.dtype.name}", count, copy.shared.dtype)
    pair, lane = ctx.digit_var("r", count // 2), ctx.digit_var("v", 2)
    at = (pair * 2 + lane,)
    store = Store(packed, at, replace(copy.converted, a=Load(registers, at)))
    inner = For(lane, Const(2), (store,), Vectorized())
    return (Alloc(packed), For(pair, Const(count // 2), (inner,), Unrolled())), packed
