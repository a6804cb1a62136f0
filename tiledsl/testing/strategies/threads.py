"""Random kernels of the thread stage: each thread writes places of its own, and loads from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import BFLOAT16, BOOL, FLOAT16, FLOAT32, INDEX, INT8, INT32
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    Binary,
    Block,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    SafeValue,
    Select,
    Serial,
    Space,
    Store,
    Unrolled,
    Var,
    Vectorized,
    static_shape,
)
from tiledsl.ir.types import dtype_of

THREADS, BLOCKS, SLOTS = 8, 2, 40  # every thread owns SLOTS elements of each output
DTYPES = st.sampled_from([FLOAT32, FLOAT16, BFLOAT16, INT8, INT32])
SMALL = st.sampled_from([1, 2, 3, 4, 8])
BY_TWO = Unrolled(2, explicit=True)
KINDS = st.sampled_from([Serial(), Unrolled(), Unrolled(explicit=True), BY_TWO, BY_TWO])


class Maker:
    """Draws statements; `variables` are the indices in scope, `lane` is among them in a vector loop."""

    def __init__(self, draw: Any, copies: bool) -> None:
        self.draw, self.copies = draw, copies
        self.block, self.thread = Var("b"), Var("t")
        rows, columns = draw(st.sampled_from([3, 8, 16])), draw(st.sampled_from([4, 6, 8, 12, 16]))
        self.sources = [Buffer(n, (rows, columns), draw(DTYPES)) for n in ("A", "C")]
        self.out = Buffer("B", (BLOCKS, THREADS, SLOTS), draw(DTYPES))
        self.table = Buffer("I", (8,), INT32)
        self.shift = draw(st.sampled_from([0, 1, 2, 4]))  # how far the stores are from aligned
        self.landing = {x.dtype: Buffer("S", (THREADS, 16), x.dtype, Space.SHARED) for x in self.sources}
        self.local = Buffer("r", (8,), draw(DTYPES), Space.LOCAL)

    def kernel(self) -> Kernel:
        fill = [Store(self.local, (Const(i),), Const(i % 3, self.local.dtype)) for i in range(8)]
        allocs = [Alloc(b) for b in (self.local, *self.landing.values())]
        around = [self.block, self.thread]
        copy = self.copy(around) if self.copies and self.draw(st.booleans()) else ()
        body = (*allocs, *fill, *copy, *self.statements(around, None, depth=2))
        safe = [SafeValue(b, Const(1, b.dtype)) for b in self.sources if self.draw(st.integers(0, 4)) == 0]
        launch = Launch("k", (Const(BLOCKS),), (self.block,), (THREADS,), self.thread, body, safe_values=tuple(safe))
        return Kernel("k", (*self.sources, self.table, self.out), (launch,))

    def statements(self, variables: list[Var], lane: Var | None, depth: int) -> Block:
        result: list[Any] = []
        for _ in range(self.draw(st.integers(1, 2))):
            result += self.statement(variables, lane, depth)
        return tuple(result)

    def statement(self, variables: list[Var], lane: Var | None, depth: int) -> Block:
        options = ["store", "store", "if", "let"]
        if depth and lane is None:
            options += ["for", "for", "vector", "vector", "vector"] + ["copy"] * self.copies
        match self.draw(st.sampled_from(options)):
            case "for":
                var = Var("i")
                extent = self.draw(st.sampled_from([1, 2, 3, 5]))
                body = self.statements([*variables, var], None, depth - 1)
                return (For(var, Const(extent), body, self.draw(KINDS)),)
            case "vector":
                var = Var("v")
                extent = self.draw(st.sampled_from([2, 4, 8, 6]))
                return (For(var, Const(extent), self.statements([*variables, var], var, 0), Vectorized()),)
            case "copy":
                return self.copy(variables)
            case "if":
                inner = self.store(variables, lane)
                orelse = self.store(variables, lane) if self.draw(st.booleans()) else ()
                if self.draw(st.integers(0, 5)) == 0:
                    inner, orelse = (), inner
                return (If(self.condition(variables, lane), inner, orelse),)
            case "let":
                index = self.draw(st.booleans())
                value = self.index(variables, lane) if index else self.value(variables, lane, 1)
                var = Var("x", INDEX if index else dtype_of(value))
                if index:
                    return (Let(var, value), *self.store([*variables, var], lane))
                return (Let(var, value), *self.put(variables, lane, var))
        return self.store(variables, lane)

    def copy(self, variables: list[Var]) -> Block:
        """Neighbours to the thread's part of shared memory without waiting, some of them a constant; then read back."""
        draw, source, v, w = self.draw, self.draw(st.sampled_from(self.sources)), Var("v"), Var("w")
        s = self.landing[source.dtype]
        extent, slot = draw(st.sampled_from([2, 4, 8, 8])), draw(st.sampled_from([0, 8, 0, 4, 1]))
        start, room = draw(st.sampled_from([0, 2, 4])), static_shape(source)[1] - extent
        near = draw(st.integers(0, 3))
        column = v + (start if near == 1 else min(start, max(0, room))) if near else self.index([*variables, v], v)
        value: Expr = Load(source, (self.index(variables, None), column))
        if draw(st.integers(0, 2)) == 0:
            other = Const(draw(st.sampled_from([0, 0, 1])), source.dtype)
            value = Select(self.condition([*variables, v], v), value, other)
        fill = Store(s, (self.thread, v + slot), value, asynchronous=True)
        back = Cast(self.out.dtype, Load(s, (self.thread, w + slot)))
        return (
            For(v, Const(extent), (fill,), Vectorized()),
            AsyncCommit(),
            AsyncWait(0),
            For(w, Const(extent), (Store(self.out, (self.block, self.thread, w + 24), back),), Vectorized()),
        )

    def store(self, variables: list[Var], lane: Var | None) -> Block:
        return self.put(variables, lane, self.value(variables, lane, 2))

    def put(self, variables: list[Var], lane: Var | None, value: Expr) -> Block:
        """A store to the thread's own part. The lanes of a vector never meet: they are in no order."""
        slot = self.draw(st.sampled_from([0, 8, 16, 24])) + self.shift
        at = lane + slot if lane is not None else self.index(variables, None) % 16 + slot % 20
        if self.draw(st.integers(0, 3)) == 0:
            where = lane if lane is not None else Const(slot % 8)
            return (Store(self.local, (where % 8,), Cast(self.local.dtype, value)),)
        return (Store(self.out, (self.block, self.thread, at), Cast(self.out.dtype, value)),)

    def index(self, variables: list[Var], lane: Var | None) -> Expr:
        draw = self.draw
        v = draw(st.sampled_from(variables))
        e: Expr = v
        match draw(st.integers(0, 6)):
            case 0:
                e = v // draw(SMALL)
            case 1:
                e = v % draw(SMALL)
            case 2:
                e = v * draw(SMALL) + draw(st.sampled_from(variables))
            case 3:
                e = Binary("max", v - draw(SMALL), Const(0))
            case 4:  # floor division of what may be negative
                e = Binary(draw(st.sampled_from(["//", "%"])), v - draw(SMALL), Const(draw(SMALL))) + draw(SMALL)
            case 5:
                e = Cast(INDEX, Load(self.table, (v % 8,))) + draw(st.integers(0, 3))
        if lane is not None and draw(st.integers(0, 3)):
            return e * int(draw(SMALL)) + lane
        return e + int(draw(st.integers(-1, 3)))

    def condition(self, variables: list[Var], lane: Var | None) -> Expr:
        """A comparison; in a vector loop often one that tells its lanes apart."""
        if self.draw(st.integers(0, 19)) == 0:
            return Const(self.draw(st.booleans()), BOOL)
        op = self.draw(st.sampled_from(["<", "<=", ">=", "==", "!="]))
        if lane is not None and self.draw(st.booleans()):
            return Binary(op, lane, Const(self.draw(st.sampled_from([1, 2, 4]))))
        return Binary(op, self.index(variables, None), Const(self.draw(st.integers(0, 9))))

    def value(self, variables: list[Var], lane: Var | None, depth: int) -> Expr:
        draw = self.draw
        if depth == 0 or draw(st.booleans()):
            source = draw(st.sampled_from(self.sources))
            kind = draw(st.integers(0, 5))
            if kind == 0:
                at = lane if lane is not None else self.index(variables, None)
                return Cast(FLOAT32, Load(self.local, (at % 8,)))
            column = self.index(variables, lane)
            load: Expr = Load(source, (self.index(variables, None), column))
            if kind == 1:  # the user's own guard, exact or off by one
                last = static_shape(source)[1] + draw(st.sampled_from([-1, 0, 0, 1]))
                load = Select(Binary("<", column, Const(last)), load, Const(0, source.dtype))
            return Cast(FLOAT32, load)
        a, b = self.value(variables, lane, depth - 1), self.value(variables, lane, depth - 1)
        if draw(st.booleans()):
            return Select(self.condition(variables, lane), a, b)
        wide = draw(st.sampled_from([FLOAT32, FLOAT16, INT8, INT32]))
        computed = Binary(draw(st.sampled_from(["+", "-", "min", "max"])), Cast(wide, a), Cast(wide, b))
        return Cast(FLOAT32, computed)


def thread_kernels(copies: bool = True) -> st.SearchStrategy[Kernel]:
    """Kernels of a block or two of eight threads: vectors, guards, loops of every kind, binds, conversions.

    `copies`: asynchronous stores too, which vectorise replaces.
    """
    return st.composite(lambda draw: Maker(draw, copies).kernel())()


def execute(kernel: Kernel, seed: int = 0) -> Mapping[str, Any]:
    """The arrays after a run with every check on: on small integers, and in `C` on values that round and overflow."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for p in kernel.params:
        assert isinstance(p, Buffer)
        values: Any = rng.integers(0 if p.name == "I" else -2, 3, static_shape(p))
        if p.name == "C":
            values = values * 61 if p.dtype.is_integer else values * (1 + rng.random(values.shape))
        arrays[p.name] = values.astype(numpy_dtype(p.dtype))
    interp.run(kernel, arrays)
    return arrays


def check_same(a: Mapping[str, Any], b: Mapping[str, Any], what: str) -> None:
    for name, array in a.items():
        np.testing.assert_array_equal(np.asarray(array), np.asarray(b[name]), err_msg=f"{name} after {what}")
