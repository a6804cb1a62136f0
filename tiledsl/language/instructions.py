"""Words that name an instruction of the table `isa`: a warp's matrix loads and products on registers of its threads.

They are for those who deal registers out by hand; `T.gemm` and `T.copy` choose instructions by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeGuard

from tiledsl.frontend.proxies import Scalar, dependencies, describe, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.ir.nodes import Address, AtomCall, Buffer, Const, Expr, Extent, Load, Space, static_shape
from tiledsl.ir.simplify import simplify
from tiledsl.language.loops import unroll, vectorized
from tiledsl.language.macros import macro
from tiledsl.language.scalars import cast
from tiledsl.language.tiles import begin, emit_tile
from tiledsl.language.warps import get_lane_idx

if TYPE_CHECKING:
    from tiledsl.isa.atom import Atom

_ABBREVIATIONS = {
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "fp64": "float64",
    "tf32": "tfloat32",
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
}


def ptx_ldmatrix(
    dtype: Any,
    trans: bool,
    num: int,
    type: str,
    local: Any,
    local_offset: Any,
    row: Any,
    row_offset: Any = 0,
) -> None:
    """Loads `num` (1, 2 or 4) matrices of 8 rows of 16 bytes from shared memory into registers, by a whole warp.

    Lane 8 q + r gives with `row`, an element of a T.alloc_shared tile or its T.address_of, where row r of matrix q
    begins: the first of 16 bytes of a row of the tile. `row_offset` elements, row by row, are added. The registers are
    those of `local` (T.alloc_local) from `local_offset` on, 4 bytes a matrix: lane l gets bytes 4 (l % 4) of row l //
    4; with `trans`, for elements of 16 bits, those of the transposed matrix. `type` is ".b16". Raises TileError TD0219,
    TD0226, TD0270. Source: PTX ISA, "Warp-level matrix load instruction: ldmatrix".
    `T.ptx_ldmatrix("float16", False, 4, ".b16", a_local, 0, A_shared[i, 0])`.
    """
    word = "T.ptx_ldmatrix"
    tracer = begin(word)
    name = f"ldmatrix_x{num}" + ("_trans" if trans else "")
    atom = _named(name)
    bits = dtype_named(dtype).bits
    if atom is None or type != ".b16" or bits not in (8, 16, 32) or (trans and bits != 16):
        what = f"ldmatrix of {num} matrices of {dtype_named(dtype)}, {type}" + (", transposed" if trans else "")
        raise fail("TD0270", what=what, known="1, 2 or 4 matrices, .b16; transposed for elements of 16 bits")
    address = _row(word, row, row_offset)
    registers = _registers(word, "local", local, local_offset, dtype_named(dtype))
    emit_tile(tracer, word, AtomCall(name, (registers, address), span=tracer.here()))


def ptx_mma(
    dtype: Any,
    shape: str,
    A_layout: str,
    B_layout: str,
    A_dtype: Any,
    B_dtype: Any,
    C_dtype: Any,
    A: Any,
    a_index: Any,
    B: Any,
    b_index: Any,
    C: Any,
    c_index: Any,
    saturate: bool = False,
) -> None:
    """`C += A @ B` by a whole warp on registers: an instruction mma.sync of `shape` "m16n8k16", "m16n8k32", ...

    `A`, `B` and `C` are T.alloc_local arrays, whose registers from `a_index`, `b_index` and `c_index` on hold the
    operands as the PTX ISA deals them to the lanes. The layouts are "row" and "col". Dtypes are words, names or "fp16",
    "bf16", "int8", "e4m3", "e5m2", "fp32", "int32"; `dtype` is that of C. Raises TileError TD0219, TD0226, TD0270.
    Source: PTX ISA, "Warp Level Matrix Instructions: mma.sync".
    `T.ptx_mma("fp32", "m16n8k16", "row", "col", "fp16", "fp16", "fp32", a_local, 0, b_local, 0, c_local, 0)`.
    """
    word = "T.ptx_mma"
    tracer = begin(word)
    d, a, b = (abbreviated(t) for t in (C_dtype, A_dtype, B_dtype))
    found = product_of(shape, d, a, b)
    if found is None or (A_layout, B_layout) != ("row", "col") or saturate or abbreviated(dtype) is not d:
        how = f"{A_layout}.{B_layout}" + (", saturating" if saturate else "")
        raise fail("TD0270", what=f"mma.{shape} of {a} and {b} into {d}, {how}", known=_products(d, a, b))
    held = ((C, c_index, d, "C"), (A, a_index, a, "A"), (B, b_index, b, "B"))
    registers = tuple(_registers(word, name, t, first, type_) for t, first, type_, name in held)
    emit_tile(tracer, word, AtomCall(found.name, registers, span=tracer.here()))


def mma_store(dtype: Any, m: int, n: int, dst_ptr: Any, src: Any, src_offset: Any, dst_stride: int) -> None:
    """Stores the result of products of a warp, `m` (16) by `n` (16 or 8) elements, as `dtype`.

    `T.mma_store("float32", 16, 8, C[by * 64, bx * 64], c_local, 0, N)`: `src` (T.alloc_local) has from `src_offset` on
    the registers C of one T.ptx_mma, or of two that stand side by side. `dst_ptr` is the element of a shared or global
    tensor, or its T.address_of, where the first row goes; rows begin `dst_stride` elements after each other. Elements
    that are neighbours in a register pair are stored together. Raises TileError TD0219, TD0226, TD0235, TD0270. Source:
    PTX ISA, "Matrix Fragments for mma.m16n8k16": the accumulator.
    """
    word = "T.mma_store"
    begin(word)
    if m != 16 or n not in (8, 16):
        raise fail("TD0270", what=f"a result of {describe(m)} by {describe(n)}", known="16 by 16, 16 by 8")
    buffer, indices = _element(word, "dst_ptr", dst_ptr, (Space.SHARED, Space.GLOBAL))
    if buffer.dtype is not abbreviated(dtype):
        allowed = f"a tensor of {abbreviated(dtype)}"
        raise fail("TD0226", word=word, name="dst_ptr", value=f"'{buffer.name}', {buffer.dtype}", allowed=allowed)
    if not isinstance(src, Tensor):
        raise fail("TD0235", word=word, parameter="src", value=describe(src))
    _registers(word, "src", src, src_offset, src.buffer.dtype)
    in_rows = len(indices) > 1 and _is_row(buffer, dst_stride)
    if not in_rows and (type(dst_stride) is not int or dst_stride < n or not _are_ints(buffer.shape[1:])):
        allowed = f"an int from {n} on, or the length of a row of '{buffer.name}'"
        raise fail("TD0226", word=word, name="dst_stride", value=describe(dst_stride), allowed=allowed)
    _store(Tensor(buffer, dst_ptr.frame), indices, None if in_rows else dst_stride, src, src_offset, n)


@macro
def _store(dst: Any, corner: Any, stride: Any, src: Any, first: Any, n: int) -> None:
    lane = get_lane_idx()
    for r in unroll(n // 4):
        for e in vectorized(2):
            y, x = r % 2 * 8 + lane // 4, r // 2 * 8 + lane % 4 * 2 + e
            dst[_below(dst, corner, y, x, stride)] = cast(src[_at(src, first + r * 2 + e)], dst.dtype)


def _is_row(buffer: Buffer, stride: Any) -> bool:
    length = buffer.shape[-1]
    return simplify(index_of(operand(stride)) - length, {}) == Const(0, INDEX)


def _are_ints(extents: Sequence[Extent]) -> TypeGuard[Sequence[int]]:
    return all(isinstance(e, int) for e in extents)


def _at(array: Tensor, linear: Scalar) -> tuple[Scalar, ...]:
    """The indices of element number `linear`, row by row."""
    return _scalars(_split(index_of(linear), static_shape(array.buffer)), linear)


def _below(tensor: Tensor, corner: Sequence[Expr], y: Scalar, x: Scalar, stride: int | None) -> tuple[Scalar, ...]:
    """`y` rows, and `x` elements, after the corner. Rows are those of the tensor, or `stride` elements long."""
    if stride is None:
        found = (*corner[:-2], corner[-2] + index_of(y), corner[-1] + index_of(x))
    else:
        shape = tensor.buffer.shape
        assert _are_ints(shape[1:])
        steps = [prod(e for e in shape[axis + 1 :] if isinstance(e, int)) for axis in range(len(shape))]
        linear = index_of(y) * stride + index_of(x)
        for i, step in zip(corner, steps):
            linear = linear + i * step
        inner = tuple(linear // step % e for step, e in zip(steps[1:], shape[1:]))
        found = tuple(simplify(e, {}) for e in (linear // steps[0], *inner))
    return _scalars(found, y, x)


def _scalars(found: Sequence[Expr], *of: Scalar) -> tuple[Scalar, ...]:
    frame, reads = dependencies(list(of))
    return tuple(Scalar(e, INDEX, frame, reads) for e in found)


def product_of(shape: str, d: DType, a: DType, b: DType) -> Atom | None:
    """The row `mma.shape` of a and b into d; None if there is none."""
    from tiledsl.isa.table import select  # few kernels need it

    return next((row for row in select("mma", (d, a, b)) if row.name.split("_")[1] == shape), None)


def _products(d: DType, a: DType, b: DType) -> str:
    """What there is for some of these types."""
    from tiledsl.isa.table import select

    rows = [row for row in select("mma", ()) if {a, b} & {op.dtype for op in row.operands[1:]}]
    return "row.col; " + ("; ".join(row.name for row in rows) or f"no products of {a}")


def _named(name: str) -> Atom | None:
    from tiledsl.isa.table import atom_named

    return atom_named(name)


def abbreviated(spelled: Any) -> DType:
    """The dtype that a word, a name, or an abbreviation of PTX or TileLang means."""
    return dtype_named(_ABBREVIATIONS.get(spelled, spelled) if isinstance(spelled, str) else spelled)


def _registers(word: str, name: str, value: Any, first: Any, dtype: DType) -> Address:
    if not isinstance(value, Tensor):
        raise fail("TD0235", word=word, parameter=name, value=describe(value))
    value.check_alive()
    buffer = value.buffer
    if buffer.space is not Space.LOCAL:
        raise fail(
            "TD0219", parameter=name, word=word, name=buffer.name, space=buffer.space.value, allowed="T.alloc_local"
        )
    if buffer.dtype is not dtype:
        raise fail(
            "TD0226", word=word, name=name, value=f"'{buffer.name}', {buffer.dtype}", allowed=f"registers of {dtype}"
        )
    return Address(buffer, _split(index_of(operand(first)), static_shape(buffer)))


def _split(at: Expr, shape: Sequence[int]) -> tuple[Expr, ...]:
    """The indices of element number `at` of a shape, row by row."""
    indices: list[Expr] = []
    for axis in range(len(shape)):
        step = prod(shape[axis + 1 :])
        part = at // step if step > 1 else at
        indices.append(simplify(part % shape[axis] if axis else part, {}))
    return tuple(indices)


def _row(word: str, value: Any, offset: Any) -> Address:
    buffer, indices = _element(word, "row", value, (Space.SHARED,))
    more = index_of(operand(offset))
    if more != Const(0, INDEX):
        shape = static_shape(buffer)
        linear: Expr = more
        for axis, i in enumerate(indices):
            linear = linear + i * prod(shape[axis + 1 :])
        indices = tuple(simplify(linear // prod(shape[axis + 1 :]) % shape[axis], {}) for axis in range(len(shape)))
    return Address(buffer, indices)


def _element(word: str, name: str, value: Any, spaces: tuple[Space, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
    """The place of an element, or of its T.address_of. Raises TileError TD0219, TD0235."""
    found = value.expr if isinstance(value, Scalar) else None
    if not isinstance(found, (Load, Address)) or found.buffer.space is Space.VAR:
        raise fail("TD0235", word=word, parameter=name, value=describe(value))
    space = found.buffer.space
    if space not in spaces:
        allowed = " or ".join("T.alloc_shared" if s is Space.SHARED else "a tensor" for s in spaces)
        raise fail("TD0219", parameter=name, word=word, name=found.buffer.name, space=space.value, allowed=allowed)
    return found.buffer, found.indices
