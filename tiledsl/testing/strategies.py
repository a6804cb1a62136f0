"""Hypothesis strategies for IR: random well-formed kernels in which every kind of node occurs.

    @given(kernels())
    def test_my_pass_keeps_kernels_well_formed(kernel):
        verify(my_pass(kernel))

The kernels are for laws about form (text, traversal, rewriting); most of them compute nothing sensible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, TypeVar

from hypothesis import strategies as st

from tiledsl.ir import nodes as ir
from tiledsl.ir import tile
from tiledsl.ir.dtypes import BOOL, DTYPES, HANDLE, INDEX, INT32, UINT64, DType, Kind
from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle
from tiledsl.ir.nodes import Buffer, Const, Expr, Kernel, Launch, Region, Space, Stmt, Var
from tiledsl.ir.ops import BINARY, FUNCTIONS, Effect, Result

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]

_VALUES = [d for d in DTYPES.values() if d is not HANDLE]
_COMMON = [INDEX, INT32, BOOL, DTYPES["float32"], DTYPES["float16"], DTYPES["uint8"]]
_NAMES = st.sampled_from(["i", "k", "A", "As", "acc", "copy", "float16", "for", "x_1", "x", "x", "größe", "", "1st"])
_STRINGS = st.text(st.characters(codec="utf-8"), max_size=6)
_TILE_SPACES = (Space.SHARED, Space.FRAGMENT)


def kernels(max_statements: int = 4, depth: int = 2) -> st.SearchStrategy[Kernel]:
    """Well-formed kernels: `verify` accepts each. Blocks have up to `max_statements` drawn statements, nested `depth`
    deep; allocations come on top."""
    return st.composite(lambda draw: _Maker(draw, max_statements).kernel(depth))()


def expressions(dtype: DType = INDEX, variables: tuple[Var, ...] = (), depth: int = 3) -> st.SearchStrategy[Expr]:
    """Well-typed expressions of a dtype over `variables`, without memory accesses."""
    return st.composite(lambda draw: _Maker(draw, 0, list(variables)).expr(dtype, depth))()


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


class _Maker:
    """Draws one kernel from the outside in; `vars` and `buffers` are in scope, `out` is the block being written."""

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
        return self.draw(st.sampled_from(list(options)))

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def coin(self) -> bool:
        return bool(self.draw(st.booleans()))

    def maybe(self, make: Callable[[], T], otherwise: T) -> T:
        return make() if self.coin() else otherwise

    # ---- expressions

    def var(self, dtype: DType = INDEX) -> Var:
        return Var(self.draw(_NAMES), dtype)

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
        other = self.pick(_COMMON)
        makers: list[Callable[[], Expr]] = [
            lambda: ir.Select(e(BOOL, depth), e(dtype, depth), e(dtype, depth)),
            lambda: ir.Cast(dtype, e(other, depth), self.pick(ir.Rounding), self.coin()),
            lambda: ir.Extern(self.draw(_STRINGS), (e(other, depth), e(HANDLE)), dtype, self.coin()),
            lambda: ir.Call("shfl_" + self.pick(["xor", "up", "down", "idx"]), (e(dtype, depth), e(INT32, 0))),
        ]
        if dtype is not INDEX:
            twin = self.pick([d for d in _VALUES if d.bits == dtype.bits and d is not INDEX])
            makers.append(lambda: ir.Reinterpret(dtype, e(twin, depth)))
        if dtype is BOOL:
            return [*makers, *self.conditions(depth, other)]
        infix = [
            o for o in BINARY.values()
            if o.result is Result.SAME and (dtype.is_integer or not o.integers_only) and (dtype.is_float or o.symbol != "/")
        ]  # fmt: skip
        makers.append(lambda: ir.Binary(self.pick(infix).symbol, e(dtype, depth), e(dtype, depth)))
        makers.append(lambda: ir.Unary("-" if dtype.is_float else self.pick("-~"), e(dtype, depth)))
        if dtype.is_float:
            scalar = [f for f in FUNCTIONS.values() if f.result is Result.SAME and f.effect is Effect.PURE]
            math = [f for f in scalar if f.name not in ("prmt", "dp4a")]
            makers.append(lambda: self.call(self.pick(math), dtype, depth))
        if dtype is INT32:
            makers.append(lambda: ir.Call(self.pick(["popcount", "clz"]), (e(INDEX, depth),)))
            makers.append(lambda: self.call(FUNCTIONS[self.pick(["prmt", "dp4a"])], INT32, depth))
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
        dtype = UINT64 if space is Space.BARRIER else dtype or self.pick(_VALUES)
        versions = self.number(1, 3) if space is not Space.VAR else 1
        b = Buffer(self.draw(_NAMES), self.shape() if shape is None else shape, dtype, space, versions=versions)
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

    # ---- scalar statements

    @contextmanager
    def scope(self) -> Iterator[list[Stmt]]:
        """A block of its own: what is bound inside is forgotten afterwards."""
        outer, variables, buffers = self.out, len(self.vars), len(self.buffers)
        self.out = []
        yield self.out
        self.out = outer
        del self.vars[variables:], self.buffers[buffers:]

    def block(self, depth: int, *bound: Var) -> ir.Block:
        with self.scope() as out:
            self.vars.extend(bound)
            for _ in range(self.number(0, self.max_statements)):
                out.append(self.stmt(depth))
            return tuple(out)

    def stmt(self, depth: int) -> Stmt:
        forms = [self.let, self.store, self.update, self.simple, self.move, self.view, self.show]
        forms += [] if self.in_parallel else [self.tile_copy, self.tile_reduce, self.tile_gemm, self.tile_other]
        nested = [self.loop, self.branch] + ([] if self.in_parallel else [self.parallel])
        form = self.pick([*forms, *nested, *nested] if depth else forms)
        return form(depth - 1) if form in nested else form()  # type: ignore[no-any-return]

    def let(self) -> Stmt:
        v = self.var(self.pick(_VALUES))
        bound = ir.Let(v, self.expr(v.dtype))
        self.vars.append(v)
        return bound

    def store(self) -> Stmt:
        b, indices, version = self.element(self.buffer())
        sources = [s for s in self.buffers if s.space is Space.GLOBAL and s.dtype is b.dtype]
        if b.space is Space.SHARED and sources and self.coin():
            load = ir.Load(*self.element(self.pick(sources)))
            return ir.Store(b, indices, load, version, asynchronous=True)
        return ir.Store(b, indices, self.expr(b.dtype), version)

    def update(self) -> Stmt:
        ops = ["add", "max", "min", "and", "or", "xor", "exch", "load", "store"]
        single = [b for b in self.buffers if b.space in (Space.GLOBAL, Space.SHARED) and b.versions == 1]
        b = self.pick(single)
        value, (_, indices, _) = self.expr(b.dtype), self.element(b)
        result = self.maybe(lambda: self.var(b.dtype), None)
        self.vars += [result] if result else []
        return ir.AtomicUpdate(self.pick(ops), b, indices, value, self.pick(["relaxed", "acq_rel"]), result)

    def simple(self) -> Stmt:
        makers: list[Callable[[], Stmt]] = [
            lambda: ir.Barrier(self.number(0, 15), 32 * self.number(0, 4)),
            lambda: ir.AsyncWait(self.number(0, 3)),
            ir.AsyncCommit,
            lambda: ir.Evaluate(self.expr(self.pick(_COMMON))),
            lambda: ir.AtomCall(self.pick(["mma_m16n8k16", "copy", "a b"]), (self.expr(HANDLE), self.expr(INT32))),
            lambda: ir.Assert(self.expr(BOOL), self.draw(_STRINGS)),
            lambda: ir.Assume(self.expr(BOOL)),
            lambda: ir.Alloc(self.fresh_barrier()),
        ]
        return self.pick(makers + ([ir.Break, ir.Continue] if self.loops else []))()  # type: ignore[no-any-return]

    def fresh_barrier(self) -> Buffer:
        b = Buffer("bar", self.shape(1), UINT64, Space.BARRIER, versions=self.number(1, 3))
        self.allocated.append(b)
        return b

    def move(self) -> Stmt:
        dtype = self.pick([d for d in _VALUES if d.bits in (8, 16, 32)])
        local = ir.Address(*self.element(self.fresh(Space.LOCAL, dtype=dtype)))
        memory = ir.Address(*self.element(self.fresh(Space.SHARED, dtype=dtype)))
        lanes = self.pick([1, 2, 4])
        return ir.Move(local, memory, lanes) if self.coin() else ir.Move(memory, local, lanes)

    def view(self) -> Stmt:
        source = self.fresh(self.pick([Space.SHARED, Space.LOCAL]))
        b = Buffer(self.draw(_NAMES), (prod(ir.static_shape(source)), 1), source.dtype, source.space)
        b = Buffer(b.name, b.shape, b.dtype, b.space, versions=source.versions)
        self.buffers.append(b)
        return ir.View(b, source)

    def show(self) -> Stmt:
        tile_buffer = self.maybe(lambda: self.buffer(Space.SHARED, Space.FRAGMENT), None)
        return ir.Print(self.draw(_STRINGS), tuple(self.expr(d, 1) for d in _COMMON[: self.number(0, 2)]), tile_buffer)

    def loop(self, depth: int) -> Stmt:
        if self.coin():
            v = self.var(self.pick([INDEX, INT32]))
            extent = self.expr(v.dtype)
            return ir.For(v, extent, self.looped(depth, v), self.kind(extent))
        return ir.While(self.expr(BOOL), self.looped(depth))

    def looped(self, depth: int, *bound: Var) -> ir.Block:
        self.loops += 1
        body = self.block(depth, *bound)
        self.loops -= 1
        return body

    def kind(self, extent: Expr) -> ir.LoopKind:
        n, rows = self.number(0, 4), tuple(tuple(range(i)) for i in range(self.number(0, 2)))
        kinds: list[ir.LoopKind] = [
            ir.Serial(),
            ir.Unrolled(n, self.coin()),
            ir.Pipelined(n, tuple(range(n)), tuple(range(n)), rows, rows),
            ir.Pipelined(n),
            ir.Persistent(n + 1),
        ]
        return self.pick(kinds + ([ir.Vectorized()] if isinstance(extent, Const) else []))  # type: ignore[no-any-return]

    def branch(self, depth: int) -> Stmt:
        return ir.If(self.expr(BOOL), self.block(depth), self.block(depth))

    # ---- tile statements

    def tile_copy(self) -> Stmt:
        sources = [b for b in self.buffers if b.space is Space.GLOBAL]
        if sources and self.coin():
            src = self.region(self.pick(sources))
            space = self.pick([Space.SHARED, Space.FRAGMENT, Space.LOCAL])
            dst = self.region(self.fresh(space, src.extents), src.extents)
            return tile.Copy(src, dst, self.number(0, 8), space is Space.SHARED and self.coin())
        src = self.region(self.buffer(*_TILE_SPACES))
        return tile.Copy(src, self.tile(src.extents, Space.SHARED, Space.FRAGMENT, Space.LOCAL), self.number(0, 8))

    def tile_reduce(self) -> Stmt:
        src = self.region(self.buffer(*_TILE_SPACES))
        dim = self.number(0, len(src.extents) - 1)
        if self.coin():
            dst = self.fresh(self.pick(_TILE_SPACES), src.extents)
            return tile.Scan(src, self.region(dst, src.extents), self.pick(["sum", "max"]), dim, self.coin())
        kept = src.extents[:dim] + (1,) * self.number(0, 1) + src.extents[dim + 1 :] or (1,)
        dst = self.fresh(self.pick(_TILE_SPACES), kept)
        return tile.Reduce(src, self.region(dst, kept), self.pick(tile.REDUCTIONS), dim, self.coin())

    def tile_gemm(self) -> Stmt:
        m, n, k = (self.pick([8, 16]) for _ in range(3))
        ta, tb = self.coin(), self.coin()
        a = self.tile((k, m) if ta else (m, k), *_TILE_SPACES)
        b = self.tile((n, k) if tb else (k, n), *_TILE_SPACES)
        policy, precision = self.pick(["square", "full_row", "full_col"]), self.pick(["ieee", "tf32"])
        return tile.Gemm(
            a, b, self.tile((m, n), Space.FRAGMENT), ta, tb, self.coin(), policy, precision, self.number(0, 2)
        )

    def tile_other(self) -> Stmt:
        src = self.region(self.buffer(*_TILE_SPACES))
        match self.pick(["fill", "atomic", "transpose", "im2col"]):
            case "fill":
                return tile.Fill(src, self.expr(src.buffer.dtype))
            case "atomic":
                order = self.pick(["relaxed", "acq_rel"])
                return tile.Atomic(self.pick(["add", "max", "min"]), self.tile(src.extents, Space.SHARED), src, order)
            case "transpose":
                rows, columns = self.shape(2)
                turned = self.tile((columns, rows), *_TILE_SPACES)
                return tile.Transpose(self.tile((rows, columns), *_TILE_SPACES), turned)
        image = Region(self.buffers[0], tuple(self.expr(INDEX) for _ in range(4)), self.shape(4))
        sizes = [self.number(1, 3) for _ in range(4)]
        row, column = self.expr(INDEX), self.expr(INDEX)
        return tile.Im2col(image, self.region(self.fresh(Space.SHARED, self.shape(2))), row, column, *sizes)

    def parallel(self, depth: int) -> Stmt:
        extents = self.shape()
        bound = tuple(self.var() for _ in extents)
        layout = self.maybe(lambda: self.fragment(extents), None)
        loops, self.loops, self.in_parallel = self.loops, 0, True
        body = self.block(depth, *bound)
        self.loops, self.in_parallel = loops, False
        return tile.Parallel(bound, extents, body, self.number(0, 8), layout)

    # ---- whole kernels

    def digits(self) -> tuple[Digit, ...]:
        return tuple(Digit(self.number(1, 32), self.number(0, 64)) for _ in range(self.number(0, 3)))

    def fragment(self, shape: tuple[int, ...]) -> Fragment:
        return Fragment(shape, self.digits(), self.digits())

    def layout(self, shape: tuple[int, ...]) -> Layout:
        swizzle = self.maybe(lambda: Swizzle(self.number(1, 3), self.number(0, 4), self.number(3, 4)), None)
        return Layout(shape, tuple(self.digits() for _ in shape), self.number(1, 4096), swizzle)

    def launch(self, number: int, depth: int) -> Launch:
        with self.scope():
            self.allocated = []
            grid = tuple(self.expr(INDEX, 1) for _ in range(self.number(1, 3)))
            blocks, thread = tuple(self.var() for _ in grid), self.var()
            self.memory = True
            body = self.block(depth, *blocks, thread)
            self.memory = False
            fragments = [b for b in self.allocated if b.space is Space.FRAGMENT and self.coin()]
            shared = [b for b in self.allocated if b.space is Space.SHARED and self.coin()]
            why = self.pick(["user", "gemm"])
            tables = [ir.Assigned(b, self.fragment(ir.static_shape(b)), why) for b in fragments]
            tables += [ir.Assigned(b, self.layout(ir.static_shape(b)), why) for b in shared]
            safe = [ir.SafeValue(b, self.draw(constants(b.dtype))) for b in self.buffers if self.coin()]
            return Launch(
                f"{self.pick(['main', 'copy', 'a-b'])}{number}", grid, blocks, self.shape(), thread, body,
                layouts=tuple(tables),
                safe_values=tuple(safe),
                shared=tuple(ir.SharedSlot(b, 16 * i) for i, b in enumerate(shared)),
                shared_bytes=1 << 20 if shared else 0,
                cluster=self.maybe(lambda: (2, 1), ()),
                raster=self.maybe(lambda: ir.Raster(self.number(1, 9), self.pick(["row", "column"])), None),
                min_blocks=self.number(0, 2),
            )  # fmt: skip

    def kernel(self, depth: int) -> Kernel:
        sizes = tuple(self.var() for _ in range(self.number(0, 2)))
        scalars = tuple(self.var(self.pick(_VALUES)) for _ in range(self.number(0, 2)))
        self.vars += [*sizes, *scalars]
        image = Buffer("image", (9, 9, 9, 9), self.pick(_VALUES))
        tensors = [image, *(self.tensor() for _ in range(self.number(0, 2)))]
        scratch = tuple(self.tensor() for _ in range(self.number(0, 1)))
        self.buffers += [*tensors, *scratch]
        params = self.draw(st.permutations([*tensors, *scalars]))
        launches = tuple(self.launch(i, depth) for i in range(self.number(1, 2)))
        results = tuple(b for b in tensors if self.coin())
        return Kernel(
            self.pick(["k", "copy", "<lambda>"]), tuple(params), launches, sizes, scratch, results, self.draw(_STRINGS)
        )

    def tensor(self) -> Buffer:
        """A global tensor, perhaps with dynamic extents and strides."""
        names = [v for v in self.vars if v.dtype.is_integer]
        extents = [self.pick([n, *names, *(v * 2 for v in names if v.dtype is INDEX)]) for n in self.shape()]
        strides = self.maybe(lambda: tuple(extents), None)
        return Buffer(self.draw(_NAMES), tuple(extents), self.pick(_VALUES), strides=strides)
