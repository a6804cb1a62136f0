"""The part of `forms` about what goes on beside a thread: roles, barriers in shared memory, the copy engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiledsl.ir import concurrent, tile
from tiledsl.ir import nodes as ir
from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.ir.nodes import Address, Buffer, Space, Stmt, Var
from tiledsl.ir.verify_concurrent import MOST_NAMED
from tiledsl.testing.strategies.expressions import NAMES, Maker

Block = ir.Block


class ConcurrentMaker(Maker):
    """`threads` are those of the launch; 0 inside a role, which holds no other."""

    threads = 0

    def barrier(self) -> Address:
        return Address(*self.element(self.buffer(Space.BARRIER)))

    def handed(self) -> tuple[Buffer, ...]:
        return tuple(self.buffer(Space.SHARED) for _ in range(self.number(0, 2)))

    def ranks(self) -> int:
        return self.pick([0, 0, 3])  # type: ignore[no-any-return]

    def named(self) -> ir.Expr:
        """The number of a named barrier: the verifier knows constants that are none."""
        e = self.expr(INDEX)
        return ir.Const(e.value % MOST_NAMED, e.dtype) if isinstance(e, ir.Const) else e

    # ---- statements of one line

    def queued(self) -> Stmt:
        queue = self.pick(concurrent.QUEUES)
        if self.coin():
            return ir.AsyncCommit(queue)
        return ir.AsyncWait(self.number(0, 3), queue, queue == "store" and self.coin())

    def beside(self) -> Stmt:
        """A statement about barriers, fences or registers."""
        number = self.number
        makers: list[Callable[[], Stmt]] = [
            lambda: concurrent.InitBarrier(self.barrier(), number(1, 400)),
            lambda: concurrent.Arrive(self.barrier(), 16 * number(0, 9), self.pick(concurrent.AGENTS), False),
            lambda: concurrent.Arrive(
                self.barrier(), 0, self.pick(concurrent.AGENTS), self.coin(), buffers=self.handed()
            ),
            lambda: concurrent.Arrive(
                self.barrier(), 16 * number(0, 9), self.pick(concurrent.AGENTS), ranks=self.ranks()
            ),
            lambda: concurrent.ClusterBarrier(self.pick(concurrent.CLUSTER_PARTS)),
            lambda: concurrent.Expect(self.barrier(), self.expr(INDEX)),
            lambda: concurrent.Await(
                self.barrier(), self.expr(INDEX), self.handed(), self.pick(["threads", "one"]), self.coin()
            ),
            lambda: concurrent.NamedSync(self.named(), 32 * number(1, 8)),
            lambda: concurrent.NamedArrive(self.named(), 32 * number(1, 8)),
            lambda: concurrent.Fence(self.pick(concurrent.FENCES)),
            lambda: concurrent.Dependency(self.pick(concurrent.DEPENDENCIES)),
            lambda: concurrent.Hold(self.buffer(Space.LOCAL)),
            lambda: concurrent.Settle(self.buffer(Space.LOCAL, Space.FRAGMENT)),
            lambda: concurrent.Settle(self.buffer(Space.LOCAL)),
            lambda: concurrent.SetRegisters(24 + 8 * number(0, 29), self.coin()),
            lambda: ir.Evaluate(self.descriptor()),
        ]
        return self.pick(makers)()  # type: ignore[no-any-return]

    def descriptor(self) -> ir.Expr:
        start = Address(*self.element(self.buffer(Space.SHARED)))
        return ir.Descriptor(start, 16 * self.number(0, 64), 16 * self.number(0, 64), self.pick([0, 32, 64, 128]))

    # ---- the copy engine

    def tensor(self) -> Buffer:
        return self.pick([b for b in self.buffers if b.space is Space.GLOBAL])  # type: ignore[no-any-return]

    def shared_of(self, dtype: DType) -> Buffer:
        return self.fresh(Space.SHARED, dtype=dtype)

    def to_a_block(self) -> dict[str, Any]:
        """How a copy from shared memory to that of another block differs from one within a block."""
        return {"barrier": self.barrier(), "rank": self.expr(INDEX)}

    def engine(self) -> Stmt:
        if self.pick(range(4)) == 0:
            src = Address(*self.element(self.buffer(Space.SHARED)))
            dst = Address(*self.element(self.shared_of(src.buffer.dtype)))
            return concurrent.BulkMove(dst, src, 128 * self.number(1, 2), **self.to_a_block())
        tensor = self.tensor()
        there = Address(*self.element(tensor))
        here = Address(*self.element(self.shared_of(tensor.dtype)))
        load = self.coin()
        how: dict[str, Any] = {"barrier": self.barrier(), "ranks": self.ranks()} if load else {}
        dst, src = (here, there) if load else (there, here)
        if self.coin():
            return concurrent.BulkMove(dst, src, 128 * self.number(1, 2), **how)
        if load and tensor is self.image and self.coin():
            how |= {"window": self.window(), "tap": (self.expr(INDEX), self.expr(INDEX))}
            return concurrent.TensorCopy(dst, src, (self.number(1, 9), self.number(1, 9)), **how)
        how |= {} if load else {"op": self.pick(["", "add", "xor"])}
        box = tuple(self.number(1, 9) for _ in tensor.shape)
        return concurrent.TensorCopy(dst, src, box, self.pick([0, 32, 64, 128]), **how)

    @property
    def image(self) -> Buffer:
        """A tensor of four dimensions, the first parameter."""
        return self.buffers[0]

    def window(self) -> tuple[int, ...]:
        """Kernel, stride, dilation and padding, for the sides of the image."""
        return tuple(self.number(1, 3) for _ in range(4))

    def tile_im2col(self) -> Stmt:
        extents = self.shape(2)
        src = tile.Im2col(self.image, (self.expr(INDEX), self.expr(INDEX)), extents, *self.window())
        how = self.pick(["plain", "async", "bulk"])
        kind: dict[str, Any] = {"plain": {}, "async": {"asynchronous": True}}.get(how, {})
        if how == "bulk":
            kind = {"bulk": True, "barrier": self.barrier(), "ranks": self.ranks()}
        dst = self.region(self.fresh(Space.SHARED, extents, self.image.dtype), extents)
        return tile.Copy(src, dst, **kind)

    def tile_bulk(self) -> Stmt:
        tensor = self.tensor()
        there = self.region(tensor)
        here = self.region(self.fresh(Space.SHARED, there.extents, tensor.dtype), there.extents)
        match self.pick(["load", "store", "atomic", "send"]):
            case "load":
                return tile.Copy(there, here, bulk=True, barrier=self.barrier(), ranks=self.ranks())
            case "store":
                return tile.Copy(here, there, bulk=True)
            case "send":
                other = self.region(self.fresh(Space.SHARED, there.extents, tensor.dtype), there.extents)
                return tile.Copy(here, other, bulk=True, **self.to_a_block())
        return tile.Atomic(self.pick(["add", "max", "min"]), there, here, bulk=True)

    # ---- roles

    def role(self, first: int, threads: int, body: Callable[..., Block]) -> concurrent.Role:
        thread = self.var()
        registers = self.pick([0, 40, 232])
        return concurrent.Role(self.draw(NAMES), first, threads, thread, body(thread), registers)

    def roles(self, depth: int) -> Stmt:
        threads, loops, self.threads, self.loops = self.threads, self.loops, 0, 0
        cut = self.number(1, threads)
        parts = [(0, cut), *([(cut, threads - cut)] if cut < threads else [])]

        def body(thread: Var) -> Block:
            return self.block(depth, thread)

        made = concurrent.Roles(tuple(self.role(first, count, body) for first, count in parts))
        self.threads, self.loops = threads, loops
        return made

    def block(self, depth: int, *bound: Var) -> Block:
        raise NotImplementedError
