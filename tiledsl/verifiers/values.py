"""What the verifiers compute with: integers are exact, every other value is a token, a hash of how it came about.

Two programs whose results have the same tokens compute the same whatever the operations on floats mean. Tokens are
NumPy arrays of uint64, integers and bools are Python's or arrays of int64 and bool: the dtype of an array tells which.
The token of zero is 0. Arrays have an axis for whatever is executed together: threads, or the points of a loop.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from tiledsl.ir.dtypes import BOOL, INDEX, DType, Kind
from tiledsl.ir.nodes import (
    Address,
    Binary,
    Call,
    Cast,
    Const,
    Expr,
    Extern,
    Load,
    Reinterpret,
    Select,
    Unary,
    Var,
)
from tiledsl.ir.ops import BINARY, UNARY, Result
from tiledsl.ir.types import dtype_of

Array = np.ndarray[Any, Any]
Mask = Any  # a bool array, or True: which of those that are executed together take part
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(29)
SMALL = 5  # integers that memory is taken to hold at the start are below this
COMPARISONS = {"<", "<=", ">", ">=", "==", "!="}


def mix(*parts: Any) -> Any:
    """A token for the parts in this order: tokens, integers and names."""
    total = np.zeros(1, np.uint64)
    for p in parts:
        part = named(p) if isinstance(p, str) else as_token(p)
        total = (total ^ part) * _FIRST
        total = (total ^ (total >> _SHIFT)) * _SECOND
    return total


def named(name: str) -> Any:
    return np.uint64(zlib.crc32(name.encode()) + 1)


def is_token(x: Any) -> bool:
    return getattr(x, "dtype", None) == np.uint64


def as_token(x: Any) -> Any:
    """The bits of an integer; a token as it is."""
    if is_token(x):
        return x
    return np.asarray(x).astype(np.int64).view(np.uint64) if np.ndim(x) else np.uint64(int(x) & (1 << 64) - 1)


def as_number(x: Any, dtype: DType) -> Any:
    """What memory of `dtype` holds, given its token: integers are their own."""
    if dtype.kind is Kind.BOOL:
        return (x & np.uint64(1)).astype(bool)
    return x.view(np.int64) if dtype.is_integer else x


def initial(token: Any, dtype: DType) -> Any:
    """The token of an element that nobody has written."""
    return token % np.uint64(2 if dtype is BOOL else SMALL) if dtype.is_integer or dtype is BOOL else token


# Floats that every format holds: constants are folded through casts to and from integers, so their tokens must agree.
_SMALL_FLOATS = 4
_MINUS_ZERO = 1 << 63


def _float_of(number: Any) -> Any:
    """The token of an integer as a float."""
    return np.where(np.asarray(number) == 0, np.uint64(0), mix("int", number))


def _small_integer(token: Any) -> tuple[Any, Any]:
    """(whether the token is that of a small integer as a float, the integer)."""
    at = np.minimum(np.searchsorted(_SMALL_TOKENS, token), len(_SMALL_TOKENS) - 1)
    return _SMALL_TOKENS[at] == token, _SMALL_VALUES[at]


_SMALL_RANGE = np.arange(-_SMALL_FLOATS, _SMALL_FLOATS + 1)
_ORDER = np.argsort(_float_of(_SMALL_RANGE))
_SMALL_TOKENS, _SMALL_VALUES = _float_of(_SMALL_RANGE)[_ORDER], _SMALL_RANGE[_ORDER]


class Evaluator:
    """Evaluates expressions; a subclass says what a load finds. `env` has the values of variables."""

    def __init__(self, env: dict[Var, Any]) -> None:
        self.env = env

    def load(self, e: Load, on: Mask) -> Any:
        raise NotImplementedError

    def call(self, e: Expr, values: list[Any], on: Mask) -> Any:
        """A function, an extern, a pointer: a token of its arguments."""
        name = getattr(e, "fn", "") or type(e).__name__
        return mix(name, *values)

    def value(self, e: Expr, on: Mask) -> Any:
        return _RULES[type(e)](self, e, on)

    def truth(self, e: Expr, on: Mask) -> Any:
        """`e` as a Python bool or a bool array."""
        found = self.value(e, on)
        return found if isinstance(found, bool) else np.asarray(found, bool)


def both(on: Mask, more: Any) -> Mask:
    return more if on is True else on & more


def none(on: Mask) -> bool:
    return on is False or (on is not True and not np.any(on))


def _const(m: Evaluator, e: Const, on: Mask) -> Any:
    if not e.dtype.is_float:
        return e.value
    bits = struct.unpack("<Q", struct.pack("<d", e.value))[0]
    if abs(e.value) <= _SMALL_FLOATS and e.value == int(e.value) and bits != _MINUS_ZERO:
        return _float_of(np.array([int(e.value)]))
    return mix("const", bits - (1 << 63))


def _var(m: Evaluator, e: Var, on: Mask) -> Any:
    return m.env[e]


def _binary(m: Evaluator, e: Binary, on: Mask) -> Any:
    op = e.op
    if op in ("and", "or"):
        a = m.truth(e.a, on)
        if isinstance(a, bool) or a.ndim == 0:
            return bool(a) if bool(a) is (op == "or") else m.value(e.b, on)
        b = m.truth(e.b, both(on, a if op == "and" else ~a))
        return a & b if op == "and" else a | b
    a, b = m.value(e.a, on), m.value(e.b, on)
    if is_token(a) or is_token(b):
        found = mix(op, a, b)
        return (found >> np.uint64(7) & np.uint64(1)).astype(bool) if op in COMPARISONS else found
    if type(a) is int and type(b) is int:
        if b == 0 and op in ("//", "%", "div", "rem"):
            return 0
        found = BINARY[op].eval(a, b)
        return found if type(found) is bool else _wrapped(found, e)
    return _wrapped(_integers(op, a, b), e)


def _integers(op: str, a: Any, b: Any) -> Any:
    with np.errstate(divide="ignore", over="ignore"):
        if op == "div":
            return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))
        return getattr(np, BINARY[op].ufunc)(a, b)


def _wrapped(x: Any, e: Binary) -> Any:
    """The value of `e` after wrapping to its dtype; indices do not wrap."""
    if BINARY[e.op].result is not Result.SAME:
        return x
    dtype = dtype_of(e)
    if dtype is INDEX or not dtype.is_integer:
        return x
    return wrapped(x, dtype)


def wrapped(x: Any, dtype: DType) -> Any:
    low, high = dtype.int_range
    if type(x) is int:
        return (x - low) % (high - low + 1) + low
    if dtype.bits >= 64:
        return x
    return (x - low) % (high - low + 1) + low


def _unary(m: Evaluator, e: Unary, on: Mask) -> Any:
    a = m.value(e.a, on)
    if is_token(a):
        small, value = _small_integer(a)
        return np.where(small & (value != 0), _float_of(-value), mix(e.op, a)) if e.op == "-" else mix(e.op, a)
    if isinstance(a, (bool, int)):
        return UNARY[e.op].eval(a)
    return getattr(np, UNARY[e.op].ufunc)(a)


def _select(m: Evaluator, e: Select, on: Mask) -> Any:
    cond = m.truth(e.cond, on)
    if isinstance(cond, bool) or cond.size == 1:
        return m.value(e.a if bool(cond) else e.b, on)
    a, b = m.value(e.a, both(on, cond)), m.value(e.b, both(on, ~cond))
    if is_token(a) or is_token(b):
        a, b = as_token(a), as_token(b)
    return np.where(cond, a, b)


def _cast(m: Evaluator, e: Cast, on: Mask) -> Any:
    a = m.value(e.a, on)
    if not is_token(a):
        if e.dtype is BOOL:
            return a != 0
        if e.dtype.is_integer:
            return a if e.dtype is INDEX else wrapped(a if np.ndim(a) else int(a), e.dtype)
        return _float_of(a)
    small, value = _small_integer(a)
    if e.dtype.is_float:
        return np.where(small, a, mix(e.dtype.name, e.rounding.value, int(e.saturate), a))
    other = initial(mix(e.dtype.name, a), e.dtype)
    if e.dtype.kind is Kind.UINT:
        small &= value >= 0
    return as_number(np.where(small, as_token(value != 0 if e.dtype is BOOL else value), other), e.dtype)


def _reinterpret(m: Evaluator, e: Reinterpret, on: Mask) -> Any:
    found = mix(e.dtype.name, m.value(e.a, on))
    return as_number(initial(found, e.dtype), e.dtype)


def _load(m: Evaluator, e: Load, on: Mask) -> Any:
    return m.load(e, on)


def _call(m: Evaluator, e: Call | Extern, on: Mask) -> Any:
    if isinstance(e, Call) and e.fn == "warp_uniform":
        return m.value(e.args[0], on)
    if isinstance(e, Call) and e.fn == "elected":  # of the lanes of a warp, by any rule, one
        return m.value(e.args[0], on) % 32 == 0
    found = m.call(e, [m.value(a, on) for a in e.args], on)
    dtype = dtype_of(e)
    return as_number(initial(found, dtype), dtype)


def _address(m: Evaluator, e: Address, on: Mask) -> Any:
    parts = [*e.indices, *(() if e.version is None else (e.version,))]
    return m.call(e, [e.buffer.name, *(m.value(i, on) for i in parts)], on)


_RULES: Mapping[type, Any] = {
    Const: _const,
    Var: _var,
    Unary: _unary,
    Binary: _binary,
    Select: _select,
    Cast: _cast,
    Reinterpret: _reinterpret,
    Load: _load,
    Address: _address,
    Call: _call,
    Extern: _call,
}


class GlobalMemory:
    """Tensors of known shapes, by name. An element that nobody has written has a token of its place.

    Places of very large tensors are hashed: two elements may then share one, alike in both programs compared.
    """

    MOST = 1 << 26  # elements; the memory of untouched pages is never taken

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.written: dict[str, Array] = {}

    def inside(self, name: str, indices: list[Any]) -> Any:
        """Where all indices are within the shape."""
        on: Any = True
        for i, n in zip(indices, self.shapes[name]):
            on = on & (np.asarray(i) >= 0) & (np.asarray(i) < n)
        return on

    def place(self, name: str, indices: list[Any]) -> Any:
        shape = self.shapes[name]
        if prod(shape) > self.MOST:
            return (mix(*indices) % np.uint64(self.MOST)).astype(np.int64)
        linear: Any = 0
        for i, n in zip(indices, shape):
            linear = linear * n + np.clip(i, 0, n - 1)
        return linear

    def read(self, name: str, dtype: DType, indices: list[Any]) -> Any:
        found = initial(mix(name, *indices), dtype)
        table = self.written.get(name)
        if table is None:
            return found
        held = table[self.place(name, indices)]
        return np.where(held == 0, found, held - np.uint64(1))

    def write(self, name: str, indices: list[Any], tokens: Any, on: Mask) -> None:
        """Writes what is inside of the tensor and `on`; of several writes to one place the last stays."""
        if name not in self.written:
            self.written[name] = np.zeros(max(1, min(prod(self.shapes[name]), self.MOST)), np.uint64)
        where = both(self.inside(name, indices), on)
        place, tokens, where = np.broadcast_arrays(self.place(name, indices), as_token(tokens), where)
        self.written[name][place[where]] = tokens[where] + np.uint64(1)

    def difference(self, other: GlobalMemory) -> tuple[str, int] | None:
        """The first tensor, with the linear place of an element, in which the two differ."""
        for name in sorted({*self.written, *other.written}):
            a, b = self.written.get(name), other.written.get(name)
            if a is None or b is None:
                return name, 0
            if not np.array_equal(a, b):
                return name, int(np.flatnonzero(a != b)[0])
        return None
