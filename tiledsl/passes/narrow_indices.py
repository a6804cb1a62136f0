"""narrow-indices: each mathematical integer becomes an int32 or an int64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tiledsl.analysis.alignment import row_strides
from tiledsl.analysis.ranges import SIZE, Facts, launch_facts
from tiledsl.errors import TileError, error, locate, locating
from tiledsl.ir.concurrent import Role, TensorCopy
from tiledsl.ir.dtypes import INDEX, INT32, INT64, DType
from tiledsl.ir.linear import Interval, combine
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AtomicUpdate,
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    Extern,
    For,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    SafeValue,
    Select,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    wrap,
)
from tiledsl.ir.ops import BINARY, Result
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import map_children
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import no_index_left, thread_stage


@kernel_pass(requires=[thread_stage], ensures=[no_index_left])
def narrow_indices(kernel: Kernel) -> Kernel:
    """Gives every index a machine width: int32 where it and all that it is computed from provably fit, else int64.

    An access to global memory gets int64 indices unless its offset from the start of the buffer fits too, at every step
    of its computation from extents or strides. Floor division of what is never negative becomes a shift, a mask, or the
    machine's division. Safe because the bounds hold for all values in range, arithmetic that stays within a width does
    not wrap there, and nothing but int64 is chosen where a bound is missing; dynamic extents fit in an int32 because
    the launch passes them as such, which raises otherwise. TD0504 for a constant that no machine integer holds.
    """
    names = _Names()
    outer = _Narrower(Facts({size: SIZE for size in kernel.sizes}), names)
    for p in (*kernel.params, *kernel.scratch):
        outer.node(p)  # first: their widths do not depend on what one launch assumes
    launches = tuple(_Narrower(launch_facts(kernel, launch), names).launch(launch) for launch in kernel.launches)
    shell = map_children(replace(kernel, launches=()), outer.node)
    return replace(shell, launches=launches)


class _Names:
    """Typed variables and buffers in place of those of index dtype."""

    def __init__(self) -> None:
        self.variables: dict[Var, Var] = {}
        self.buffers: dict[Buffer, Buffer] = {}

    def bind(self, var: Var, dtype: DType) -> Var:
        if var.dtype is not INDEX:
            return var
        if var not in self.variables:
            self.variables[var] = Var(var.name, dtype)
        return self.variables[var]


_LEAST, _GREATEST = INT32.int_range


def _constant(value: int) -> Const:
    low, high = INT64.int_range
    if not low <= value <= high:
        raise error("TD0504", value=value)
    return Const(value, INT32 if _fits((value, value)) else INT64)


def _fits(interval: Interval) -> bool:
    return interval[0] >= _LEAST and interval[1] <= _GREATEST


def _as(dtype: DType, e: Expr) -> Expr:
    """The integer `e` as `dtype`, which holds its value."""
    if dtype_of(e) is dtype:
        return e
    return Const(e.value, dtype) if isinstance(e, Const) else Cast(dtype, e)


def _alike(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """Both in the wider of their dtypes."""
    if dtype_of(a) is dtype_of(b):
        return a, b
    return _as(INT64, a), _as(INT64, b)


class _Narrower:
    def __init__(self, facts: Facts, names: _Names) -> None:
        self.facts = facts
        self.names = names
        self.intervals: dict[
            int, tuple[Expr, Interval]
        ] = {}  # by identity, with the expression, so that it stays unique

    # -------------------------------------------------------------------------------------------------- statements

    def launch(self, launch: Launch) -> Launch:
        for var in (*launch.blocks, launch.thread):
            self.names.bind(var, INT32)
        with locating(launch.span):
            return map_children(launch, self.node)

    def node(self, node: Node) -> Node:
        """`node` without indices."""
        if not isinstance(node, Stmt):
            return self._node(node)
        try:
            return self._node(node)
        except TileError as raised:
            locate(raised, node.span)
            raise

    def _node(self, node: Node) -> Node:
        match node:
            case Var():
                return self.variable(node)
            case Buffer():
                return self.typed(node)
            case Expr():
                return self.expr(node)
            case Let(var, value):
                typed = self.variable(var)
                new = self.expr(value)
                return replace(node, var=typed, value=_as(typed.dtype, new) if var.dtype is INDEX else new)
            case For(var, extent):
                dtype = INT32 if _fits(self.interval(extent)) else INT64
                typed = self.names.bind(var, dtype)
                body = tuple(self.statement(s) for s in node.body)
                return replace(node, var=typed, extent=_as(typed.dtype, self.expr(extent)), body=body)
            case Store() | AtomicUpdate():
                new_node = map_children(node, self.node)
                value = _as(INT64, new_node.value) if node.buffer.dtype is INDEX else new_node.value
                return replace(new_node, indices=self.indices(node.buffer, node.indices), value=value)
            case Alloc(buffer, Expr() as init) if buffer.dtype is INDEX:
                return replace(node, buffer=self.typed(buffer), init=_as(INT64, self.expr(init)))
            case Role(thread=thread):
                self.names.bind(thread, INT32)
            case TensorCopy(dst, src):
                tap = tuple(map(self.coordinate, node.tap))
                return replace(map_children(node, self.node), dst=self.corner(dst), src=self.corner(src), tap=tap)
            case SafeValue(buffer, value) if buffer.dtype is INDEX:
                return replace(node, buffer=self.typed(buffer), value=_as(INT64, self.expr(value)))
        return map_children(node, self.node)

    def corner(self, a: Address) -> Address:
        """The coordinates of a box are int32, however far from the tensor's start that is.

        What does not fit lies outside of every tensor, and so does the nearest number that does.
        """
        new = map_children(a, self.node)
        if a.buffer.space is not Space.GLOBAL:
            return new
        return replace(new, indices=tuple(self.coordinate(i) for i in a.indices))

    def coordinate(self, index: Expr) -> Expr:
        typed = self.expr(index)
        if dtype_of(typed) is not INT64:
            return typed
        low, high = (Const(n, INT64) for n in (_LEAST, _GREATEST))
        return Cast(INT32, Binary("min", Binary("max", typed, low), high))

    def statement(self, s: Stmt) -> Stmt:
        new = self.node(s)
        assert isinstance(new, Stmt)
        return new

    def variable(self, var: Var) -> Var:
        if var.dtype is not INDEX:
            return var
        known = self.facts.ranges.get(var)
        return self.names.bind(var, INT32 if known is not None and _fits(known) else INT64)

    def typed(self, b: Buffer) -> Buffer:
        """What stands for `b`, the same each time."""
        if b not in self.names.buffers:
            self.names.buffers[b] = self.buffer(b)
        return self.names.buffers[b]

    def buffer(self, b: Buffer) -> Buffer:
        """`b` with typed extents; an element of index dtype becomes an int64."""
        dtype = INT64 if b.dtype is INDEX else b.dtype
        shape = tuple(e if isinstance(e, int) else self.expr(e) for e in b.shape)
        strides = b.strides and tuple(e if isinstance(e, int) else self.expr(e) for e in b.strides)
        same = dtype is b.dtype and shape == b.shape and strides == b.strides
        return b if same else replace(b, dtype=dtype, shape=shape, strides=strides)

    # ------------------------------------------------------------------------------------------------- expressions

    def expr(self, e: Expr) -> Expr:
        """`e` without indices; if it is an index, as an int32 or int64 that holds its value."""
        match e:
            case Const(value, dtype):
                return _constant(int(value)) if dtype is INDEX else e
            case Var():
                return self.variable(e)
            case Binary(op, a, b) if dtype_of(a) is INDEX:
                return self.binary(e, op, self.expr(a), self.expr(b))
            case Unary(op, a) if dtype_of(a) is INDEX:
                new = self.expr(a)
                return Unary(op, new if _fits(self.interval(e)) else _as(INT64, new))
            case Select(cond, a, b) if dtype_of(a) is INDEX:
                return Select(self.expr(cond), *_alike(self.expr(a), self.expr(b)))
            case Cast(dtype, a):
                return self.cast(e, dtype, self.expr(a))
            case Load(buffer, indices) | Address(buffer, indices):
                new_access = map_children(e, self.node)
                return replace(new_access, indices=self.indices(buffer, indices))
            case Call(fn, args) if len(args) > 1 and dtype_of(args[0]) is INDEX:
                first, *rest = (_as(INT64, self.expr(a)) if dtype_of(a) is INDEX else self.expr(a) for a in args)
                return Call(fn, (first, *rest))
            case Extern(dtype=dtype) if dtype is INDEX:
                return replace(map_children(e, self.node), dtype=INT64)
        return map_children(e, self.node)

    def cast(self, e: Cast, dtype: DType, new: Expr) -> Expr:
        if dtype is not INDEX:
            return new if dtype_of(new) is dtype else replace(e, a=new)
        width = INT32 if _fits(self.facts.simplifier.bounds(e)) else INT64
        return new if dtype_of(new) is width else replace(e, dtype=width, a=new)

    def binary(self, e: Binary, op: str, a: Expr, b: Expr) -> Expr:
        if BINARY[op].result is Result.BOOL:
            return Binary(op, *_alike(a, b))
        fits = _fits(self.interval(e))
        a, b = _alike(a, b) if fits else (_as(INT64, a), _as(INT64, b))
        if op in ("//", "%") and self.interval(e.a)[0] >= 0 and self.interval(e.b)[0] >= 0:
            result = _unsigned_division(op, a, b)
        else:
            result = Binary(op, a, b)
        return _as(INT32, result) if fits else result

    def interval(self, e: Expr) -> Interval:
        """Bounds of an index: from those of its parts if that shows that it fits, else by its normal form."""
        known = self.intervals.get(id(e))
        if known is None:
            known = self.intervals[id(e)] = (e, self._interval(e))
        return known[1]

    def _interval(self, e: Expr) -> Interval:
        match e:
            case Const(value):
                return value, value
            case Binary(op, a, b):
                quick = combine(op, self.interval(a), self.interval(b))
                if _fits(quick) and quick[0] >= 0:
                    return quick
        return self.facts.simplifier.bounds(e)

    def indices(self, buffer: Buffer, indices: Sequence[Expr]) -> tuple[Expr, ...]:
        """The typed indices of an access; int64 where the offset of a global element may not fit in an int32."""
        typed = tuple(self.expr(i) for i in indices)
        if buffer.space is not Space.GLOBAL or self.offset_fits(buffer, indices):
            return typed
        return tuple(_as(INT64, i) for i in typed)

    def offset_fits(self, buffer: Buffer, indices: Sequence[Expr]) -> bool:
        """Whether every step of sum(index * stride), and of the row-major offset by Horner's rule, fits."""
        total: Interval = (0, 0)
        if buffer.strides is None:
            for index, extent in zip(indices, buffer.shape):
                scaled = combine("*", total, self.interval(wrap(extent)))
                total = combine("+", scaled, self._of(index))
                if not _fits(scaled) or not _fits(total):
                    return False
            return True
        for index, stride in zip(indices, row_strides(buffer)):
            product = combine("*", self._of(index), self.interval(stride))
            total = combine("+", total, product)
            if not _fits(product) or not _fits(total):
                return False
        return True

    def _of(self, index: Expr) -> Interval:
        return self.interval(index) if dtype_of(index) is INDEX else self.facts.simplifier.bounds(index)


def _unsigned_division(op: str, a: Expr, b: Expr) -> Expr:
    """`a // b` or `a % b` of operands that are not negative."""
    match b:
        case Const(int(c), dtype) if c > 0 and c & (c - 1) == 0:
            shift = op == "//"
            return Binary(">>" if shift else "&", a, Const(c.bit_length() - 1 if shift else c - 1, dtype))
    return Binary("div" if op == "//" else "rem", a, b)
