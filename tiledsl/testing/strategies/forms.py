"""Hypothesis strategies for IR: random well-formed kernels in which every kind of node occurs.

    @given(kernels())
    def test_my_pass_keeps_kernels_well_formed(kernel):
        verify(my_pass(kernel))

The kernels are for laws about form (text, traversal, rewriting); most of them compute nothing sensible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod

from hypothesis import strategies as st

from tiledsl.ir import nodes as ir
from tiledsl.ir import tile
from tiledsl.ir.dtypes import BOOL, HANDLE, INDEX, INT32, UINT16, UINT64, DType
from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle
from tiledsl.ir.nodes import Buffer, Const, Expr, Kernel, Launch, Space, Stmt, Var
from tiledsl.testing.strategies.concurrent_forms import ConcurrentMaker
from tiledsl.testing.strategies.expressions import COMMON, NAMES, STRINGS, TILE_SPACES, VALUES, Maker, constants

__all__ = ["constants", "expressions", "kernels"]


def kernels(max_statements: int = 4, depth: int = 2) -> st.SearchStrategy[Kernel]:
    """Well-formed kernels: `verify` accepts each. Blocks have up to `max_statements` drawn statements, nested `depth`
    deep; allocations come on top."""
    return st.composite(lambda draw: _KernelMaker(draw, max_statements).kernel(depth))()


def expressions(dtype: DType = INDEX, variables: tuple[Var, ...] = (), depth: int = 3) -> st.SearchStrategy[Expr]:
    """Well-typed expressions of a dtype over `variables`, without memory accesses."""
    return st.composite(lambda draw: Maker(draw, 0, list(variables)).expr(dtype, depth))()


class _KernelMaker(ConcurrentMaker):
    """Draws one kernel from the outside in."""

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
        forms = [self.let, self.store, self.update, *[self.simple] * 4, self.move, self.view, self.show]
        forms += [*[self.beside] * 4, self.queued, self.engine]
        tiles = [self.tile_copy, *[self.tile_reduce] * 2, self.tile_gemm, *[self.tile_other] * 3, self.tile_bulk]
        forms += [] if self.in_parallel else tiles
        nested = [self.loop, self.branch] + ([] if self.in_parallel else [self.parallel])
        nested += [self.roles] if self.threads and not self.in_parallel else []
        form = self.pick([*forms, *nested, *nested] if depth else forms)
        return form(depth - 1) if form in nested else form()  # type: ignore[no-any-return]

    def let(self) -> Stmt:
        v = self.var(self.pick(VALUES))
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
            *[lambda: ir.Evaluate(self.expr(self.pick(COMMON)))] * 2,  # the others are drawn elsewhere too
            lambda: ir.AtomCall(self.pick(["mma_m16n8k16", "copy", "a b"]), (self.expr(HANDLE), self.expr(INT32))),
            lambda: ir.Assert(self.expr(BOOL), self.draw(STRINGS)),
            lambda: ir.Assume(self.expr(BOOL)),
            self.alloc_barrier,
        ]
        return self.pick(makers + ([ir.Break, ir.Continue] if self.loops else []))()  # type: ignore[no-any-return]

    def alloc_barrier(self) -> Stmt:
        b = Buffer("bar", self.shape(1), UINT64, Space.BARRIER, versions=self.number(1, 3))
        self.allocated.append(b)
        return ir.Alloc(b, self.maybe(lambda: Const(self.number(1, 400), UINT64), None))

    def move(self) -> Stmt:
        dtype = self.pick([d for d in VALUES if d.bits in (8, 16, 32)])
        local = ir.Address(*self.element(self.fresh(Space.LOCAL, dtype=dtype)))
        memory = ir.Address(*self.element(self.fresh(Space.SHARED, dtype=dtype)))
        lanes = self.pick([1, 2, 4])
        return ir.Move(local, memory, lanes) if self.coin() else ir.Move(memory, local, lanes)

    def view(self) -> Stmt:
        source = self.fresh(self.pick([Space.SHARED, Space.LOCAL]))
        b = Buffer(self.draw(NAMES), (prod(ir.static_shape(source)), 1), source.dtype, source.space)
        b = Buffer(b.name, b.shape, b.dtype, b.space, versions=source.versions)
        self.buffers.append(b)
        return ir.View(b, source)

    def show(self) -> Stmt:
        tile_buffer = self.maybe(lambda: self.buffer(Space.SHARED, Space.FRAGMENT), None)
        return ir.Print(self.draw(STRINGS), tuple(self.expr(d, 1) for d in COMMON[: self.number(0, 2)]), tile_buffer)

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
        ends: list[ir.Block] = [(), (), (ir.Break(),), (ir.Continue(),)]
        return body + ends[self.number(0, 3)]

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
        if self.pick([False, False, True]):
            return self.tile_im2col()
        sources = [b for b in self.buffers if b.space is Space.GLOBAL]
        if sources and self.coin():
            src = self.region(self.pick(sources))
            space = self.pick([Space.SHARED, Space.FRAGMENT, Space.LOCAL])
            dst = self.region(self.fresh(space, src.extents), src.extents)
            return tile.Copy(src, dst, self.number(0, 8), space is Space.SHARED and self.coin())
        src = self.region(self.buffer(*TILE_SPACES))
        dst, engine = self.tile(src.extents, Space.SHARED, Space.FRAGMENT, Space.LOCAL), self.pick(["", "threads"])
        return tile.Copy(src, dst, self.number(0, 8), engine=engine)

    def tile_reduce(self) -> Stmt:
        src = self.region(self.buffer(*TILE_SPACES))
        dim = self.number(0, len(src.extents) - 1)
        if self.coin():
            dst = self.fresh(self.pick(TILE_SPACES), src.extents)
            return tile.Scan(src, self.region(dst, src.extents), self.pick(["sum", "max"]), dim, self.coin())
        kept = src.extents[:dim] + (1,) * self.number(0, 1) + src.extents[dim + 1 :] or (1,)
        dst = self.fresh(self.pick(TILE_SPACES), kept)
        return tile.Reduce(src, self.region(dst, kept), self.pick(tile.REDUCTIONS), dim, self.coin())

    def tile_gemm(self) -> Stmt:
        m, n, k = (self.pick([8, 16]) for _ in range(3))
        ta, tb = self.coin(), self.coin()
        a = self.tile((k, m) if ta else (m, k), *TILE_SPACES)
        b = self.tile((n, k) if tb else (k, n), *TILE_SPACES)
        c = self.tile((m, n), Space.FRAGMENT)
        policy, precision = self.pick(["square", "full_row", "full_col"]), self.pick(["ieee", "tf32"])
        how = (self.coin(), policy, precision, self.number(0, 2), self.coin())
        if k == 16 and not ta and self.coin():
            chosen = self.region(self.fresh(Space.FRAGMENT, (m, 1), UINT16), (m, 1))
            return tile.Gemm(self.tile((m, 8), *TILE_SPACES), b, c, ta, tb, *how[:-1], e=chosen)
        return tile.Gemm(a, b, c, ta, tb, *how)

    def tile_other(self) -> Stmt:
        src = self.region(self.buffer(*TILE_SPACES))
        match self.pick(["fill", "atomic", "rearrangement"]):
            case "fill":
                return tile.Fill(src, self.expr(src.buffer.dtype))
            case "atomic":
                order = self.pick(["relaxed", "acq_rel"])
                op, engine = self.pick(["add", "max", "min"]), self.pick(["", "copies"])
                return tile.Atomic(op, self.tile(src.extents, Space.SHARED), src, order, engine=engine)
        kind: type[tile.Rearrangement] = self.pick(tile.REARRANGEMENTS)
        src = self.tile(self.shape(2), *TILE_SPACES)
        extents = kind(src, src).extents_of(tuple(n for n in src.extents if n != 1))
        assert extents is not None
        return kind(src, self.tile(extents or (1,), *TILE_SPACES))

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
            threads = self.shape()
            self.threads = prod(threads)
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
                f"{self.pick(['main', 'copy', 'a-b'])}{number}", grid, blocks, threads, thread, body,
                layouts=tuple(tables),
                safe_values=tuple(safe),
                shared=tuple(ir.SharedSlot(b, 16 * i) for i, b in enumerate(shared)),
                shared_bytes=1 << 20 if shared else 0,
                cluster=self.maybe(lambda: (2, 1), ()),
                raster=self.maybe(lambda: ir.Raster(self.number(1, 9), self.pick(["row", "column"])), None),
                min_blocks=self.number(0, 2),
                handovers=tuple(ir.Handover((b,), self.number(1, 4)) for b in shared),
                registers=self.maybe(lambda: (0, 8 * self.number(3, 32)), ()),
                persisting=self.maybe(lambda: (ir.Persisting(self.tensors[0], self.pick([0.5, 1.0, 1e-05])),), ()),
            )  # fmt: skip

    def source_launch(self, params: Sequence[Var | Buffer]) -> Launch:
        """A launch of a kernel of the user's own text."""
        args = [p if isinstance(p, Var) else ir.Address(p, tuple(Const(0, INDEX) for _ in p.shape)) for p in params]
        with self.scope():
            blocks, thread = (self.var(),), self.var()
            call = ir.Extern("main_kernel", tuple(args), HANDLE)
            return Launch(
                "source", (self.expr(INDEX, 1),), blocks, self.shape(), thread, (ir.Evaluate(call),),
                shared_bytes=self.number(0, 2) * 16, entry="main_kernel",
            )  # fmt: skip

    def kernel(self, depth: int) -> Kernel:
        sizes = tuple(self.var() for _ in range(self.number(0, 2)))
        scalars = tuple(self.var(self.pick(VALUES)) for _ in range(self.number(0, 2)))
        self.vars += [*sizes, *scalars]
        image = Buffer("image", (9, 9, 9, 9), self.pick(VALUES))
        tensors = [image, *(self.parameter() for _ in range(self.number(0, 2)))]
        scratch = tuple(self.parameter() for _ in range(self.number(0, 1)))
        self.buffers += [*tensors, *scratch]
        self.tensors = tensors
        params = self.draw(st.permutations([*tensors, *scalars]))
        launches = tuple(self.launch(i, depth) for i in range(self.number(1, 2)))
        if self.coin():
            launches += (self.source_launch((*sizes, *scalars, *tensors)),)
        results = tuple(b for b in tensors if self.coin())
        return Kernel(
            self.pick(["k", "copy", "<lambda>"]), tuple(params), launches, sizes, scratch, results, self.draw(STRINGS),
            flags=self.maybe(lambda: ("--use_fast_math", self.draw(STRINGS)), ()),
            overlapping=self.maybe(lambda: tuple(tensors), ()), pointers=self.maybe(lambda: tuple(tensors), ()),
        )  # fmt: skip

    def parameter(self) -> Buffer:
        """A global tensor, perhaps with dynamic extents and strides."""
        names = [v for v in self.vars if v.dtype.is_integer]
        extents = [self.pick([n, *names, *(v * 2 for v in names if v.dtype is INDEX)]) for n in self.shape()]
        strides = self.maybe(lambda: tuple(extents), None)
        return Buffer(self.draw(NAMES), tuple(extents), self.pick(VALUES), strides=strides)
