"""A kernel that every pass changes, and a bug to plant behind each pass: type-correct, and wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import tiledsl
import tiledsl.language as T
from tiledsl.ir.layout import Digit, Fragment
from tiledsl.ir.nodes import (
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Barrier,
    Binary,
    Const,
    For,
    If,
    Kernel,
    Move,
    Node,
    Space,
    Store,
)
from tiledsl.ir.tile import Copy, Gemm, Parallel
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import map_children, walk

Change = Callable[[Kernel], Kernel]


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda n: isinstance(n, kind)


@tiledsl.kernel
def everything(
    A: T.Tensor((40, 72), T.float16),
    B: T.Tensor((72, 32), T.float16),
    bias: T.Tensor((32,), T.float16),
    C: T.Tensor((40, 32), T.float16),
):
    """C = A B + 2 bias, in tiles of 32 x 32 x 16 that do not divide the sizes."""
    with T.Kernel(T.ceildiv(40, 32), threads=64) as by:
        a = T.alloc_shared((32, 16), T.float16)
        b = T.alloc_shared((16, 32), T.float16)
        acc = T.alloc_fragment((32, 32), T.float32)
        half = T.alloc_fragment((32, 32), T.float16)
        row = by * 32
        T.clear(acc)
        for k in T.Pipelined(T.ceildiv(72, 16), num_stages=2):
            T.copy(A[row, k * 16], a)
            T.copy(B[k * 16, 0], b)
            T.gemm(a, b, acc)
        for i, j in T.Parallel(32, 32):
            half[i, j] = T.cast(acc[i, j], T.float16) + bias[j] * T.float16(2.0)
        T.copy(half, C[row, 0])


@cache
def traced() -> Kernel:
    return everything.trace()


# ---------------------------------------------------------------------------------------------------------- changes

ROW_BY_ROW = Fragment((32, 32), threads=(Digit(64, 16),), regs=(Digit(16, 1),))


def edit(kernel: Kernel, wanted: Callable[[Any], bool], new: Callable[[Any], Any], nth: int = 0) -> Kernel:
    """The `nth` node that is `wanted`, parents first, replaced; a tuple is spliced in."""
    found = 0

    def visit(node: Node) -> Any:
        nonlocal found
        if wanted(node):
            found += 1
            if found == nth + 1:
                return new(node)
        return map_children(node, visit)

    result = visit(kernel)
    assert found > nth, "nothing to change"
    assert isinstance(result, Kernel)
    return result


def dropped(kind: type, nth: int = 0) -> Change:
    return lambda kernel: edit(kernel, lambda n: isinstance(n, kind), lambda n: (), nth)


def replaced(wanted: Callable[[Any], bool], nth: int = 0, **changes: Any) -> Change:
    """Fields of the `nth` node that is `wanted` set to other values."""
    return lambda kernel: edit(kernel, wanted, lambda n: replace(n, **changes), nth)


def other_sign(kernel: Kernel) -> Kernel:
    """The first store of a sum of floats subtracts."""

    def sums(n: Any) -> bool:
        return isinstance(n, Binary) and n.op == "+" and dtype_of(n).is_float

    return edit(kernel, sums, lambda n: replace(n, op="-"))


def other_constant(number: int, instead: int, nth: int = 0) -> Change:
    return replaced(lambda n: isinstance(n, Const) and type(n.value) is int and n.value == number, nth, value=instead)


def vector_too_far(kernel: Kernel) -> Kernel:
    """The first vector move out of a tensor reads the vector after it."""

    def further(m: Move) -> Move:
        *rest, last = m.src.indices
        return replace(m, src=replace(m.src, indices=(*rest, last + Const(m.lanes, dtype_of(last)))))

    return edit(kernel, lambda n: isinstance(n, Move) and n.src.buffer.space is Space.GLOBAL, further)


def without_guard(kernel: Kernel) -> Kernel:
    """The last branch is always taken."""
    last = [n for n in walk(kernel) if isinstance(n, If)][-1]
    return edit(kernel, lambda n: n is last, lambda n: n.then)


def one_version(kernel: Kernel) -> Kernel:
    """A copy in the loop always goes to version 0."""

    def wanted(n: Any) -> bool:
        return isinstance(n, Copy) and n.dst.version is not None and not isinstance(n.dst.version, Const)

    return edit(kernel, wanted, lambda n: replace(n, dst=replace(n.dst, version=Const(0))))


def layout_of_another(kernel: Kernel) -> Kernel:
    """The loop that fills the accumulator has its points dealt to the threads in another way."""

    def wanted(n: Any) -> bool:
        return isinstance(n, Parallel) and n.extents == (32, 32)

    def dealt(n: Parallel) -> Parallel:
        return replace(n, layout=ROW_BY_ROW)

    return edit(kernel, wanted, dealt)


def overlapping_slots(kernel: Kernel) -> Kernel:
    (launch,) = kernel.launches
    return replace(kernel, launches=(replace(launch, shared=tuple(replace(s, offset=0) for s in launch.shared)),))


def last_of(kind: type) -> Change:
    """The last statement of a kind is gone."""

    def change(kernel: Kernel) -> Kernel:
        last = [n for n in walk(kernel) if isinstance(n, kind)][-1]
        return edit(kernel, lambda n: n is last, lambda n: ())

    return change


def counter_stands_still(kernel: Kernel) -> Kernel:
    """The last store of the main loop, a step of a version counter, is gone."""
    (launch,) = kernel.launches
    loop = next(s for s in launch.body if isinstance(s, For) and any(isinstance(n, AsyncWait) for n in walk(s)))
    assert isinstance(loop.body[-1], Store)
    return edit(kernel, lambda n: n is loop.body[-1], lambda n: ())


# pass -> bugs to plant behind it
BUGS: dict[str, dict[str, Change]] = {
    "normalise": {"copy dropped": last_of(Copy), "product cleared": replaced(_is(Gemm), clear=True)},
    "expand-lets": {"tile at another place": other_constant(16, 8), "copy dropped": dropped(Copy)},
    "transpose-operands": {"copy dropped": dropped(Copy), "product cleared": replaced(_is(Gemm), clear=True)},
    "warp-specialise": {"copy dropped": dropped(Copy), "product cleared": replaced(_is(Gemm), clear=True)},
    "software-pipeline": {
        "wait dropped": dropped(AsyncWait),
        "wait weakened": replaced(_is(AsyncWait), pending=1),
        "one version": one_version,
        "copies not committed": dropped(AsyncCommit),
    },
    "fold-clears": {"wait dropped": dropped(AsyncWait), "product cleared": replaced(_is(Gemm), clear=True)},
    "bulk-loads": {"wait dropped": dropped(AsyncWait), "product cleared": replaced(_is(Gemm), clear=True)},
    "bulk-stores": {"store dropped": last_of(Copy)},
    "infer-layouts": {"loop dealt otherwise": layout_of_another, "store dropped": last_of(Parallel)},
    "order-globals": {"store dropped": last_of(Parallel), "sum becomes difference": other_sign},
    "lower-tiles": {"sum becomes difference": other_sign, "instruction dropped": dropped(AtomCall)},
    "guard-bounds": {"guard dropped": without_guard, "guard moved": other_constant(40, 39)},
    "vectorise": {"vector too far": vector_too_far, "half of a vector": replaced(_is(Move), lanes=1)},
    "plan-shared-memory": {"slots overlap": overlapping_slots},
    "insert-barriers": {"barrier dropped": dropped(Barrier)},
    "insert-fences": {"barrier dropped": dropped(Barrier)},
    "ping-pong": {"instruction dropped": last_of(AtomCall), "barrier dropped": dropped(Barrier)},
    "split-loops": {"loop dropped": last_of(For), "sum becomes difference": other_sign},
    "unroll": {"instruction dropped": last_of(AtomCall), "sum becomes difference": other_sign},
    "simplify-indices": {"another index": other_constant(16, 24), "copy dropped": dropped(AtomCall)},
    "remove-dead": {"loop dropped": last_of(For), "barrier dropped": dropped(Barrier)},
    "legalise-dtypes": {"sum becomes difference": other_sign, "move dropped": last_of(Move)},
    "narrow-indices": {"another shift": other_constant(5, 4), "wait dropped": dropped(AsyncWait)},
    "count-versions": {"counter stands still": counter_stands_still, "barrier dropped": dropped(Barrier)},
}
