"""Tile statements as NumPy operations on regions: one function each, and the table `OPERATIONS` of all of them.

Sums of float types narrower than 32 bits are formed in float32 and rounded once; minima and maxima are exact. The
product of tiles follows the model of the tensor core in `cpu/numerics.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu import tile_async
from tiledsl.cpu.atomics import apply_atomic
from tiledsl.cpu.box import Slices, clipped
from tiledsl.cpu.numerics import convert, matmul_accumulate, numpy_dtype, truncate_tf32
from tiledsl.cpu.tile_memory import Index, TileMemory
from tiledsl.cpu.values import is_uniform
from tiledsl.errors import error
from tiledsl.ir.dtypes import FLOAT32, TFLOAT32, DType
from tiledsl.ir.nodes import Region
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Im2col, Reduce, Scan, Source, Transpose
from tiledsl.isa.sparse import expand

if TYPE_CHECKING:
    from tiledsl.cpu.tile_interp import TileMachine

Array = np.ndarray[Any, Any]


def _locate(m: TileMachine, r: Region) -> tuple[TileMemory, list[int], int]:
    """Memory, offsets and version of a region."""
    version = 0 if r.version is None else m.uniform(r.version)
    memory = m.memory[r.buffer]
    if not 0 <= version < memory.data.shape[0]:
        extent = memory.data.shape[0]
        raise error("TD0802", buffer=r.buffer.name, what="version", index=version, extent=extent, where=m.where())
    if r.version is None and r.buffer.versions > 1:
        raise TypeError(f"'{r.buffer.name}' has versions and the region says none")
    return memory, [m.uniform(o) for o in r.offsets], version


def place(m: TileMachine, r: Region) -> tuple[TileMemory, Index, Slices]:
    """Memory, the index of what lies inside it, and where in the region that is."""
    memory, offsets, version = _locate(m, r)
    inner, outer = clipped(memory.shape, offsets, r.extents)
    return memory, (version, *inner), outer


def read(m: TileMachine, r: Region) -> Array:
    """The tile of shape `r.extents`, a view where it lies wholly inside; outside it is 0 or the safe value."""
    memory, at, outer = place(m, r)
    part = memory.data[at]
    if part.size:
        m.require_ready(memory, at)
    if part.shape == r.extents:
        return part
    tile = np.full(r.extents, m.outside(r.buffer), part.dtype)
    if part.size:
        tile[outer] = part
    return tile


def fetch(m: TileMachine, s: Source) -> Array:
    """The tile that a copy takes: `read` for a region; of the matrix of a convolution, element by element."""
    if not isinstance(s, Im2col):
        return read(m, s)
    memory, at, inside = gathered(m, s)
    taken = tuple(i[inside] for i in at)
    if inside.any():
        m.require_ready(memory, taken)
    tile = np.full(s.extents, m.outside(s.buffer), memory.data.dtype)
    tile[inside] = memory.data[taken]
    return tile


def gathered(m: TileMachine, s: Im2col) -> tuple[TileMemory, tuple[Array, ...], Array]:
    """The memory of the image, where in it each element lies, and whether that is inside."""
    memory = m.memory[s.buffer]
    (rows, columns), (row, column) = s.extents, (m.uniform(o) for o in s.offsets)
    height, width, channels = memory.shape[1:]
    reach = s.dilation * (s.kernel - 1)
    down, right = ((side + 2 * s.pad - reach - 1) // s.stride + 1 for side in (height, width))
    pixel, tap = row + np.arange(rows)[:, None], column + np.arange(columns)[None, :]
    image = pixel // (down * right)
    y = pixel // right % down * s.stride + tap // channels // s.kernel * s.dilation - s.pad
    x = pixel % right * s.stride + tap // channels % s.kernel * s.dilation - s.pad
    inside = (tap >= 0) & (tap < s.kernel**2 * channels)
    at = tuple(np.broadcast_arrays(image * 0, image, y, x, tap % channels))
    for i, extent in zip(at[1:], memory.shape):
        inside = inside & (i >= 0) & (i < extent)
    return memory, at, inside


def write(m: TileMachine, r: Region, tile: Array, asynchronous: bool = False) -> None:
    """Writes the part of `tile`, of shape `r.extents`, that lies inside the buffer."""
    memory, at, outer = place(m, r)
    if asynchronous and m.mode == "late":
        m.issue(memory, at, np.array(tile[outer]))
    else:
        m.require_landed(memory, at)
        memory.put(at, tile[outer])


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(e for e in shape if e != 1)


def _fit(tile: Array, r: Region) -> Array:
    """`tile` in the shape of `r`, dimensions of extent 1 dropped on both sides."""
    if _squeezed(tile.shape) != _squeezed(r.extents):
        raise TypeError(f"a tile of shape {tile.shape} does not fit a region of shape {r.extents}")
    return tile.reshape(r.extents)


def copy(m: TileMachine, s: Copy) -> None:
    if s.bulk:
        move = tile_async.load if s.barrier is not None else tile_async.store
        (tile_async.send if s.rank is not None else move)(m, s)
        return
    tile = convert(fetch(m, s.src), s.src.buffer.dtype, s.dst.buffer.dtype)
    write(m, s.dst, _fit(tile, s.dst), s.asynchronous)


def fill(m: TileMachine, s: Fill) -> None:
    value = m.eval(s.value)
    if not is_uniform(value):
        raise error("TD0812", what="the value")
    write(m, s.dst, np.full(s.dst.extents, value, numpy_dtype(s.dst.buffer.dtype)))


def _matrix(tile: Array, transpose: bool) -> Array:
    if tile.ndim > 2:
        tile = tile.reshape(tile.shape[-2:])
    return tile.T if transpose else tile


def product(s: Gemm, a: Array, b: Array, c: Array | None, e: Array | None = None) -> Array:
    """The new tile of c, from the tiles of the operands as they lie in memory (c None: it is cleared)."""
    a, b = _matrix(a, s.transpose_a), _matrix(b, s.transpose_b)
    if e is not None:
        a = expand(a, e)
    a_type, b_type, c_type = (r.buffer.dtype for r in (s.a, s.b, s.c))
    if TFLOAT32 in (a_type, b_type) or (s.precision == "tf32" and a_type is FLOAT32):
        a, b = truncate_tf32(a), truncate_tf32(b)
    shape = (a.shape[0], b.shape[1])
    before = np.zeros(shape, numpy_dtype(c_type)) if c is None else c.reshape(shape)
    return _fit(matmul_accumulate(before, a, b), s.c)


def gemm(m: TileMachine, s: Gemm) -> None:
    if s.asynchronous:
        tile_async.multiply(m, s)
        return
    e = None if s.e is None else read(m, s.e)
    write(m, s.c, product(s, read(m, s.a), read(m, s.b), None if s.clear else read(m, s.c), e))


def _accumulator(dtype: DType) -> np.dtype[Any]:
    """The type in which sums of `dtype` are formed."""
    return np.dtype(np.float32) if dtype.is_float and dtype.bits < 32 else numpy_dtype(dtype)


_REDUCE: dict[str, Callable[..., Array]] = {
    "sum": np.add,
    "abssum": np.add,
    "max": np.maximum,
    "absmax": np.maximum,
    "min": np.minimum,
    "bitand": np.bitwise_and,
    "bitor": np.bitwise_or,
    "bitxor": np.bitwise_xor,
}


def reduce(m: TileMachine, s: Reduce) -> None:
    dtype, combine = s.dst.buffer.dtype, _REDUCE[s.op]
    wide = _accumulator(dtype)
    tile = convert(read(m, s.src), s.src.buffer.dtype, dtype).astype(wide)
    if s.op.startswith("abs"):
        tile = np.abs(tile)
    total = combine.reduce(tile, axis=s.dim).astype(wide)  # type: ignore[attr-defined]
    if not s.clear:
        total = combine(read(m, s.dst).reshape(total.shape).astype(wide), total)
    write(m, s.dst, _fit(total, s.dst).astype(numpy_dtype(dtype)))


_SCAN: dict[str, Any] = {"sum": np.add, "max": np.maximum}


def scan(m: TileMachine, s: Scan) -> None:
    dtype = s.dst.buffer.dtype
    wide = _accumulator(dtype)
    tile = convert(read(m, s.src), s.src.buffer.dtype, dtype).astype(wide)
    turned = np.flip(tile, s.dim) if s.reverse else tile
    result = _SCAN[s.op].accumulate(turned, axis=s.dim, dtype=wide)
    result = np.flip(result, s.dim) if s.reverse else result
    write(m, s.dst, _fit(result, s.dst).astype(numpy_dtype(dtype)))


def atomic(m: TileMachine, s: Atomic) -> None:
    if s.bulk:
        tile_async.store(m, s)
        return
    tile = convert(read(m, s.src), s.src.buffer.dtype, s.dst.buffer.dtype)
    tile = tile.reshape(s.dst.extents) if tile.size == 1 else _fit(tile, s.dst)
    memory, at, outer = place(m, s.dst)
    update(m, memory, at, s.op, tile[outer])


def update(m: TileMachine, memory: TileMemory, at: Index, op: str, tile: Array) -> None:
    """`memory[at] = op(memory[at], tile)`."""
    version, *inner = at
    grid = np.meshgrid(*(np.arange(c.start, c.stop) for c in inner), indexing="ij")
    places = (np.full(tile.size, version), *(g.ravel() for g in grid))
    if tile.size:
        m.require_ready(memory, places)
        apply_atomic(op, memory.data, places, tile.ravel(), want_old=False)


def transpose(m: TileMachine, s: Transpose) -> None:
    tile = convert(read(m, s.src), s.src.buffer.dtype, s.dst.buffer.dtype)
    matrix = tile.reshape(tile.shape[-2:])
    write(m, s.dst, _fit(matrix.T, s.dst))


OPERATIONS: dict[type, Callable[[Any, Any], None]] = {
    Copy: copy,
    Fill: fill,
    Gemm: gemm,
    Reduce: reduce,
    Scan: scan,
    Atomic: atomic,
    Transpose: transpose,
}
