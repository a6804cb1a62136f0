"""Rows of mma.sync: a warp multiplies an m x k by a k x n tile into registers. Source of the fragments: PTX ISA, "Warp
Level Matrix Instructions", one figure for each shape. `a` is row-major (m, k), `b` column-major (k, n): both are
contiguous along k in the registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.ir.dtypes import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT8,
    INT32,
    TFLOAT32,
    UINT8,
    DType,
)
from tiledsl.ir.layout import Fragment, fragment
from tiledsl.isa.atom import Atom, Operand

# (d, a, b) for each shape; d is the same figure for all results of 16 x 8.
_D_16x8 = fragment("mn", threads="m8 n4*2", regs="m2*8 n2")
FRAGMENTS: dict[str, tuple[Fragment, Fragment, Fragment]] = {
    "m16n8k16": (
        _D_16x8,
        fragment("mk", threads="m8 k4*2", regs="k2*8 m2*8 k2"),
        fragment("kn", threads="n8 k4*2", regs="k2*8 k2"),
    ),
    "m16n8k8": (
        _D_16x8,
        fragment("mk", threads="m8 k4", regs="k2*4 m2*8"),
        fragment("kn", threads="n8 k4", regs="k2*4"),
    ),
    "m16n8k32": (
        _D_16x8,
        fragment("mk", threads="m8 k4*4", regs="k2*16 m2*8 k4"),
        fragment("kn", threads="n8 k4*4", regs="k2*16 k4"),
    ),
    "m8n8k4": (
        fragment("mn", threads="m8 n4*2", regs="n2"),
        fragment("mk", threads="m8 k4", regs=""),
        fragment("kn", threads="n8 k4", regs=""),
    ),
}


def multiply_float(d: Any, a: Any, b: Any) -> Any:
    """d + a @ b: exact products, summed in float64 in an unspecified order, rounded once to the dtype of d.

    Tiles may have leading batch dimensions. NVIDIA documents neither order nor rounding of the sum.
    """
    return (d.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)).astype(d.dtype)


def multiply_tf32(d: Any, a: Any, b: Any) -> Any:
    """As `multiply_float`, of operands truncated (not rounded) to 10 bits of mantissa."""
    return multiply_float(d, truncate_tf32(a), truncate_tf32(b))


def multiply_integer(d: Any, a: Any, b: Any) -> Any:
    """d + a @ b modulo 2**32."""
    return (d.astype(np.int64) + a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)


def truncate_tf32(x: Any) -> Any:
    """float32 values as the tensor core reads them: the low 13 bits of the mantissa are ignored."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


# PTX names of the types, in the order of a row's name.
PTX_TYPES: dict[DType, str] = {
    FLOAT64: "f64",
    FLOAT32: "f32",
    TFLOAT32: "tf32",
    FLOAT16: "f16",
    BFLOAT16: "bf16",
    INT32: "s32",
    INT8: "s8",
    UINT8: "u8",
    FLOAT8_E4M3: "e4m3",
    FLOAT8_E5M2: "e5m2",
}


def _row(shape: str, d: DType, a: DType, b: DType, section: str, feature: str = "mma_sync") -> Atom:
    d_name, a_name, b_name = (PTX_TYPES[t] for t in (d, a, b))
    fd, fa, fb = FRAGMENTS[shape]
    semantics = multiply_tf32 if a is TFLOAT32 else multiply_float if d.is_float else multiply_integer
    return Atom(
        name=f"mma_{shape}_{d_name}_{a_name}" + ("" if a is b else f"_{b_name}"),
        kind="mma",
        feature=feature,
        operands=(Operand("d", d, fd, written=True), Operand("a", a, fa), Operand("b", b, fb)),
        ptx=f"mma.sync.aligned.{shape}.row.col.{d_name}.{a_name}.{b_name}.{d_name} {{d}}, {{a}}, {{b}}, {{d}};",
        source=f"PTX ISA, 'Matrix Fragments for mma.{shape}{section}'",
        semantics=semantics,
    )


_FLOATING = " with floating point type"
_INTEGER = " with integer type"
MMA: tuple[Atom, ...] = (
    _row("m16n8k16", FLOAT32, FLOAT16, FLOAT16, _FLOATING),
    _row("m16n8k16", FLOAT32, BFLOAT16, BFLOAT16, _FLOATING),
    _row("m16n8k16", FLOAT16, FLOAT16, FLOAT16, _FLOATING),
    _row("m16n8k8", FLOAT32, TFLOAT32, TFLOAT32, ""),
    _row("m16n8k32", INT32, INT8, INT8, _INTEGER),
    _row("m16n8k32", INT32, UINT8, UINT8, _INTEGER),
    _row("m16n8k32", INT32, INT8, UINT8, _INTEGER),
    _row("m16n8k32", INT32, UINT8, INT8, _INTEGER),
    _row("m8n8k4", FLOAT64, FLOAT64, FLOAT64, " with .f64 floating point type", "mma_f64"),
    *(
        _row("m16n8k32", FLOAT32, a, b, _INTEGER, "mma_fp8")
        for a in (FLOAT8_E4M3, FLOAT8_E5M2)
        for b in (FLOAT8_E4M3, FLOAT8_E5M2)
    ),
)
