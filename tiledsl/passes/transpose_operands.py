"""transpose-operands: tiles that the tensor core cannot read as they lie are copied into tiles that it can."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tiledsl.analysis.gemm_plan import TURNED, across_k, runs_by_itself
from tiledsl.analysis.touches import version_bytes
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.layout import Layout
from tiledsl.ir.nodes import (
    Alloc,
    Assigned,
    Block,
    Buffer,
    Const,
    For,
    Kernel,
    Launch,
    Pipelined,
    Region,
    Space,
    Stmt,
    static_shape,
)
from tiledsl.ir.swizzle import panelled
from tiledsl.ir.tile import Copy, Gemm, Transpose
from tiledsl.ir.walk import map_blocks, statements
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage
from tiledsl.target import Target

WORD = 32  # bits
NARROW = 32  # bytes of the rows that the swizzle of a turned tile takes together
BARRIERS = 4096  # bytes left for barriers in shared memory, and for the alignment of tiles


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,))
def transpose_operands(kernel: Kernel, *, target: Target, enabled: bool = True) -> Kernel:
    """Before a product whose operands lie along m or n, though its instruction (wgmma) reads their type only along k,
    these are transposed into shared tiles of their own, which the product reads in their place.

    Only where nothing else keeps the product from wgmma, and the tiles find room; else it is left to mma, for which
    every thread gathers such operands element by element. Loops with a schedule by hand, which counts statements, are
    left too. Safe because the product reads the same numbers, and no other statement knows the new tiles.
    """
    if not enabled or "wgmma" not in target.features:
        return kernel
    return replace(kernel, launches=tuple(_launch(launch, target) for launch in kernel.launches))


def _launch(launch: Launch, target: Target) -> Launch:
    made = _Turned(target, room=target.shared_per_block - BARRIERS - _bytes_of_all(launch))
    body = made.block(launch.body, launch.num_threads)
    if not made.tiles:
        return launch
    return replace(
        launch,
        body=(*map(Alloc, made.tiles), *body),
        layouts=(*launch.layouts, *(Assigned(t, _layout(t), TURNED) for t in made.tiles if t.dtype.bits == WORD)),
        notes=(*launch.notes, *made.notes),
    )


@dataclass(slots=True)
class _Turned:
    """What the products of a launch become; `room` is how many bytes of shared memory are left."""

    target: Target
    room: int
    tiles: list[Buffer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def block(self, block: Block, threads: int) -> Block:
        out: list[Stmt] = []
        for s in block:
            out += self.product(s, threads) if isinstance(s, Gemm) else (self.inside(s, threads),)
        return tuple(out)

    def inside(self, s: Stmt, threads: int) -> Stmt:
        match s:
            case For(kind=Pipelined(order=order, stage=stage, group=group)) if order or stage or group:
                return s
            case Roles(roles):
                return replace(s, roles=tuple(self.role(r) for r in roles))
        return map_blocks(s, lambda block: self.block(block, threads))

    def role(self, role: Role) -> Role:
        return replace(role, body=self.block(role.body, role.threads))

    def product(self, gemm: Gemm, threads: int) -> tuple[Stmt, ...]:
        """The product, behind the copies of its operands if that makes it one of wgmma."""
        tiles = {name: _turned(_operand(gemm, name)) for name in across_k(gemm)}
        if not tiles:
            return (gemm,)
        made = gemm
        if "a" in tiles:
            made = replace(made, a=_whole(tiles["a"]), transpose_a=False)
        if "b" in tiles:
            made = replace(made, b=_whole(tiles["b"]), transpose_b=True)
        cost = sum(map(version_bytes, tiles.values()))
        if cost > self.room or not runs_by_itself(made, threads, self.target):
            return (gemm,)
        self.room -= cost
        self.tiles += tiles.values()
        self.notes += (_note(gemm, name, tile) for name, tile in tiles.items())
        turns = (Transpose(_operand(gemm, name), _whole(tile), span=gemm.span) for name, tile in tiles.items())
        return (*turns, made)


def _operand(gemm: Gemm, name: str) -> Region:
    return gemm.a if name == "a" else gemm.b


def _whole(tile: Buffer) -> Region:
    return Region(tile, (Const(0), Const(0)), static_shape(tile))


def _turned(region: Region) -> Buffer:
    rows, columns = region.extents[-2:]
    return Buffer(f"{region.buffer.name}_t", (columns, rows), region.buffer.dtype, Space.SHARED)


def _layout(tile: Buffer) -> Layout:
    """That of a tile of words, written as the copy engine's widest swizzle is read: 4 rows by 8 columns, or the other
    way round, then fall into all banks on both sides. With two swizzles of 128 bytes no 32 elements do. Of elements of
    a byte, four of which share a word, these blocks do it in any swizzle.
    """
    return panelled(static_shape(tile), tile.dtype.bits, NARROW)


def _note(gemm: Gemm, name: str, tile: Buffer) -> str:
    source = _operand(gemm, name).buffer
    return (
        f"product at line {gemm.span.line}: operand {name}, '{source.name}', is transposed into '{tile.name}' "
        f"({version_bytes(tile)} bytes), as wgmma reads {source.dtype} only along k"
    )


# ------------------------------------------------------------------------------------------------------------ bytes


def _bytes_of_all(launch: Launch) -> int:
    """What the shared tiles take, each as often as the pipelined loop that copies into it has stages."""
    depth: dict[Buffer, int] = {}
    for loop in statements(launch):
        if isinstance(loop, For) and isinstance(loop.kind, Pipelined):
            for s in statements(loop):
                if isinstance(s, Copy):
                    depth[s.dst.buffer] = max(loop.kind.stages, depth.get(s.dst.buffer, 1))
    tiles = (s.buffer for s in statements(launch) if isinstance(s, Alloc) and s.buffer.space is Space.SHARED)
    return sum(version_bytes(t) * max(t.versions, depth.get(t, 1)) for t in tiles)
