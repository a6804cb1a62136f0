"""Words that name an instruction of the table `isa`: a warp's matrix loads and products on registers of its threads.

They are for those who deal registers out by hand; `T.gemm` and `T.copy` choose instructions by themselves.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from tiledsl.frontend.proxies import Scalar, describe, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.ir.nodes import Address, AtomCall, Const, Expr, Load, Space, static_shape
from tiledsl.ir.simplify import simplify
from tiledsl.language.tiles import begin, emit_tile

if TYPE_CHECKING:
    from tiledsl.isa.atom import Atom

_ABBREVIATIONS = {
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "fp64": "float64",
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
    those of `local` (T.alloc_local) from `local_offset` on, 4 bytes a matrix: lane l gets bytes 4 (l % 4) of row
    l // 4; with `trans`, for elements of 16 bits, those of the transposed matrix. `type` is ".b16". Raises TileError
    TD0219, TD0226, TD0270. Source: PTX ISA, "Warp-level matrix load instruction: ldmatrix".
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
    """
    word = "T.ptx_mma"
    tracer = begin(word)
    d, a, b = (_dtype(t) for t in (C_dtype, A_dtype, B_dtype))
    found = product_of(shape, d, a, b)
    if found is None or (A_layout, B_layout) != ("row", "col") or saturate or _dtype(dtype) is not d:
        how = f"{A_layout}.{B_layout}" + (", saturating" if saturate else "")
        raise fail("TD0270", what=f"mma.{shape} of {a} and {b} into {d}, {how}", known=_products(d, a, b))
    held = ((C, c_index, d, "C"), (A, a_index, a, "A"), (B, b_index, b, "B"))
    registers = tuple(_registers(word, name, t, first, type_) for t, first, type_, name in held)
    emit_tile(tracer, word, AtomCall(found.name, registers, span=tracer.here()))


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


def _dtype(spelled: Any) -> DType:
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
    at = index_of(operand(first))
    shape = static_shape(buffer)
    indices: list[Expr] = []
    for axis in range(len(shape)):
        step = prod(shape[axis + 1 :])
        part = at // step if step > 1 else at
        indices.append(simplify(part % shape[axis] if axis else part, {}))
    return Address(buffer, tuple(indices))


def _row(word: str, value: Any, offset: Any) -> Address:
    found = value.expr if isinstance(value, Scalar) else None
    if not isinstance(found, (Load, Address)):
        raise fail("TD0235", word=word, parameter="row", value=describe(value))
    buffer, indices = found.buffer, found.indices
    if buffer.space is not Space.SHARED:
        space = buffer.space.value
        raise fail("TD0219", parameter="row", word=word, name=buffer.name, space=space, allowed="T.alloc_shared")
    more = index_of(operand(offset))
    if more != Const(0, INDEX):
        shape = static_shape(buffer)
        linear: Expr = more
        for axis, i in enumerate(indices):
            linear = linear + i * prod(shape[axis + 1 :])
        indices = tuple(simplify(linear // prod(shape[axis + 1 :]) % shape[axis], {}) for axis in range(len(shape)))
    return Address(buffer, indices)
