"""Small values for the dynamic sizes and the scalars of a kernel, from its IR alone.

A size that blocks or loops divide by a tile gets a ragged number of tiles: a whole one and a part for blocks, four and
a part for loops, so that a pipeline of three stages comes to its steady state. What `Assume` promises is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from math import ceil, isinf, lcm

from tiledsl.analysis.ranges import launch_facts
from tiledsl.ir.dtypes import BOOL
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr, Extent, For, Kernel, Node, Var
from tiledsl.ir.walk import walk

PLAIN = 7  # of a size that no tile divides
SCALAR = 3  # of a scalar that nothing sizes
PADDING = 8  # elements between the rows of a tensor with strides of its own


class Sizing(Enum):
    """The ways to choose sizes, the most telling first; the next is for kernels that the one before does not suit."""

    RAGGED = "ragged"
    WHOLE = "whole tiles"
    EQUAL = "all sizes equal, whole tiles"


def choose_sizes(kernel: Kernel, sizing: Sizing) -> dict[Var, int | float | bool]:
    """A value for each size and scalar parameter of `kernel`."""
    sized = _sizing_variables(kernel)
    chosen: dict[Var, int | float | bool] = {}
    for v in (*kernel.sizes, *(p for p in kernel.params if isinstance(p, Var))):
        if v.dtype is BOOL:
            chosen[v] = True
        elif v.dtype.is_float:
            chosen[v] = 0.5
        else:
            wanted = _wanted(kernel, v, sizing) if v in kernel.sizes or v in sized else SCALAR
            chosen[v] = _admitted(kernel, v, wanted)
    if sizing is Sizing.EQUAL:
        same = max((int(chosen[v]) for v in kernel.sizes), default=0)
        chosen.update({v: same for v in kernel.sizes})
    chosen.update(_strides(kernel, chosen))
    return chosen


def _wanted(kernel: Kernel, v: Var, sizing: Sizing) -> int:
    of_grid = [c for launch in kernel.launches for e in launch.grid for c in _divisors(e, v)]
    of_loops = [c for n in walk(kernel) if isinstance(n, For) for c in _divisors(n.extent, v)]
    others = [c for launch in kernel.launches for s in launch.body for c in _divisors(s, v)]
    units = of_grid + of_loops or others
    if not units:
        return PLAIN
    if sizing is not Sizing.RAGGED:
        return lcm(*units) * (4 if of_loops else 2)
    if of_loops:
        return 4 * max(of_loops) + ceil(max(of_loops) / 3)
    return max(units) + ceil(max(units) / 3)


def _divisors(node: Node, v: Var) -> Iterator[int]:
    """The constants that expressions below `node` with `v` in them are divided by."""
    for n in walk(node):
        match n:
            case Binary("//" | "div", a, Const(int(c))) if c > 1 and _mentions(a, v):
                yield c
            case Binary(">>", a, Const(int(c))) if 0 < c < 16 and _mentions(a, v):
                yield 1 << c


def _mentions(node: Node, v: Var) -> bool:
    return any(n is v for n in walk(node))


def _sizing_variables(kernel: Kernel) -> set[Node]:
    """The variables that grids, extents of tensors and extents of loops depend on."""
    tensors = [b for b in (*kernel.params, *kernel.scratch) if isinstance(b, Buffer)]
    sources: list[Extent] = [e for b in tensors for e in (*b.shape, *(b.strides or ()))]
    sources += [e for launch in kernel.launches for e in launch.grid]
    sources += [n.extent for n in walk(kernel) if isinstance(n, For)]
    return {n for e in sources if isinstance(e, Expr) for n in walk(e) if isinstance(n, Var)}


def _admitted(kernel: Kernel, v: Var, wanted: int) -> int:
    """The number nearest to `wanted`, from above where it can, that every `Assume` about `v` alone admits."""
    low, high, divisor = 0, v.dtype.int_range[1], 1
    for launch in kernel.launches:
        facts = launch_facts(kernel, launch)
        least, most = facts.ranges.get(v, (low, high))
        low, high = max(low, 0 if isinf(least) else int(least)), min(high, high if isinf(most) else int(most))
        divisor = lcm(divisor, facts.divisors.get(v, 1))
    number = max(low, min(high, wanted))
    number = ceil(number / divisor) * divisor
    return number if number <= high else high // divisor * divisor


def _strides(kernel: Kernel, chosen: Mapping[Var, int | float | bool]) -> dict[Var, int]:
    """For sizes that are strides: wide enough that no two elements of the tensor meet."""

    def value(e: Extent) -> int | None:
        match e:
            case int():
                return e
            case Const(n):
                return int(n)
            case Var():
                return int(made.get(e, chosen[e]))
        return None

    made: dict[Var, int] = {}
    for b in kernel.params:
        if not isinstance(b, Buffer) or b.strides is None:
            continue
        reach = 1
        for extent, stride in reversed(list(zip(b.shape, b.strides))):
            if isinstance(stride, Var) and stride not in b.shape:
                made[stride] = max(made.get(stride, 0), _admitted(kernel, stride, -(-reach // PADDING) * PADDING))
            reach = max(reach, (value(stride) or reach) * (value(extent) or 1))
    return made
