"""The user's own CUDA text on the CPU: its Python references. That of a function is called for one lane at a time.

A pointer is given as the elements from there to the end of the buffer, in one dimension. What the function changed in
them is written back as a store of that lane, so that everything that is checked of stores is checked of it. Reads are
not seen: whether what it read had been written, or raced, nobody knows. The reference of a kernel is called once for
its launch, with the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tiledsl.cpu.masks import Mask
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.values import Value
from tiledsl.errors import error
from tiledsl.ir.dtypes import HANDLE, DType
from tiledsl.ir.nodes import Buffer, Expr, Extern

Array = np.ndarray[Any, Any]
Lane = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """The value of an `Address`: an index for each dimension of the memory of `buffer` in that execution."""

    buffer: Buffer
    at: tuple[Value, ...]


class Caller(Protocol):
    """What an execution knows of its lanes and its memory."""

    domain: tuple[int, ...]
    mask: Mask

    def eval(self, e: Expr) -> Value: ...

    def full(self, value: Value) -> Array: ...

    def dtype(self, e: Expr) -> DType: ...

    def run_from(self, buffer: Buffer, at: Lane, lane: Lane) -> Array:
        """The elements of a lane's buffer from an index on."""

    def change(self, buffer: Buffer, at: Lane, offset: int, value: Any) -> None:
        """Stores the element `offset` elements behind an index, in the lane that is on."""


def call(m: Caller, e: Extern, function: Callable[..., Any]) -> Value:
    """The values of `function`, called for every lane that is on, in their order."""
    args = [m.eval(a) for a in e.args]
    kinds = [numpy_dtype(m.dtype(a)) for a in e.args]
    found: Array = np.zeros(m.domain, numpy_dtype(e.dtype))
    on = np.ones(m.domain, bool) if m.mask is None else np.array(m.full(m.mask))
    for place in np.argwhere(on):
        lane = tuple(int(i) for i in place)
        with only(m, lane):
            value = _called(m, function, lane, args, kinds)
        if e.dtype is not HANDLE:
            found[lane] = _result(e, value)
    return found


@contextmanager
def only(m: Caller, lane: Lane) -> Iterator[None]:
    """One lane is on."""
    saved, alone = m.mask, np.zeros(m.domain, bool)
    alone[lane] = True
    m.mask = alone
    try:
        yield
    finally:
        m.mask = saved


def _called(
    m: Caller, function: Callable[..., Any], lane: Lane, args: Sequence[Value], kinds: Sequence[np.dtype[Any]]
) -> Any:
    given: list[Any] = []
    pointers: list[tuple[Pointer, Lane, Array, Array]] = []
    for value, kind in zip(args, kinds):
        if isinstance(value, Pointer):
            at = tuple(int(m.full(i)[lane]) for i in value.at)
            before = np.array(m.run_from(value.buffer, at, lane))
            pointers.append((value, at, before, before.copy()))
            given.append(pointers[-1][3])
        else:
            given.append(kind.type(m.full(value)[lane]))
    result = function(*given)
    for pointer, at, before, after in pointers:
        bits = f"u{before.dtype.itemsize}"
        for offset in np.flatnonzero(before.view(bits) != after.view(bits)):
            m.change(pointer.buffer, at, int(offset), after[offset])
    return result


def _result(e: Extern, value: Any) -> Any:
    if value is None or np.ndim(value):
        shown = "nothing" if value is None else f"an array of shape {np.shape(value)}"
        raise error("TD0821", name=e.fn, dtype=e.dtype, value=shown)
    return value


def launch_whole(name: str, function: Callable[..., Any] | None, arguments: Sequence[Any], missing: str) -> None:
    """Runs the reference of a kernel on arrays, in place, and numbers.

    Raises TileError `missing` where there is none, TD0823 for one that returns something.
    """
    if function is None:
        raise error(missing, name=name)
    value = function(*arguments)
    if value is not None:
        raise error("TD0823", name=name, value=f"a {type(value).__name__}")
