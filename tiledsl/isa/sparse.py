"""Rows of mma.sp: a warp multiplies a matrix of which two of any four neighbours along k are zero by a dense one.

`a` has the others, half of the columns; `e` says where they stand. Each row of e is words of 16 bits, four bits for
each pair of elements: two numbers i < j below 4, i in the lower bits. Source: PTX ISA, "Matrix multiply-accumulate
operation using mma.sp instruction with sparse matrix A"; of the fragments "Matrix Fragments for sparse mma.m16n8k32
with .f16 and .bf16 types". In a group of four lanes the first two give the metadata (selector 0); here the others hold
the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.errors import error
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, UINT16, DType
from tiledsl.ir.layout import fragment
from tiledsl.isa.atom import Atom, Operand
from tiledsl.isa.mma import FRAGMENTS, PTX_TYPES, multiply_float

GROUP, KEPT = 4, 2  # of so many neighbours along k so many are kept
WORD = 16  # dense elements that a word of metadata is about


def expand(a: Any, e: Any) -> Any:
    """The dense matrix of the kept elements `a` (..., m, k / 2) and the metadata `e` (..., m, k / 16) of uint16.

    Raises TileError TD0864 for metadata that no instruction defines.
    """
    nibbles = (e[..., None] >> np.arange(0, 16, 4, dtype=np.uint16)) & np.uint16(15)
    nibbles = nibbles.reshape(*a.shape[:-1], a.shape[-1] // KEPT)
    i, j = nibbles & 3, nibbles >> 2
    wrong = np.argwhere(i >= j)
    if len(wrong):
        *_, row, pair = (int(n) for n in wrong[0])
        raise error("TD0864", row=row, group=pair, first=int(i[tuple(wrong[0])]), second=int(j[tuple(wrong[0])]))
    dense = np.zeros((*nibbles.shape, GROUP), a.dtype)
    np.put_along_axis(dense, i[..., None].astype(np.intp), a[..., 0::2, None], -1)
    np.put_along_axis(dense, j[..., None].astype(np.intp), a[..., 1::2, None], -1)
    return dense.reshape(*a.shape[:-1], GROUP // KEPT * a.shape[-1])


def multiply_sparse(d: Any, a: Any, b: Any, e: Any) -> Any:
    """d + A @ b, where A has the elements of `a` at the places that `e` says: exact products, rounded once."""
    return multiply_float(d, expand(a, e), b)


_D, _A = FRAGMENTS["m16n8k16"][:2]
_B = fragment("kn", threads="n8 k4*2", regs="k4*8 k2")
_E = fragment("me", threads="m8 r2 e2", regs="m2*8")


def _row(d: DType, a: DType) -> Atom:
    inputs = (Operand("a", a, _A), Operand("b", a, _B), Operand("e", UINT16, _E))
    types = f"{PTX_TYPES[d]}.{PTX_TYPES[a]}.{PTX_TYPES[a]}.{PTX_TYPES[d]}"
    return Atom(
        name=f"mma_sp_m16n8k32_{PTX_TYPES[d]}_{PTX_TYPES[a]}",
        kind="mma_sp",
        feature="mma_sync",
        operands=(Operand("d", d, _D, written=True), *inputs),
        ptx=f"mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.{types} {{d}}, {{a}}, {{b}}, {{d}}, {{e}}, 0x0;",
        source="PTX ISA, 'Matrix Fragments for sparse mma.m16n8k32 with .f16 and .bf16 types'",
        semantics=multiply_sparse,
    )


SPARSE: tuple[Atom, ...] = (_row(FLOAT32, FLOAT16), _row(FLOAT32, BFLOAT16), _row(FLOAT16, FLOAT16))
