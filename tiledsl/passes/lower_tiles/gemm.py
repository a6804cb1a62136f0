"""Products of tiles: per step along k the operands' pieces come into registers, then each warp's atoms multiply them.

All loops are unrolled by the C++ compiler. What a lane's addresses owe to the thread is bound at the top of the kernel,
so the loops add or XOR constants to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiledsl.analysis.gemm_plan import GemmPlan, OperandPlan, Read, plan_gemm
from tiledsl.errors import VerifyError
from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Digit, Fragment
from tiledsl.ir.layout_ops import same_map
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AtomCall,
    Binary,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    For,
    Load,
    Region,
    Reinterpret,
    Store,
    Unrolled,
)
from tiledsl.ir.tile import Gemm
from tiledsl.passes.lower_tiles.access import element
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.matrices import match_matrices, matrix_call, row_access, row_address
from tiledsl.passes.lower_tiles.spread import (
    coordinates,
    cut,
    digit_loops,
    filled,
    nest,
    numbered,
    pieces,
    thread_digits,
)
from tiledsl.passes.lower_tiles.wgmma import lower_wgmma

FMA_UNROLL = 8  # steps along k of a multiply-add loop that are unrolled: enough to overlap loads with arithmetic


@dataclass(frozen=True, slots=True)
class Operand:
    """a or b: the tile's fragment (m, k) or (k, n), and where it is."""

    name: str
    plan: OperandPlan
    region: Region
    transposed: bool  # the buffer holds the tile's transpose
    steps: int  # along k
    dtype: DType  # in the registers of the instruction

    @property
    def piece(self) -> int:
        """Registers of one step along k."""
        return self.plan.held.num_regs // self.steps


def lower_gemm(ctx: Context, s: Gemm) -> Block:
    """The product for one thread."""
    plan = plan_gemm(s, ctx.num_threads, ctx.target, ctx.layouts)
    if not same_map(plan.c, ctx.fragment_of(s.c.buffer)):
        raise VerifyError(f"the layout of '{s.c.buffer.name}' is not the one that its product needs")
    if plan.kind == "wgmma":
        return lower_wgmma(ctx, s, plan)
    c = ctx.store_for(s.c.buffer)
    clear = _clear(ctx, c, plan.c.num_regs) if s.clear else ()
    inputs = [r.buffer.dtype for r in (s.a, s.b)]
    if plan.atom is not None:
        inputs = [op.dtype for op in plan.atom.operands[1:]]
    a = Operand("a", plan.a, s.a, s.transpose_a, plan.k_steps, inputs[0])
    b = Operand("b", plan.b, s.b, s.transpose_b, plan.k_steps, inputs[1])
    if plan.atom is None:
        return (*clear, *_multiply_add(ctx, plan, c, a, b))
    return (*clear, *_atoms(ctx, plan, c, a, b, None if s.e is None else _metadata(ctx, s.e.buffer, plan)))


def _clear(ctx: Context, c: Buffer, count: int) -> Block:
    return filled(ctx, c, count, Const(0.0 if c.dtype.is_float else 0, c.dtype))


# ----------------------------------------------------------------------------------------------------- tensor cores


def _metadata(ctx: Context, e: Buffer, plan: GemmPlan) -> Buffer:
    """The registers that say which elements of a sparse operand are there."""
    assert plan.e is not None
    if not same_map(plan.e, ctx.fragment_of(e)):
        raise VerifyError(f"the layout of '{e.name}' is not the one that its product needs")
    return ctx.store_for(e)


def _atoms(ctx: Context, plan: GemmPlan, c: Buffer, a: Operand, b: Operand, e: Buffer | None) -> Block:
    assert plan.atom is not None
    step = ctx.digit_var("k", plan.k_steps)
    allocs_a, load_a, a_regs, a_first = _operand(ctx, a, step)
    allocs_b, load_b, b_regs, b_first = _operand(ctx, b, step)
    (rm, rn), sizes = plan.repeats, [op.fragment.num_regs for op in plan.atom.operands]
    i, j = ctx.digit_var("i", rm), ctx.digit_var("j", rn)
    at = _at(ctx, i * (rn * sizes[0]) + j * sizes[0])
    chosen = () if e is None else (Address(e, (_at(ctx, step * (rm * sizes[3]) + i * sizes[3]),)),)
    call = AtomCall(
        plan.atom.name,
        (
            Address(c, (at,)),
            Address(a_regs, (_at(ctx, a_first + i * sizes[1]),)),
            Address(b_regs, (_at(ctx, b_first + j * sizes[2]),)),
            *chosen,
        ),
    )
    multiply = For(i, Const(rm), (For(j, Const(rn), (call,), Unrolled()),), Unrolled())
    body = (*allocs_a, *allocs_b, *load_a, *load_b, multiply)
    return (For(step, Const(plan.k_steps), body, Unrolled()),)


def _at(ctx: Context, e: Expr) -> Expr:
    return ctx.simplify(e)


def _operand(ctx: Context, o: Operand, step: Expr) -> tuple[Block, Block, Buffer, Expr]:
    """(allocation, loads, registers, number of the first register) of the operand's piece for one step along k."""
    if o.plan.read is Read.REGISTERS:
        return (), (), _held(ctx, o), step * o.piece
    registers = ctx.registers(f"{o.name}_regs", o.piece, o.dtype)
    loads = None
    if o.plan.read in (Read.LDMATRIX, Read.LDMATRIX_TRANS):
        loads = _matrix_loads(ctx, o, step, registers)
    if loads is None:
        loads = _element_loads(ctx, o, step, registers)
    return (Alloc(registers),), loads, registers, Const(0)


def _held(ctx: Context, o: Operand) -> Buffer:
    """The registers of an operand that is a fragment."""
    found = ctx.fragment_of(o.region.buffer)
    assert isinstance(o.plan.layout, Fragment)
    if not same_map(o.plan.layout, found):
        raise VerifyError(f"the layout of '{o.region.buffer.name}' is not the one that its product needs")
    return ctx.store_for(o.region.buffer)


def _stored_indices(ctx: Context, o: Operand, point: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """Where the buffer holds the tile's element `point`."""
    local = point[::-1] if o.transposed else point
    padded = (*(Const(0) for _ in o.region.offsets[:-2]), *local)
    return tuple(ctx.simplify(offset + i) for offset, i in zip(o.region.offsets, padded))


def _matrix_loads(ctx: Context, o: Operand, step: Expr, registers: Buffer) -> Block | None:
    """ldmatrix for one step along k; None where the fragment or the addresses do not allow it."""
    contiguous = 0 if o.transposed else 1
    m = match_matrices(o.plan.held, contiguous, o.dtype.bits)
    halves = cut(m.groups, m.count // o.steps) if m is not None else None
    if m is None or halves is None or "ldmatrix" not in ctx.target.features:
        return None
    fixed = _fixed(halves[0], step)
    access = row_access(ctx, m, halves[1], fixed)
    row = row_address(ctx, o.region.buffer, _stored_indices(ctx, o, access.coords), o.region.version)
    if row is None:
        return None
    return nest(access.loops, (), (matrix_call("ldmatrix", m, access, registers, Const(0), row),))


def _fixed(digits: tuple[Digit, ...], step: Expr) -> list[tuple[Expr, Digit]]:
    """The digits above one step's registers, whose number is `step`."""
    out: list[tuple[Expr, Digit]] = []
    below = 1
    for i, d in enumerate(reversed(digits)):
        value = step // below if below > 1 else step
        out.append((value if i == len(digits) - 1 else value % d.extent, d))
        below *= d.extent
    return out


def _element_loads(ctx: Context, o: Operand, step: Expr, registers: Buffer) -> Block:
    """One load for each element, as a vector where neighbours in registers are neighbours in shared memory."""
    f = o.plan.held
    halves = cut(pieces(f.regs, f.shape), o.piece)
    if halves is None:
        raise VerifyError(f"the registers of operand {o.name} do not fall into steps along k")
    loops = digit_loops(ctx, halves[1])
    if loops and _is_run(o, loops[-1][1]):
        loops[-1] = (replace(loops[-1][0], vector=True), loops[-1][1])
    parts = [
        *thread_digits(ctx, pieces(f.threads, f.shape)),
        *_fixed(halves[0], step),
        *((loop.var, d) for loop, d in loops),
    ]
    indices = _stored_indices(ctx, o, coordinates(ctx, parts, f.shape))
    flat, where = element(ctx, o.region.buffer, indices)
    value: Expr = Load(flat, where, o.region.version)
    if flat.dtype is not o.dtype:
        value = Reinterpret(o.dtype, value) if flat.dtype.bits == o.dtype.bits else Cast(o.dtype, value)
    store = Store(registers, (numbered(loops),), value)
    return nest([loop for loop, _ in loops], (), (store,))


def _is_run(o: Operand, d: Digit) -> bool:
    """Whether the digit steps through neighbours in the buffer's last dimension."""
    columns = o.plan.held.shape[1]
    return d.stride == (columns if o.transposed else 1)


# ------------------------------------------------------------------------------------------ multiply-adds by threads


def _multiply_add(ctx: Context, plan: GemmPlan, c: Buffer, a: Operand, b: Operand) -> Block:
    """Each thread: for every k, a column of its rows times a row of its columns."""
    step = ctx.digit_var("k", plan.k_steps)
    ctx.digit_vars.discard(step)  # a loop that is not wholly unrolled: its variable is no constant
    allocs_a, load_a, a_regs, a_first = _operand(ctx, a, step)
    allocs_b, load_b, b_regs, b_first = _operand(ctx, b, step)
    rm, rn = plan.repeats
    i, j = ctx.digit_var("i", rm), ctx.digit_var("j", rn)
    at = (_at(ctx, i * rn + j),)
    x = _converted(Load(a_regs, (_at(ctx, a_first + i),)), c.dtype)
    y = _converted(Load(b_regs, (_at(ctx, b_first + j),)), c.dtype)
    store = Store(c, at, _fused(Load(c, at), x, y, c.dtype))
    multiply = For(i, Const(rm), (For(j, Const(rn), (store,), Unrolled()),), Unrolled())
    in_registers = Read.REGISTERS in (a.plan.read, b.plan.read)  # register numbers must be constants
    kind = Unrolled() if in_registers or plan.k_steps <= FMA_UNROLL else Unrolled(FMA_UNROLL)
    body = (*allocs_a, *allocs_b, *load_a, *load_b, multiply)
    return (For(step, Const(plan.k_steps), body, kind),)


def _converted(e: Expr, dtype: DType) -> Expr:
    assert isinstance(e, Load)
    return e if e.buffer.dtype is dtype else Cast(dtype, e)


def _fused(c: Expr, x: Expr, y: Expr, dtype: DType) -> Expr:
    if dtype.is_float:
        return Call("fma", (x, y, c))
    return Binary("+", c, Binary("*", x, y))
