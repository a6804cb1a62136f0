"""Products by warpgroups: one instruction for 64 rows, up to 256 columns and 32 bytes along k, read in place.

What the addresses owe to the thread is its warpgroup alone, bound at the top of the role; the loops, all unrolled, add
constants to it. Order and fences: PTX ISA, "Asynchronous Multiply-and-Accumulate Operation", "wgmma.fence".
"""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.analysis.gemm_plan import GemmPlan, OperandPlan, Read
from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import WARPGROUP, Fence, Hold
from tiledsl.ir.layout import Fragment
from tiledsl.ir.layout_ops import same_map
from tiledsl.ir.nodes import (
    FALSE,
    TRUE,
    Address,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Block,
    Const,
    Descriptor,
    Expr,
    For,
    Region,
    Unrolled,
    Var,
    lt,
)
from tiledsl.ir.tile import Gemm
from tiledsl.isa.wgmma import M
from tiledsl.passes.lower_tiles.access import root_coordinates, unswizzled
from tiledsl.passes.lower_tiles.context import Context


@dataclass(frozen=True, slots=True)
class _At:
    """Which instruction it is: the loops' variables over repeats along m and n, and steps along k."""

    i: Expr
    j: Expr
    step: Expr


def lower_wgmma(ctx: Context, s: Gemm, plan: GemmPlan) -> Block:
    """The product for one thread; a synchronous one is complete afterwards."""
    assert plan.atom is not None
    c = ctx.store_for(s.c.buffer)
    extents = (*plan.repeats, plan.k_steps)
    at = _At(*(ctx.digit_var(name, n) if n > 1 else Const(0) for name, n in zip("ijk", extents)))
    registers = plan.atom.operands[0].fragment.num_regs
    into = Address(c, (ctx.simplify(at.i * (plan.repeats[1] * registers) + at.j * registers),))
    a, b = _operand_a(ctx, s, plan, at), _operand_b(ctx, s, plan, at)
    accumulate: Expr = TRUE
    if s.clear:
        accumulate = lt(0, at.step) if plan.k_steps > 1 else FALSE
    call = AtomCall(plan.atom.name, (into, a, b, accumulate, *(Const(int(n)) for n in _majors(plan))))
    body: Block = (call,)
    for var, extent in ((at.j, plan.repeats[1]), (at.i, plan.repeats[0]), (at.step, plan.k_steps)):
        if isinstance(var, Var):
            body = (For(var, Const(extent), body, Unrolled()),)
    issued = (Hold(c), Fence("product"), *body)
    if s.asynchronous:
        ctx.products.issue(c)
        return issued
    ctx.products.commit()
    others = [b for b in ctx.products.complete(s.wait) if b is not c]
    return (*issued, AsyncCommit("product"), AsyncWait(s.wait, "product"), *map(Hold, (c, *others)))


def _majors(plan: GemmPlan) -> list[bool]:
    """For each operand in shared memory whether it is contiguous along m or n, which the instruction is told."""
    return [not p.matrix.k_major for p in (plan.a, plan.b) if p.matrix is not None]


def _operand_a(ctx: Context, s: Gemm, plan: GemmPlan, at: _At) -> Expr:
    assert plan.atom is not None
    if plan.a.read is Read.REGISTERS:
        return _held(ctx, s, plan, at)
    rows = M * plan.repeats[0]
    group = ctx.uniform_digit(WARPGROUP, plan.warps[0])
    depth = plan.shape[2] // plan.k_steps
    return _descriptor(ctx, s.a, plan.a, (group * rows + at.i * M, at.step * depth))


def _operand_b(ctx: Context, s: Gemm, plan: GemmPlan, at: _At) -> Expr:
    columns = plan.shape[1] // plan.warps[1]
    group = ctx.uniform_digit(WARPGROUP * plan.warps[0], plan.warps[1])
    depth = plan.shape[2] // plan.k_steps
    return _descriptor(ctx, s.b, plan.b, (group * columns + at.j * (columns // plan.repeats[1]), at.step * depth))


def _held(ctx: Context, s: Gemm, plan: GemmPlan, at: _At) -> Address:
    found = ctx.fragment_of(s.a.buffer)
    assert isinstance(plan.a.layout, Fragment) and plan.atom is not None
    if not same_map(plan.a.layout, found):
        raise VerifyError(f"the layout of '{s.a.buffer.name}' is not the one that its product needs")
    each = plan.atom.operands[1].fragment.num_regs
    return Address(ctx.store_for(s.a.buffer), (ctx.simplify(at.step * (plan.repeats[0] * each) + at.i * each),))


def _descriptor(ctx: Context, region: Region, plan: OperandPlan, point: tuple[Expr, Expr]) -> Descriptor:
    """The descriptor of what begins at `point` (m or n, k) of an operand in shared memory."""
    matrix = plan.matrix
    assert matrix is not None
    local = point if matrix.k_major else point[::-1]
    lead = (Const(0) for _ in region.offsets[:-2])
    indices = tuple(ctx.simplify(o + i) for o, i in zip(region.offsets, (*lead, *local)))
    root, coords = root_coordinates(ctx, region.buffer, indices)
    start = Address(ctx.store_for(root), (unswizzled(ctx, ctx.shared_layout(root), coords),), region.version)
    return Descriptor(start, matrix.leading, matrix.stride, matrix.swizzle)
