"""Layouts of views: the same storage under another shape or element width."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle
from tiledsl.ir.layout_ops import merge


def view_layout(
    layout: Fragment | Layout, old_bits: int, shape: Sequence[int], new_bits: int
) -> Fragment | Layout | None:
    """The layout of a view of `shape` with elements of `new_bits`; None where an element of it would be split."""
    if isinstance(layout, Fragment):
        threads = _rescaled(layout.threads, old_bits, new_bits, False)
        regs = _rescaled(layout.regs, old_bits, new_bits, True)
        return None if threads is None or regs is None else Fragment(tuple(shape), threads, regs)
    return _view_shared(layout, old_bits, tuple(shape), new_bits)


def _rescaled(digits: Sequence[Digit], old: int, new: int, is_regs: bool) -> tuple[Digit, ...] | None:
    """Digits of the linear index counted in elements of `new` bits; the registers take the split or lose the join."""
    if old == new:
        return tuple(digits)
    if old > new:
        times = old // new
        scaled = tuple(Digit(d.extent, d.stride * times) for d in digits)
        return scaled + (Digit(times, 1),) if is_regs else scaled
    times = new // old
    rest = list(merge(digits))
    if is_regs:
        if not rest or rest[-1].stride != 1 or rest[-1].extent % times:
            return None
        last = rest.pop()
        rest.append(Digit(last.extent // times, times))
    if any(d.stride % times for d in rest):
        return None
    return merge([Digit(d.extent, d.stride // times) for d in rest])


def _view_shared(layout: Layout, old: int, shape: tuple[int, ...], new: int) -> Layout | None:
    """The digits of all dimensions in a row count the linear index; they are rescaled and dealt to the new shape."""
    digits = [d for dim in layout.dims for d in dim if d.extent > 1]
    size, swizzle = layout.size, layout.swizzle
    if old > new:
        times = old // new
        digits = [Digit(d.extent, d.stride * times) for d in digits] + [Digit(times, 1)]
        size *= times
        swizzle = _moved(swizzle, times.bit_length() - 1)
    elif new > old:
        times = new // old
        if not digits or digits[-1].stride != 1 or digits[-1].extent % times or size % times:
            return None
        last = digits.pop()
        digits.append(Digit(last.extent // times, times))
        if any(d.stride % times for d in digits) or (swizzle and swizzle.base < times.bit_length() - 1):
            return None
        digits = [Digit(d.extent, d.stride // times) for d in digits]
        size //= times
        swizzle = _moved(swizzle, 1 - times.bit_length())
    dims = _dealt(digits, shape)
    return None if dims is None else Layout(shape, dims, size, swizzle)


def _moved(swizzle: Swizzle | None, by: int) -> Swizzle | None:
    return swizzle and Swizzle(swizzle.bits, swizzle.base + by, swizzle.shift)


def _dealt(digits: Sequence[Digit], shape: tuple[int, ...]) -> tuple[tuple[Digit, ...], ...] | None:
    """The digits cut into runs whose products are the extents; None if an extent does not cut a digit evenly."""
    rest = list(digits)
    dims: list[tuple[Digit, ...]] = []
    for extent in reversed(shape):
        taken: list[Digit] = []
        need = extent
        while need > 1:
            if not rest:
                return None
            d = rest.pop()
            if need % d.extent == 0:
                taken.append(d)
                need //= d.extent
            elif d.extent % need == 0:
                taken.append(Digit(need, d.stride))
                rest.append(Digit(d.extent // need, d.stride * need))
                need = 1
            else:
                return None
        dims.append(merge(tuple(reversed(taken))))
    return tuple(reversed(dims)) if prod(d.extent for d in rest) == 1 else None
