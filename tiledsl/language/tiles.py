"""Words on whole tiles: copy, fill, transpose, gemm."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any

from tiledsl.frontend.proxies import Variable, converted, describe, index_of
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, Tile, shape_text, tile_of
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.ir.dtypes import INDEX, DType, Kind
from tiledsl.ir.im2col import Window
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Const, Expr, For, Region, Space, Stmt, Store, Unrolled, Var
from tiledsl.ir.simplify import simplify
from tiledsl.ir.tile import Copy, Fill, Gemm, Im2col, Transpose
from tiledsl.language.arguments import whole
from tiledsl.language.packed_copies import copy_packed, fill_packed, memory_of, side_of
from tiledsl.language.unsupported import reject


def emit_tile(tracer: Tracer, word: str, stmt: Stmt) -> None:
    """Appends a tile operation. Raises TileError TD0129 in a T.Parallel body, which is the work of one point."""
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    tracer.emit(stmt)


def begin(word: str) -> Tracer:
    """The tracer, for a word that needs an open T.Kernel block."""
    tracer = tracer_of(word)
    tracer.launch(word)
    return tracer


# ------------------------------------------------------------------------------------------------------------ copy


def copy(
    src: Any,
    dst: Any,
    coalesced_width: int | None = None,
    disable_tma: bool = False,
    eviction_policy: Any = None,
    *,
    prefer_instruction: Any = None,
    annotations: Any = None,
    loop_layout: Any = None,
) -> None:
    """Copies a tile between any two memories, converting the dtype: `T.copy(A[by * 64, k * 32], A_shared)`.

    An operand is a tensor, a part `A[a:b, :]`, or a start `A[i, j]` whose extents are those of the other side (right
    aligned). What lies outside the source reads as 0 or its safe value; what lies outside the destination is not
    written. Two starts copy one element. With `disable_tma` the threads copy, never the copy engine of sm_90. Raises
    TileError TD0213 where extents differ, TD0214 for a start of too few dimensions, TD0129 in a T.Parallel loop.
    """
    tracer = begin("T.copy")
    reject("copy", loop_layout=loop_layout, annotations=annotations)
    engine = "threads" if disable_tma else ""
    (from_packed, a), (to_packed, b) = side_of(src, "T.copy", "src"), side_of(dst, "T.copy", "dst")
    if a.is_start and b.is_start and to_packed is None:
        tracer.emit(Store(b.buffer, b.offsets, converted(src, b.buffer.dtype), span=tracer.here()))
        return
    source, target = regions(a, b, "T.copy")
    width = copy_width("T.copy", coalesced_width)
    if from_packed is not None or to_packed is not None:
        emit = partial(emit_tile, tracer, "T.copy")
        copy_packed(tracer, emit, memory_of(from_packed, source), memory_of(to_packed, target), width)
        return
    emit_tile(tracer, "T.copy", Copy(source, target, width, engine=engine, span=tracer.here()))


def copy_width(word: str, width: Any) -> int:
    """The elements of an access that the user asks for; 0 for none."""
    return 0 if width is None else whole(word, "coalesced_width", width)


def regions(a: Tile, b: Tile, word: str) -> tuple[Region, Region]:
    """The regions of two operands of the same extents. Raises TileError TD0213 where they differ."""
    if a.is_start:
        a = _extended(a, b, word)
    elif b.is_start:
        b = _extended(b, a, word)
    x, y = a.region(word), b.region(word)
    if [e for e in x.extents if e != 1] != [e for e in y.extents if e != 1]:
        raise mismatch(word, a, b)
    return x, y


def mismatch(word: str, a: Tile, b: Tile) -> Exception:
    """The error for two operands of different extents, with the slice or allocation to write."""
    big, small = (a, b) if _size(a) >= _size(b) else (b, a)
    extents = [e for e in small.extents if e is not None]
    hints = []
    if big.buffer.space is Space.GLOBAL and len(big.extents) >= len(extents):
        parts = ["0"] * (len(big.extents) - len(extents)) + [f"{s}:{s} + {e}" for s, e in zip("ijklm", extents)]
        hints.append(f"take a slice of the larger one, {big.name}[{', '.join(parts)}]")
    if small.buffer.space is not Space.GLOBAL:
        hints.append(f"allocate '{small.name}' with the shape {shape_text(big.extents)}")
    return fail(
        "TD0213", word=word, a=a.shown(), b=b.shown(), hint=", or ".join(hints) or "make both slices equally long"
    )


def _size(t: Tile) -> float:
    total = 1.0
    for e in t.extents:
        total *= float("inf") if e is None else e
    return total


def _extended(start: Tile, other: Tile, word: str) -> Tile:
    """A start with the extents of the other side, right aligned; dimensions of extent 1 in front may be missing."""
    extents = list(other.region(word).extents)
    rank = len(start.extents)
    while len(extents) > rank and extents[0] == 1:
        extents.pop(0)
    if len(extents) > rank:
        raise fail("TD0214", word=word, start=start.name, rank=rank, other=other.shown(), given=len(extents))
    return Tile(start.tensor, start.offsets, (1,) * (rank - len(extents)) + tuple(extents))


# ---------------------------------------------------------------------------------------------------------- im2col


def im2col(
    img: Any,
    col: Any,
    nhw_step: Any,
    c_step: Any,
    kernel: int,
    stride: int,
    dilation: int,
    pad: int,
    eviction_policy: Any = None,
) -> None:
    """Copies a tile of the matrix that makes a convolution a product: tile (nhw_step, c_step), counted in tiles.

    `T.im2col(image, A_shared, by, k, 3, 1, 1, 1)`: `img` is a whole tensor (N, H, W, C) in global memory with constant
    H, W and C, `col` a tile of two dimensions (TD0257). The matrix has a row for each output pixel, numbered through
    (N, OH, OW), and a column for each (ky, kx, C) of a filter of `kernel` x `kernel` taps that are `dilation` pixels
    apart and move by `stride`; OH and OW are `(side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1`. What lies
    in the padding of `pad` pixels, or outside of the matrix, reads as 0 or the safe value of `img`. Raises TileError
    TD0226 for numbers that are no constants, TD0258 for a filter larger than the image.

    sm_90 loads it by the copy engine where a row of `col` lies in one tap: PTX ISA, "Tensor Copies: im2col mode".
    """
    _im2col("T.im2col", img, col, (nhw_step, c_step), {"kernel": kernel, "stride": stride, "dilation": dilation}, pad)


def c2d_im2col(
    img: Any,
    col: Any,
    nhw_step: Any,
    c_step: Any,
    kernel: int,
    stride: int,
    dilation: int,
    pad: int,
    eviction_policy: Any = None,
) -> None:
    """The old name of T.im2col: `T.c2d_im2col(image, A_shared, by, k, 3, 1, 1, 1)`."""
    filter_ = {"kernel": kernel, "stride": stride, "dilation": dilation}
    _im2col("T.c2d_im2col", img, col, (nhw_step, c_step), filter_, pad)


def _im2col(word: str, img: Any, col: Any, steps: tuple[Any, Any], filter_: dict[str, int], pad: int) -> None:
    tracer = begin(word)
    for name, value, least in (*((n, v, 1) for n, v in filter_.items()), ("pad", pad, 0)):
        whole(word, name, value, least)
    image, tile = tile_of(img, word, "img"), tile_of(col, word, "col").region(word)
    shape = image.buffer.shape
    fixed = len(shape) == 4 and all(isinstance(n, int) for n in shape[1:])
    if not isinstance(img, Tensor) or image.buffer.space is not Space.GLOBAL or not fixed:
        shown = image.shown() if isinstance(img, Tensor) else f"a part of '{image.name}'"
        raise fail("TD0257", word=word, name="img", shown=shown, wants="a whole tensor (N, H, W, C)")
    if len(tile.extents) != 2 or tile.buffer.space not in _INPUTS:
        shown = tile_of(col, word, "col").shown()
        raise fail("TD0257", word=word, name="col", shown=shown, wants="a tile of two dimensions on chip")
    window = Window(**filter_, pad=pad)
    if min(window.steps(n) for n in shape[1:3] if isinstance(n, int)) < 1:
        raise fail("TD0258", word=word, reach=window.reach + 1, img=image.shown(), pad=pad)
    at = tuple(simplify(index_of(s, "a step") * n, {}) for s, n in zip(steps, tile.extents))
    source = Im2col(image.buffer, at, tile.extents, **filter_, pad=pad)
    emit_tile(tracer, word, Copy(source, tile, span=tracer.here()))


# ------------------------------------------------------------------------------------------------- fill, transpose


def fill(dst: Any, value: Any) -> None:
    """Sets every element of a tensor or a part of it to `value`; of T.alloc_local memory in every thread.

    `T.fill(C_local, -T.infinity(T.float32))`. The value is converted to the dtype of `dst`.
    """
    _fill("T.fill", dst, value)


def _fill(word: str, dst: Any, value: Any) -> None:
    tracer = begin(word)
    if isinstance(dst, Variable):
        tracer.emit(Store(dst.buffer, (), converted(value, dst.type), span=tracer.here()))
        return
    packed, tile = side_of(dst, word, "dst")
    if packed is not None:
        fill_packed(tracer, partial(emit_tile, tracer, word), memory_of(packed, tile.region(word)), value)
        return
    number = converted(value, tile.buffer.dtype)
    if tile.buffer.space is Space.LOCAL:
        _fill_own(tracer, tile.region(word), number)
    else:
        emit_tile(tracer, word, Fill(tile.region(word), number, span=tracer.here()))


def _fill_own(tracer: Tracer, region: Region, number: Expr) -> None:
    """Every thread fills its own copy of private memory: no tile, whose elements would be dealt to the threads."""
    steps = [(Var("i", INDEX), n) for n in region.extents]
    at = tuple(simplify(o + v, {}) for o, (v, _) in zip(region.offsets, steps))
    body: Stmt = Store(region.buffer, at, number, span=tracer.here())
    for v, n in reversed(steps):
        body = For(v, Const(n, INDEX), (body,), Unrolled(), span=tracer.here())
    tracer.emit(body)


def clear(dst: Any) -> None:
    """Sets every element of a tensor or a part of it to 0; of T.alloc_local memory in every thread.

    `T.clear(C_local)`.
    """
    _fill("T.clear", dst, 0)


def transpose(src: Any, dst: Any) -> None:
    """`dst[j, i] = src[i, j]` on matrices (TD0238 for other shapes), converting the dtype.

    `T.transpose(A_shared, B_shared)`.
    """
    tracer = begin("T.transpose")
    a, b = tile_of(src, "T.transpose", "src"), tile_of(dst, "T.transpose", "dst")
    x, y = a.region("T.transpose"), b.region("T.transpose")
    rows, columns = ([e for e in r.extents if e != 1] if len(r.extents) > 2 else list(r.extents) for r in (x, y))
    if len(rows) != 2 or rows != columns[::-1]:
        raise fail("TD0238", src=a.shown(), dst=b.shown(), wants=shape_text(rows[::-1]))
    emit_tile(tracer, "T.transpose", Transpose(x, y, span=tracer.here()))


# ------------------------------------------------------------------------------------------------------------ gemm


class GemmWarpPolicy(Enum):
    """How T.gemm deals the warps to rows and columns of the result: Square, FullRow or FullCol.

    `T.gemm(A_shared, B_shared, C_local, policy=T.GemmWarpPolicy.FullRow)`.
    """

    Square = "square"
    FullRow = "full_row"
    FullCol = "full_col"


_POLICIES = {p.value: p for p in GemmWarpPolicy} | {p.name: p for p in GemmWarpPolicy}
_PRECISIONS = ("ieee", "tf32")


def gemm(
    A: Any,
    B: Any,
    C: Any,
    transpose_A: bool = False,
    transpose_B: bool = False,
    policy: Any = GemmWarpPolicy.Square,
    clear_accum: bool = False,
    k_pack: int = 1,
    wg_wait: int = 0,
    mbar: Any = None,
    *,
    precision: str = "ieee",
) -> None:
    """`C += A @ B` on tiles of the block, or `C = A @ B` with `clear_accum`; C is a fragment.

    `T.gemm(A_shared, B_shared, C_local)`; other names are `T.gemm_v1(A_shared, B_shared, C_local)` and
    `T.gemm_v2(A_shared, B_shared, C_local)`. A is (M, K), or (K, M) with `transpose_A`; B is (K, N), or (N, K) with
    `transpose_B`; both in shared memory or fragments (TD0219), of one dtype, or of two floats or two integers of 8
    bits. float16 and floats of 8 bits accumulate in float16 or float32, bfloat16 and float32 in float32, float64 in
    float64, integers in int32 (TD0218). `precision="tf32"` lets the tensor core read float32 operands as tfloat32.

    With `wg_wait=-1` the product is only started, and with n > 0 the call waits until at most n are in flight: until
    `T.wait_wgmma(0)` A and B must not be overwritten, and C is used by nothing but further products into it.

    Raises TileError TD0215 for what is no matrix, TD0216 and TD0217 for other shapes, TD0226.
    """
    tracer = begin("T.gemm")
    whole("T.gemm", "wg_wait", wg_wait, -1, allowed="-1, 0, or a number")
    reject("gemm", mbar=mbar)
    a, b, c = (tile_of(x, "T.gemm", name) for x, name in ((A, "A"), (B, "B"), (C, "C")))
    check_operands("T.gemm", (a, "A"), (b, "B"), c=c)
    _check_shapes(a, b, c, bool(transpose_A), bool(transpose_B))
    check_dtypes(a, b, c)
    chosen = chosen_policy("T.gemm", policy)
    if precision not in _PRECISIONS:
        raise fail("TD0226", word="T.gemm", name="precision", value=describe(precision), allowed="'ieee' or 'tf32'")
    stmt = Gemm(
        a.region("T.gemm"),
        b.region("T.gemm"),
        c.region("T.gemm"),
        bool(transpose_A),
        bool(transpose_B),
        bool(clear_accum),
        chosen.value,
        precision,
        asynchronous=wg_wait != 0,
        span=tracer.here(),
    )
    emit_tile(tracer, "T.gemm", stmt)
    if wg_wait:
        tracer.emit(AsyncCommit("product", span=stmt.span))
    if wg_wait > 0:
        tracer.emit(AsyncWait(wg_wait, "product", span=stmt.span))


_INPUTS = (Space.SHARED, Space.FRAGMENT)


def check_operands(word: str, *inputs: tuple[Tile, str], c: Tile) -> None:
    """That the tiles of a product lie where they may. Raises TileError TD0219."""
    for tile, name, spaces in (*((*x, _INPUTS) for x in inputs), (c, "C", (Space.FRAGMENT,))):
        if tile.buffer.space not in spaces:
            allowed = " or ".join(f"T.alloc_{s.value}" for s in spaces)
            raise fail("TD0219", word=word, parameter=name, name=tile.name, space=tile.tensor.scope(), allowed=allowed)


def chosen_policy(word: str, policy: Any) -> GemmWarpPolicy:
    """The policy that is meant. Raises TileError TD0226."""
    chosen = _POLICIES.get(policy) if isinstance(policy, str) else policy
    if not isinstance(chosen, GemmWarpPolicy):
        allowed = "T.GemmWarpPolicy.Square, FullRow or FullCol"
        raise fail("TD0226", word=word, name="policy", value=describe(policy), allowed=allowed)
    return chosen


def matrix_extents(tile: Tile, parameter: str) -> tuple[int, int]:
    extents = tile.region("T.gemm").extents
    if len(extents) < 2 or any(e != 1 for e in extents[:-2]):
        raise fail("TD0215", parameter=parameter, tile=tile.shown())
    return extents[-2], extents[-1]


def _check_shapes(a: Tile, b: Tile, c: Tile, transpose_a: bool, transpose_b: bool) -> None:
    rows, inner_a = matrix_extents(a, "A")[:: -1 if transpose_a else 1]
    inner_b, columns = matrix_extents(b, "B")[:: -1 if transpose_b else 1]
    if inner_a != inner_b:
        flip_a = "with transpose_A " if transpose_a else ""
        flip_b = "with transpose_B " if transpose_b else ""
        raise fail("TD0216", a=a.shown(), b=b.shown(), ka=inner_a, kb=inner_b, flip_a=flip_a, flip_b=flip_b)
    if matrix_extents(c, "C") != (rows, columns):
        raise fail("TD0217", c=c.shown(), a=a.shown(), b=b.shown(), wants=shape_text((rows, columns)))


def check_dtypes(a: Tile, b: Tile, c: Tile) -> None:
    x, y, z = (t.buffer.dtype for t in (a, b, c))
    mixed = x.bits == y.bits == 8 and x.is_float == y.is_float
    if (x != y and not mixed) or Kind.BOOL in (x.kind, y.kind, z.kind):
        raise fail("TD0218", what=f"'{a.name}' is {x} and '{b.name}' is {y}", rule="A and B have the same dtype")
    if x.is_float != z.is_float or z.bits < _accumulator_bits(x):
        rule = f"{x} operands accumulate in {_accumulators(x)}"
        raise fail("TD0218", what=f"'{a.name}' is {x} and '{c.name}' is {z}", rule=rule)


def _accumulator_bits(operand: DType) -> int:
    """The least width of an accumulator: half for half, else 32 bits, else the operand's own."""
    return 16 if operand.name == "float16" or (operand.is_float and operand.bits <= 8) else max(32, operand.bits)


def _accumulators(operand: DType) -> str:
    if not operand.is_float:
        return "int32"
    return {16: "float16 or float32", 32: "float32", 64: "float64"}[_accumulator_bits(operand)]
