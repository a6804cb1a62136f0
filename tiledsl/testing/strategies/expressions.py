"""The part of `strategies` below statements: constants, expressions, buffers and regions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from tiledsl.ir import nodes as ir
from tiledsl.ir.dtypes import BOOL, DTYPES, HANDLE, INDEX, INT32, UINT64, DType, Kind
from tiledsl.ir.nodes import Buffer, Const, Expr, Region, Space, Stmt, Var
from tiledsl.ir.ops import BINARY, FUNCTIONS, BinaryOp, Effect, Result

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]

VALUES = [d for d in DTYPES.values() if d is not HANDLE]
COMMON = [INDEX, INT32, BOOL, DTYPES["float32"], DTYPES["float16"], DTYPES["uint8"]]
NAMES = st.sampled_from(["i", "k", "A", "As", "acc", "copy", "float16", "for", "x_1", "x", "x", "größe", "", "1st"])
STRINGS = st.text(st.characters(codec="utf-8"), max_size=6)
TILE_SPACES = (Space.SHARED, Space.FRAGMENT)


@lru_cache
def constants(dtype: DType) -> st.SearchStrategy[Const]:
    """Literals of a dtype: floats include infinities, NaN and both zeros."""
    return _literals(dtype).map(lambda value: Const(value, dtype))


def _literals(dtype: DType) -> st.SearchStrategy[Any]:
    match dtype.kind:
        case Kind.BOOL:
            return st.booleans()
        case Kind.FLOAT:
            return st.floats()
        case Kind.HANDLE:
            return st.just(0)
        case Kind.INDEX:
            return st.integers(-(2**40), 2**40)
    return st.integers(*dtype.int_range)


_COIN = st.booleans()


@lru_cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    """Kept, because making and validating a strategy takes longer than drawing from it."""
    return st.integers(low, high)


def _applies(op: BinaryOp, dtype: DType) -> bool:
    return dtype.is_integer if op.integers_only else dtype.is_float or op.symbol != "/"


class Maker:
    """Draws expressions and buffers; `vars` and `buffers` are in scope, `out` is the block being written."""

    def __init__(self, draw: Draw, max_statements: int, variables: list[Var] | None = None) -> None:
        self.draw = draw
        self.max_statements = max_statements
        self.vars: list[Var] = variables or []
        self.buffers: list[Buffer] = []
        self.out: list[Stmt] = []
        self.allocated: list[Buffer] = []
        self.loops = 0
        self.in_parallel = False
        self.memory = False  # whether expressions may read and allocate buffers

    def pick(self, options: Any) -> Any:
        choices = list(options)
        return choices[self.number(0, len(choices) - 1)]

    def number(self, low: int, high: int) -> int:
        return int(self.draw(_integers(low, high)))

    def coin(self) -> bool:
        return bool(self.draw(_COIN))

    def maybe(self, make: Callable[[], T], otherwise: T) -> T:
        return make() if self.coin() else otherwise

    # ---- expressions

    def var(self, dtype: DType = INDEX) -> Var:
        return Var(self.draw(NAMES), dtype)

    def expr(self, dtype: DType, depth: int = 2) -> Expr:
        if dtype is HANDLE and self.memory:
            return ir.Address(*self.element(self.buffer(), 0))
        leaves: list[Callable[[], Expr]] = [lambda: self.draw(constants(dtype))]
        if known := [v for v in self.vars if v.dtype is dtype]:
            leaves += [lambda: self.pick(known)] * 2
        if self.memory and (readable := [b for b in self.buffers if b.dtype is dtype and b.space is not Space.BARRIER]):
            leaves.append(lambda: ir.Load(*self.element(self.pick(readable), min(depth, 1))))
        if depth == 0 or dtype is HANDLE:
            return self.pick(leaves)()  # type: ignore[no-any-return]
        return self.pick([*leaves, *self.operations(dtype, depth - 1)])()  # type: ignore[no-any-return]

    def operations(self, dtype: DType, depth: int) -> list[Callable[[], Expr]]:
        e = self.expr
        other = self.pick(COMMON)
        makers: list[Callable[[], Expr]] = [
            lambda: ir.Select(e(BOOL, depth), e(dtype, depth), e(dtype, depth)),
            lambda: ir.Cast(dtype, e(other, depth), self.pick(ir.Rounding), self.coin()),
            lambda: ir.Extern(self.draw(STRINGS), (e(other, depth), e(HANDLE)), dtype, self.coin()),
            lambda: ir.Call("shfl_" + self.pick(["xor", "up", "down", "idx"]), (e(dtype, depth), e(INT32, 0))),
        ]
        makers.append(lambda: ir.Call("warp_uniform", (e(dtype, depth),)))
        if dtype is not INDEX:
            twin = self.pick([d for d in VALUES if d.bits == dtype.bits and d is not INDEX])
            makers.append(lambda: ir.Reinterpret(dtype, e(twin, depth)))
        if dtype is BOOL:
            return [*makers, *self.conditions(depth, other)]
        infix = [o.symbol for o in BINARY.values() if o.result is Result.SAME and _applies(o, dtype)]
        makers.append(lambda: ir.Binary(self.pick(infix), e(dtype, depth), e(dtype, depth)))
        makers.append(lambda: ir.Unary("-" if dtype.is_float else self.pick("-~"), e(dtype, depth)))
        if dtype.is_float:
            scalar = [f for f in FUNCTIONS.values() if f.result is Result.SAME and f.effect is Effect.PURE]
            math = [f for f in scalar if f.name not in ("prmt", "dp4a") and not f.dtypes]
            makers.append(lambda: self.call(self.pick(math), dtype, depth))
        if named := [f for f in FUNCTIONS.values() if dtype.name in f.dtypes]:
            makers.append(lambda: self.call(self.pick(named), dtype, depth))
        if dtype is INT32:
            makers.append(lambda: ir.Call(self.pick(["popcount", "clz"]), (e(INDEX, depth),)))
            makers.append(lambda: self.call(FUNCTIONS[self.pick(["prmt", "dp4a"])], INT32, depth))
            makers.append(lambda: ir.Call("warp_ballot", (e(BOOL, depth),)))
            makers.append(lambda: ir.Call("warp_match", (e(INT32, depth),)))
        return makers

    def conditions(self, depth: int, other: DType) -> list[Callable[[], Expr]]:
        e, compare = self.expr, ["<", "<=", ">", ">=", "==", "!="]
        return [
            lambda: ir.Binary(self.pick(compare), e(other, depth), e(other, depth)),
            lambda: ir.Binary(self.pick(["and", "or", "|", "^", "&"]), e(BOOL, depth), e(BOOL, depth)),
            lambda: ir.Unary(self.pick(["not", "~"]), e(BOOL, depth)),
            lambda: ir.Call(self.pick(["isnan", "isinf", "isfinite"]), (e(DTYPES["float32"], depth),)),
            lambda: ir.Call(self.pick(["warp_any", "warp_all"]), (e(BOOL, depth),)),
        ]

    def call(self, function: Any, dtype: DType, depth: int) -> Expr:
        return ir.Call(function.name, tuple(self.expr(dtype, depth) for _ in range(function.arity)))

    # ---- buffers

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        rank = self.number(1, 3) if rank is None else rank
        return tuple(self.number(1, 9) for _ in range(rank))

    def fresh(self, space: Space, shape: tuple[int, ...] | None = None, dtype: DType | None = None) -> Buffer:
        """A new buffer, allocated in the block being written."""
        if space is Space.VAR:
            shape = ()
        dtype = UINT64 if space is Space.BARRIER else dtype or self.pick(VALUES)
        versions = self.number(1, 3) if space is not Space.VAR else 1
        b = Buffer(self.draw(NAMES), self.shape() if shape is None else shape, dtype, space, versions=versions)
        init = self.expr(dtype) if space is Space.VAR and self.coin() else None
        self.out.append(ir.Alloc(b, init))
        self.buffers.append(b)
        self.allocated.append(b)
        return b

    def buffer(self, *spaces: Space) -> Buffer:
        """A buffer in scope in one of `spaces` (default: any that can be read), allocated if there is none."""
        allowed = spaces or (Space.GLOBAL, Space.SHARED, Space.FRAGMENT, Space.LOCAL, Space.VAR)
        known = [b for b in self.buffers if b.space in allowed]
        if known and self.coin():
            return self.pick(known)  # type: ignore[no-any-return]
        makeable = [s for s in allowed if s is not Space.GLOBAL]
        return self.fresh(self.pick(makeable)) if makeable else self.pick(known)

    def element(self, b: Buffer, depth: int = 1) -> tuple[Buffer, tuple[Expr, ...], Expr | None]:
        kinds = (INDEX, INT32) if depth else (INDEX,)
        indices = tuple(self.expr(self.pick(kinds), depth) for _ in b.shape)
        return b, indices, self.version(b)

    def version(self, b: Buffer) -> Expr | None:
        return self.expr(INDEX, 1) if b.versions > 1 else None

    def region(self, b: Buffer, extents: tuple[int, ...] | None = None) -> Region:
        """The whole of `b`, or a box in it; `extents` fixes the box."""
        if extents is None and b.space is not Space.GLOBAL and self.coin():
            return Region(b, (Const(0),) * len(b.shape), ir.static_shape(b), self.version(b))
        box = extents or tuple(self.number(1, n if isinstance(n, int) else 9) for n in b.shape)
        return Region(b, tuple(self.expr(INDEX, 1) for _ in b.shape), box, self.version(b))

    def tile(self, extents: tuple[int, ...], *spaces: Space) -> Region:
        """A region of these extents, of a new buffer that may have further dimensions of 1 in front."""
        lead = (1,) * self.number(0, 1)
        space = self.pick([s for s in spaces if s is not Space.GLOBAL])
        return self.region(self.fresh(space, lead + extents), lead + extents)
