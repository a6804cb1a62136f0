"""Index expressions over all blocks, iterations and threads of a launch at once, as NumPy tables.

An axis is a variable with the values that are looked at, and how many values each stands for. The first two axes are
warps and lanes; blocks and loops follow, outermost first. What cannot be tabulated (loaded values, sizes that are not
given) raises Unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiledsl.analysis.footprint import Unknown
from tiledsl.analysis.requests import LANES
from tiledsl.ir.nodes import Binary, Call, Cast, Const, Expr, Select, Unary, Var
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.types import dtype_of

Array = np.ndarray[Any, Any]
THREAD_AXES = 2


def _quotient(a: Any, b: Any) -> Any:
    """Rounded towards zero, as C's division."""
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _function(op: str) -> Any:
    """The function of an operator on integers."""
    match op:
        case "div":
            return _quotient
        case "rem":
            return lambda a, b: a - _quotient(a, b) * b
    return getattr(np, BINARY[op].ufunc)


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    values: Array
    weights: Array


def whole_axis(extent: int) -> Axis:
    return Axis(np.arange(extent), np.ones(extent, np.int64))


_HEAD, _TAIL = 2, 6  # values at the ends that are looked at one by one: pipelines and ragged tiles end there


def sampled_axis(extent: int, samples: int) -> Axis:
    """All values if there are at most `samples`, else those at the ends, and middles of equal parts between them."""
    if extent <= samples:
        return whole_axis(extent)
    edges = np.linspace(_HEAD, extent - _TAIL, samples - _HEAD - _TAIL + 1).astype(np.int64)
    middles = (edges[:-1] + edges[1:]) // 2
    values = np.r_[np.arange(_HEAD), middles, np.arange(extent - _TAIL, extent)]
    return Axis(values, np.r_[np.ones(_HEAD, np.int64), np.diff(edges), np.ones(_TAIL, np.int64)])


@dataclass(slots=True)
class Domain:
    """`threads` threads, and what is known of variables. `numbers` are sizes and scalars with given values."""

    threads: int
    thread: Var
    numbers: dict[Var, int] = field(default_factory=dict)
    axes: list[Axis] = field(default_factory=list)
    _places: dict[Var, int] = field(default_factory=dict)
    lenient: bool = False  # loaded values and unknown variables count as 0
    _lets: dict[Var, tuple[Expr, int]] = field(default_factory=dict)  # with the number of axes at the definition
    _tables: dict[Var, Array | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        warps = -(-self.threads // LANES)
        self.axes = [whole_axis(warps), whole_axis(LANES)]

    @property
    def exists(self) -> Array:
        """Which lanes of which warps there are."""
        return (np.arange(self.axes[0].values.size * LANES) < self.threads).reshape(-1, LANES)

    @contextmanager
    def axis(self, var: Var, axis: Axis) -> Iterator[None]:
        """Within, `var` runs over `axis`."""
        self._places[var] = len(self.axes)
        self.axes.append(axis)
        try:
            yield
        finally:
            self.axes.pop()
            del self._places[var]

    def bind(self, var: Var, value: Expr) -> None:
        self._lets[var] = (value, len(self.axes))
        self._tables.pop(var, None)

    def value(self, e: Expr) -> Any:
        """The value of `e`: a number, or an array with at most as many dimensions as there are axes. Raises Unknown."""
        match e:
            case Const(value):
                return value
            case Var():
                return self._variable(e)
            case Binary(op, a, b):
                if dtype_of(a).is_float:
                    return self._unknown()
                return self._together(_function(op), self.value(a), self.value(b))
            case Unary(op, a) if not dtype_of(a).is_float:
                return getattr(np, UNARY[op].ufunc)(self.value(a))
            case Cast(dtype, a) if dtype.is_integer and dtype_of(a).is_integer:
                return self.value(a)  # exact: narrow-indices proves that indices fit
            case Call("warp_uniform", (a,)):
                return self.value(a)
            case Call("elected", (a,)):
                return self.value(a) % LANES == 0
            case Select(cond, a, b):
                return self._together(np.where, self.value(cond), self.value(a), self.value(b))
        return self._unknown()

    def _unknown(self) -> int:
        if not self.lenient:
            raise Unknown
        return 0

    def _variable(self, v: Var) -> Any:
        if v is self.thread:
            return np.arange(self.axes[0].values.size * LANES).reshape(-1, LANES)
        if v in self._places:
            values = self.axes[self._places[v]].values
            return values.reshape((1,) * self._places[v] + (-1,))
        if v in self.numbers:
            return self.numbers[v]
        if v not in self._lets:
            return self._unknown()
        if v not in self._tables:
            self._tables[v] = None
            expr, depth = self._lets[v]
            later, self.axes = self.axes[depth:], self.axes[:depth]
            lenient, self.lenient = self.lenient, False
            try:
                self._tables[v] = np.asarray(self.value(expr))
            except Unknown:
                pass
            finally:
                self.axes, self.lenient = self.axes + later, lenient
        found = self._tables[v]
        if found is None:
            if self.lenient:
                return self.value(self._lets[v][0])
            raise Unknown
        return found

    def _together(self, f: Any, *values: Any) -> Any:
        return f(*self.aligned(values))

    def aligned(self, values: Sequence[Any]) -> list[Any]:
        """Tables with as many dimensions each: trailing ones are added, as axes are numbered from the left."""
        dimensions = max(np.ndim(v) for v in values)
        return [
            v if np.ndim(v) in (0, dimensions) else np.reshape(v, np.shape(v) + (1,) * (dimensions - np.ndim(v)))
            for v in values
        ]

    def full(self, table: Any) -> Array:
        """The table with a dimension for every axis, of one point where it does not depend on it."""
        return np.reshape(table, np.shape(table) + (1,) * (len(self.axes) - np.ndim(table)))

    def weights(self, shape: Sequence[int]) -> Array:
        """How many points each point of a full table of this shape stands for, blocks and loops counted.

        The result can be broadcast to the shape.
        """
        total = np.ones((1,) * len(self.axes), np.int64)
        for n, axis in enumerate(self.axes[THREAD_AXES:], THREAD_AXES):
            if shape[n] == axis.values.size:
                total = total * axis.weights.reshape((1,) * n + (-1,) + (1,) * (len(self.axes) - n - 1))
            else:
                total = total * axis.weights.sum()
        return total
