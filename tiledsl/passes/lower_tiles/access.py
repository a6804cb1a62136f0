"""From the coordinates of an element to its register, or to its offset in flat shared memory.

Offsets are written so that the parts that depend on the thread alone are computed once, at the top of the kernel, and
what is left are constants after unrolling: `base * 8 + r * 512`, or `(base ^ r) * 8` where the swizzle is in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, inf

from tiledsl.ir.layout import Fragment, Layout, Swizzle, ravel, reg_of, unravel
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr, Node, Space, Var, static_shape, wrap
from tiledsl.passes.lower_tiles.context import Context

Term = tuple[int, Expr]  # coefficient, atom; the constant has the atom ONE
ONE, ZERO = Const(1), Const(0)


def element(
    ctx: Context, buffer: Buffer, indices: Sequence[Expr], version: Expr | None = None
) -> tuple[Buffer, tuple[Expr, ...]]:
    """The thread stage's buffer and indices for `buffer[indices]`."""
    match buffer.space:
        case Space.FRAGMENT:
            return ctx.store_for(buffer), (register(ctx, ctx.fragment_of(buffer), indices),)
        case Space.SHARED:
            root, coords = root_coordinates(ctx, buffer, indices)
            return ctx.store_for(root), (shared_offset(ctx, ctx.shared_layout(root), coords),)
    return buffer, tuple(ctx.simplify(i) for i in indices)


def register(ctx: Context, f: Fragment, coords: Sequence[Expr]) -> Expr:
    """The register in which this thread holds the element."""
    if f.num_regs == 1:
        return Const(0)
    known = ctx.noted_register(f, coords)
    if known is not None:
        return known
    linear = ctx.simplify(wrap(ravel(coords, f.shape)))
    return ctx.simplify(wrap(reg_of(f, linear)))


def root_coordinates(ctx: Context, buffer: Buffer, indices: Sequence[Expr]) -> tuple[Buffer, tuple[Expr, ...]]:
    """The shared buffer that a view of the same dtype shows in the end, and the coordinates there."""
    while buffer in ctx.sources:
        source = ctx.sources[buffer]
        linear = wrap(ravel(indices, static_shape(buffer)))
        indices = [wrap(c) for c in unravel(linear, static_shape(source))]
        buffer = source
    return buffer, tuple(indices)


# --------------------------------------------------------------------------------------------------- shared offsets


def shared_offset(ctx: Context, layout: Layout, coords: Sequence[Expr]) -> Expr:
    """`layout.offset(coords)`, the thread's part bound at the top of the kernel where that can be done."""
    plain = Layout(layout.shape, layout.dims, layout.size)
    terms = linear_terms(ctx.simplify(wrap(plain.offset(coords))))
    thread, others = _split(ctx, terms)
    swizzle = layout.swizzle
    if swizzle is None:
        return total([_thread_base(ctx, thread, None), *others])
    # Whole periods pass through a swizzle.
    period = 1 << (swizzle.base + swizzle.shift + swizzle.bits)
    high = [t for t in others if t[0] % period == 0]
    low = [t for t in others if t[0] % period]
    parts = _swizzled_parts(ctx, thread, low, swizzle)
    return total([*(parts or [(1, wrap(swizzle(total([*thread, *low]))))]), *high])


def unswizzled(ctx: Context, layout: Layout, coords: Sequence[Expr]) -> Expr:
    """Where a layout would put an element if it had no swizzle: what the tensor core and the copy engine are told."""
    plain = Layout(layout.shape, layout.dims, layout.size)
    return total(linear_terms(ctx.simplify(wrap(plain.offset(coords)))))


def _swizzled_parts(ctx: Context, thread: list[Term], low: list[Term], swizzle: Swizzle) -> list[Term] | None:
    """swizzle(thread + low) as terms `(thread' ^ loops) * unit` and the rest; None where bits of the parts may meet.

    A swizzle is linear over bits, so it may be applied to summands that have no bit in common.
    """
    if not all(_only(a, ctx.digit_vars) for _, a in low):
        return None
    source = _field(swizzle.base + swizzle.shift, swizzle.bits)
    moved = source | _field(swizzle.base, swizzle.bits)
    period = 1 << (swizzle.base + swizzle.shift + swizzle.bits)
    crossing: list[Term] = []
    rest: list[Term] = []
    for t in low:
        (crossing if _bits(ctx, [t]) & moved else rest).append(t)
    a = _bits(ctx, [t for t in thread if t[0] % period]) & (period - 1)
    b, c = _bits(ctx, crossing), _bits(ctx, rest)
    if (a & b) | (a & c) | (b & c) or b >= period or min(b, c) < 0:
        return None
    unit, base = _thread_base(ctx, thread, swizzle, crossing)
    if not crossing:
        return [(unit, base), *rest]
    flip = total(crossing)
    if b & source:
        flip = wrap(swizzle(flip))
    flip = ctx.simplify(flip // unit)
    return [(unit, flip if base == ZERO else base ^ flip), *rest]


def _thread_base(ctx: Context, thread: list[Term], swizzle: Swizzle | None, others: Sequence[Term] = ()) -> Term:
    """(unit, base), whose product is the thread's part of an offset, swizzled if asked for; bound at the top.

    The unit also divides `others`.
    """
    if swizzle is None:
        unit = gcd(*(k for k, _ in thread)) or 1
        return unit, ctx.bind("at", total([(k // unit, a) for k, a in thread]))
    unit = gcd(1 << swizzle.base, *(k for k, _ in (*thread, *others)))
    shrunk = Swizzle(swizzle.bits, swizzle.base - (unit.bit_length() - 1), swizzle.shift)
    value = shrunk(total([(k // unit, a) for k, a in thread]))
    return unit, ctx.bind("at", ctx.simplify(wrap(value)))


def _split(ctx: Context, terms: list[Term]) -> tuple[list[Term], list[Term]]:
    """Terms that depend on the thread alone, and the others."""
    thread: list[Term] = []
    others: list[Term] = []
    for t in terms:
        (thread if t[1] is not ONE and _only(t[1], ctx.thread_vars) else others).append(t)
    return thread, others


def linear_terms(e: Expr, k: int = 1) -> list[Term]:
    """The summands of a simplified index expression with their coefficients; the constant is that of ONE."""
    match e:
        case Const(value):
            return [(k * int(value), ONE)] if value else []
        case Binary("+", a, b):
            return linear_terms(a, k) + linear_terms(b, k)
        case Binary("-", a, b):
            return linear_terms(a, k) + linear_terms(b, -k)
        case Binary("*", a, Const(c)):
            return linear_terms(a, k * int(c))
    return [(k, e)]


def total(terms: Sequence[Term]) -> Expr:
    """The expression of a sum of terms, its constant last."""
    result: Expr | None = None
    constant = 0
    for k, atom in terms:
        if isinstance(atom, Const):
            constant += k * int(atom.value)
        elif k:
            size = atom if k == 1 else atom * k
            result = size if result is None else result + size
    if result is None:
        return Const(constant)
    return result + constant if constant else result


def _only(e: Node, allowed: set[Var]) -> bool:
    """Whether `e` is arithmetic on `allowed` variables alone."""
    match e:
        case Var():
            return e in allowed
        case Const():
            return True
        case Binary(_, a, b):
            return _only(a, allowed) and _only(b, allowed)
    return False


def _field(base: int, bits: int) -> int:
    return ((1 << bits) - 1) << base


def _bits(ctx: Context, terms: Sequence[Term]) -> int:
    """A mask of the bits that the sum of the terms may have set; -1 where that is not known."""
    mask, greatest, meet = 0, 0, False
    for k, atom in terms:
        low, high = ctx.bounds(atom)
        if low < 0 or high == inf or k < 0:
            return -1
        most = k * int(high)
        own = most if atom is ONE else ((1 << most.bit_length()) - 1) & -(k & -k)
        meet = meet or bool(mask & own)
        mask, greatest = mask | own, greatest + most
    if meet:  # additions may carry
        mask = ((1 << greatest.bit_length()) - 1) & -(mask & -mask)
    return mask
