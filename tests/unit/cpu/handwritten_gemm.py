"""A GEMM written by hand at the thread stage, as the pipeline should produce it, with parts that can be left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Barrier,
    Block,
    Buffer,
    Const,
    For,
    If,
    Kernel,
    Launch,
    Move,
    Space,
    Store,
    Unrolled,
    Var,
    lt,
)

ROW = 40  # elements of a padded row of 32: 80 bytes, so that rows are 16-byte aligned


@dataclass(frozen=True)
class Tiles:
    """A block computes bm x bn with warps of wm x wn; k in steps of 32; `stages` versions of the shared tiles."""

    bm: int = 128
    bn: int = 128
    wm: int = 64
    wn: int = 64
    stages: int = 3

    @property
    def threads(self) -> int:
        return self.bm // self.wm * (self.bn // self.wn) * 32


@dataclass(frozen=True)
class Parts:
    """What the mutation tests leave out or change."""

    barrier_before: bool = True
    wait: bool = True
    commit: bool = True
    final_wait: bool = True
    pending: int | None = None
    version_of_copy: int = 0
    drop_last_copy: bool = False


def gemm(m: int, n: int, k: int, tiles: Tiles = Tiles(), parts: Parts = Parts()) -> Kernel:
    """C = A @ B^T, float16 with float32 accumulators; A is (m, k), B (n, k); the sizes are multiples of the tiles."""
    a, b = Buffer("A", (m, k), FLOAT16), Buffer("B", (n, k), FLOAT16)
    c = Buffer("C", (m, n), FLOAT32)
    bx, by, thread = Var("bx"), Var("by"), Var("t")
    builder = _Builder(a, b, c, bx, by, thread, k // 32, tiles, parts)
    launch = Launch("gemm", (Const(n // tiles.bn), Const(m // tiles.bm)), (bx, by), (tiles.threads,), thread, ())
    return Kernel("gemm", (a, b, c), (replace(launch, body=builder.body()),))


class _Builder:
    def __init__(
        self, a: Buffer, b: Buffer, c: Buffer, bx: Var, by: Var, t: Var, steps: int, tiles: Tiles, parts: Parts
    ) -> None:
        self.a, self.b, self.c, self.bx, self.by, self.t = a, b, c, bx, by, t
        self.steps, self.tiles, self.parts = steps, tiles, parts
        self.sa = Buffer("As", (tiles.bm * ROW,), FLOAT16, Space.SHARED, versions=tiles.stages)
        self.sb = Buffer("Bs", (tiles.bn * ROW,), FLOAT16, Space.SHARED, versions=tiles.stages)
        self.mi, self.ni = tiles.wm // 16, tiles.wn // 8
        self.ra = Buffer("Ar", (self.mi * 8,), FLOAT16, Space.LOCAL)
        self.rb = Buffer("Br", (self.ni * 4,), FLOAT16, Space.LOCAL)
        self.acc = Buffer("Cr", (self.mi * self.ni * 4,), FLOAT32, Space.LOCAL)

    def body(self) -> Block:
        tiles, parts = self.tiles, self.parts
        i, step = Var("i"), Var("k")
        size = self.mi * self.ni * 4
        zero = For(i, Const(size), (Store(self.acc, (i,), Const(0.0, FLOAT32)),), Unrolled())
        ahead = tiles.stages - 1
        prologue: Block = ()
        for stage in range(ahead):
            prologue += (*self.copies(Const(stage), Const(stage)), AsyncCommit())
        pending = ahead - 1 if parts.pending is None else parts.pending
        later = step + ahead
        body: Block = ()
        if parts.wait:
            body += (AsyncWait(pending),)
        if parts.barrier_before:
            body += (Barrier(),)
        refill = self.copies(later, (step + ahead + parts.version_of_copy) % tiles.stages)
        body += (If(lt(later, Const(self.steps)), refill),)
        if parts.commit:
            body += (AsyncCommit(),)
        for k16 in range(2):
            body += self.multiply(step % tiles.stages, k16)
        main = For(step, Const(self.steps), body)
        tail: Block = (AsyncWait(0),) if parts.final_wait else ()
        allocs = tuple(Alloc(x) for x in (self.sa, self.sb, self.ra, self.rb, self.acc))
        return (*allocs, zero, *prologue, main, *tail, *self.epilogue())

    def copies(self, step: Const | object, version: object) -> Block:
        out: Block = ()
        tiles = self.tiles
        for source, shared, rows, block in ((self.a, self.sa, tiles.bm, self.by), (self.b, self.sb, tiles.bn, self.bx)):
            chunks = rows * 4 // tiles.threads
            for c in range(chunks - (self.parts.drop_last_copy and source is self.b)):
                linear = self.t + c * tiles.threads
                row, column = linear // 4, linear % 4 * 8
                target = Address(shared, (row * ROW + column,), version)  # type: ignore[arg-type]
                origin = Address(source, (block * rows + row, step * 32 + column))  # type: ignore[operator]
                out += (AtomCall("cp_async_16", (target, origin, Const(True))),)
        return out

    def multiply(self, version: object, k16: int) -> Block:
        t, tiles = self.t, self.tiles
        lane, warp = t % 32, t // 32
        across = tiles.bn // tiles.wn
        out: Block = ()
        for mi in range(self.mi):
            row = warp // across * tiles.wm + mi * 16 + lane % 16
            where = Address(self.sa, (row * ROW + k16 * 16 + lane // 16 * 8,), version)  # type: ignore[arg-type]
            out += (AtomCall("ldmatrix_x4", (Address(self.ra, (Const(mi * 8),)), where)),)
        for ni in range(0, self.ni, 2):
            row = warp % across * tiles.wn + ni * 8 + lane // 16 * 8 + lane % 8
            where = Address(self.sb, (row * ROW + k16 * 16 + lane // 8 % 2 * 8,), version)  # type: ignore[arg-type]
            out += (AtomCall("ldmatrix_x4", (Address(self.rb, (Const(ni * 4),)), where)),)
        for mi in range(self.mi):
            for ni in range(self.ni):
                acc = Address(self.acc, (Const((mi * self.ni + ni) * 4),))
                left, right = Address(self.ra, (Const(mi * 8),)), Address(self.rb, (Const(ni * 4),))
                out += (AtomCall("mma_m16n8k16_f32_f16", (acc, left, right)),)
        return out

    def epilogue(self) -> Block:
        t, tiles = self.t, self.tiles
        lane, warp = t % 32, t // 32
        across = tiles.bn // tiles.wn
        out: Block = ()
        for mi in range(self.mi):
            for ni in range(self.ni):
                for half in range(2):
                    row = self.by * tiles.bm + warp // across * tiles.wm + mi * 16 + half * 8 + lane // 4
                    column = self.bx * tiles.bn + warp % across * tiles.wn + ni * 8 + lane % 4 * 2
                    source = Address(self.acc, (Const((mi * self.ni + ni) * 4 + half * 2),))
                    out += (Move(Address(self.c, (row, column)), source, 2),)
        return out
