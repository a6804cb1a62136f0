"""Words that accumulate over the points of T.Parallel loops, and over the threads of a block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, converted, describe, expr_of, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, tile_of
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.ir.combine import COMBINE
from tiledsl.ir.nodes import Binary, Expr, Let, Load, Space, Store, Var
from tiledsl.ir.tile import Reduce
from tiledsl.language.launch import get_thread_binding, this_thread
from tiledsl.language.memory import alloc_fragment, alloc_shared
from tiledsl.language.scalars import if_then_else, maximum, minimum
from tiledsl.language.tiles import begin, copy, fill
from tiledsl.language.warps import shfl_xor

_WARP = 32
_REDUCERS = ("sum", "max", "min")  # what T.alloc_reducer takes
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {"sum": lambda a, b: a + b, "max": maximum, "min": minimum}


# ------------------------------------------------------------------------------------------------ tiles of a loop


def alloc_reducer(shape: Any, dtype: Any, op: str = "sum", replication: str | None = None) -> Tensor:
    """A tile into which T.Parallel loops accumulate by `op`, which is sum, max or min; of any dtype of a fragment.

    After `r = T.alloc_reducer((64,), T.float32)`, T.clear or T.fill sets it; `r[i] += value`, or for max the largest of
    both, updates it in loops whose further variables are summed over; after T.finalize_reducer it is an ordinary
    fragment, in which what it was set to took part once. In between threads accumulate in registers, one for each point
    of the loop that they work on, and exchange nothing. `replication`, "all" or "none", is accepted: layouts are
    inferred. Raises TileError TD0226, TD0265 for other uses.

    `for i, j in T.Parallel(64, 64): r[i] += C_local[i, j] * X[j]`
    """
    for name, value, allowed in (("op", op, _REDUCERS), ("replication", replication, (None, "all", "none"))):
        if value not in allowed:
            shown = ", ".join(map(str, allowed))
            raise fail("TD0226", word="T.alloc_reducer", name=name, value=describe(value), allowed=shown)
    reducer = tile_of(alloc_fragment(shape, dtype), "T.alloc_reducer", "dtype").tensor  # TD0290 for packed numbers
    tracer_of("T.alloc_reducer").launch("T.alloc_reducer").reducers[reducer.buffer] = op
    return reducer


def _reducer(value: Any, word: str) -> tuple[Tensor, str]:
    tracer = begin(word)
    tile = tile_of(value, word, "reducer")
    op = tracer.launch(word).reducers.get(tile.buffer)
    if op is None:
        raise fail("TD0226", word=word, name="reducer", value=tile.shown(), allowed="what T.alloc_reducer made")
    return tile.tensor, op


def reducer_init(reducer: Any, init: Any = 0) -> None:
    """Sets every element of a reducer (TD0226) to `init`, which takes part in the result once; T.fill is the same.

    `T.reducer_init(r, 0)`.
    """
    fill(_reducer(reducer, "T.reducer_init")[0], init)


def reducer_update(element: Any, value: Any) -> None:
    """Combines `value` with an element of a reducer (TD0226), by its operator.

    `for i, j in T.Parallel(64, 64): T.reducer_update(r[i], C_local[i, j])`.
    """
    word = "T.reducer_update"
    tensor, op = _reducer(element, word)
    if not isinstance(element, Scalar) or not isinstance(element.expr, Load):
        raise fail("TD0226", word=word, name="element", value=describe(element), allowed="an element, r[i]")
    old, tracer = element.expr, tracer_of(word)
    new = Binary(COMBINE[op].op, old, converted(value, tensor.buffer.dtype))
    tracer.emit(Store(old.buffer, old.indices, new, span=tracer.here()))


def finalize_reducer(reducer: Any, dst: Any = None) -> None:
    """Combines what the threads have accumulated in a reducer. It is an ordinary fragment then; `dst` gets a copy.

    `T.finalize_reducer(r)`. Raises TileError TD0129 in a T.Parallel loop, TD0226 for what is no reducer.
    """
    word = "T.finalize_reducer"
    tensor, op = _reducer(reducer, word)
    tracer = tracer_of(word)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    whole = tile_of(tensor, word, "reducer").region(word)
    tracer.emit(Reduce(whole, whole, op, 0, clear=False, span=tracer.here()))
    if dst is not None:
        copy(tensor, dst)


# ---------------------------------------------------------------------------------------------- threads of a block


def thread_allreduce(value: Any, *threads: Any, op: str = "sum") -> Scalar:
    """`value` of all threads that differ along `threads` only, combined by `op` (sum, max or min), in each of them.

    `threads` are dimensions of the block as T.get_thread_binding or T.thread_binding number them; all threads of the
    block take part. Lanes of a warp exchange by shuffles, warps by shared memory; where a size is no power of two all
    go through shared memory. Every thread has the same bits. PTX ISA, "shfl.sync". Raises TileError TD0226 for an
    operand that is no dimension of the block, TD0103 in a T.ws block.
    `total = T.thread_allreduce(x, T.get_thread_binding())`.
    """
    word = "T.thread_allreduce"
    if op not in _COMBINE:
        raise fail("TD0226", word=word, name="op", value=describe(op), allowed=", ".join(_COMBINE))
    return _allreduce(word, scalar(value), threads, _COMBINE[op])


@dataclass(frozen=True, slots=True)
class CommReducer:
    """How T.tvm_thread_allreduce combines two values, and what it takes for those of threads that are left out."""

    combine: Callable[[Any, Any], Any]
    identity: Any


def comm_reducer(combine: Callable[[Any, Any], Any], identity: Any) -> CommReducer:
    """A way to combine values for T.tvm_thread_allreduce: `T.comm_reducer(lambda x, y: x + y, [T.float32(0)])`.

    `combine` is associative and commutative, and `identity` changes no value.
    `with T.attr(T.comm_reducer(lambda x, y: T.min(x, y), [T.float32(9)]), "reduce_scope"):` says it.
    """
    (neutral,) = identity if isinstance(identity, Sequence) else (identity,)
    return CommReducer(combine, neutral)


@contextmanager
def attr(node: Any, key: str, value: Any = None) -> Iterator[None]:
    """Says something of the statements in its block: `with T.attr("default", "async_scope", 1):`.

    "async_scope": elements of global memory that are stored to shared memory as they are come by cp.async;
    T.ptx_wait_group or T.cp_async_barrier_noinc follow. "reduce_scope", of a T.comm_reducer: how T.tvm_thread_allreduce
    combines. Other keys are an error TD0103.
    """
    tracer = begin("T.attr")
    frame = tracer.launch("T.attr")
    before = frame.combiner, frame.copies_late
    if key == "async_scope":
        frame.copies_late = bool(value)
    elif key == "reduce_scope" and isinstance(node, CommReducer):
        frame.combiner = node
    else:
        hint = "there are 'async_scope', and 'reduce_scope' of a T.comm_reducer"
        raise fail("TD0103", word=f"attr(..., {key!r})", hint=hint)
    yield
    frame.combiner, frame.copies_late = before


def tvm_thread_allreduce(size: Any, value: Any, cond: Any, result: Any, *threads: Any, dtype: Any = None) -> None:
    """`result = ` the combination of `value` over the threads along `threads`: T.thread_allreduce in TVM's spelling.

    `T.tvm_thread_allreduce(1, x, True, total[0], T.get_thread_binding())`: `size` is 1; where `cond` does not hold the
    thread's value is left out; `result` is an element of a T.alloc_local (TD0226); what combines is said by T.attr,
    else it is the sum. Raises TileError TD0103 in a T.ws block.
    """
    word = "T.tvm_thread_allreduce"
    tracer = begin(word)
    given = int(getattr(getattr(size, "expr", None), "value", size if isinstance(size, int) else 0))
    if given != 1:
        raise fail("TD0226", word=word, name="size", value=describe(size), allowed="1")
    tile = tile_of(result, word, "result")
    if not tile.is_start or tile.buffer.space is not Space.LOCAL:
        raise fail("TD0226", word=word, name="result", value=tile.shown(), allowed="an element of a T.alloc_local")
    how = tracer.launch(word).combiner
    reducer = how if isinstance(how, CommReducer) else CommReducer(_COMBINE["sum"], 0)
    x = scalar(value)
    if cond is not True:
        x = if_then_else(cond, x, Scalar(converted(reducer.identity, x.type), x.type))
    combined = _allreduce(word, x, threads, reducer.combine)
    tracer.emit(Store(tile.buffer, tile.offsets, converted(combined, tile.buffer.dtype), span=tracer.here()))


def evaluate(value: Any) -> None:
    """Nothing more: what a call does happens where it stands. `T.evaluate(T.call_extern("handle", "count", Y[i]))`."""


def _allreduce(word: str, value: Scalar, threads: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Scalar:
    tracer = begin(word)
    if tracer.role() is not None:
        raise fail("TD0103", word=f"{word.removeprefix('T.')} in a T.ws block", hint="reduce a fragment: T.reduce_sum")
    sizes = tracer.launch(word).threads
    axes = sorted({_axis(tracer, t, word) for t in threads})
    steps = [(math.prod(sizes[:a]), sizes[a]) for a in axes]
    x = bind(value, "partial")
    if all(_power_of_two(n) for step in steps for n in step) and math.prod(sizes) % _WARP == 0:
        distances = [stride << k for stride, size in steps for k in range(size.bit_length() - 1)]
        for distance in (d for d in distances if d < _WARP):
            x = bind(combine(x, shfl_xor(x, distance)), "partial")
        steps = [(d, 2) for d in distances if d >= _WARP]
    return _through_shared(x, steps, math.prod(sizes), combine) if steps else x


def _through_shared(
    x: Scalar, steps: Sequence[tuple[int, int]], threads: int, combine: Callable[[Any, Any], Any]
) -> Scalar:
    """Each thread combines what those have that differ by up to `size - 1` times `stride`, for (stride, size)."""
    this = this_thread("T.thread_allreduce")
    everyone = alloc_shared((threads,), x.type.name)
    everyone[this] = x
    first = this
    for stride, size in steps:
        first = first - this // stride % size * stride
    first = bind(first, "first")
    result: Scalar | None = None
    for turn in product(*(range(size) for _, size in steps)):
        other = everyone[first + sum(k * stride for k, (stride, _) in zip(turn, steps))]
        result = bind(other if result is None else combine(result, other), "combined")
    assert result is not None
    return result


def _power_of_two(n: int) -> bool:
    return n & (n - 1) == 0


def _axis(tracer: Tracer, value: Any, word: str) -> int:
    """The dimension of the block that `value` numbers the threads along."""
    if isinstance(value, Scalar):
        found = _resolved(tracer, expr_of(value))
        for axis in range(len(tracer.launch(word).threads)):
            if found == get_thread_binding(axis).expr:
                return axis
    raise fail("TD0226", word=word, name="threads", value=describe(value), allowed="what T.get_thread_binding gives")


def _resolved(tracer: Tracer, e: Expr) -> Expr:
    """What a name stands for."""
    frame = tracer.frame
    while isinstance(e, Var) and frame is not None:
        e = next((s.value for s in frame.block if isinstance(s, Let) and s.var is e), e)
        frame = frame.parent
    return e
