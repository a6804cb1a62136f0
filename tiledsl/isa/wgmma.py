"""Rows of wgmma.mma_async: a warpgroup (4 warps) multiplies a 64 x k by a k x n tile into registers, asynchronously.

k is 32 bytes of elements; n is 8 to 256. Operand b lies in shared memory, a there (`_ss`) or in registers (`_rs`); what
lies in shared memory is found through a matrix descriptor (`isa/descriptor.py`). There are some 900 rows, so they are
made when they are asked for: `wgmma_row(name)`. Source: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from tiledsl.ir.dtypes import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    INT8,
    INT32,
    TFLOAT32,
    UINT8,
    DType,
)
from tiledsl.ir.layout import Fragment, fragment
from tiledsl.isa.atom import Atom, Completion, Operand, Proxy
from tiledsl.isa.descriptor import UNIT
from tiledsl.isa.mma import PTX_TYPES, multiply_float, multiply_integer, multiply_tf32

THREADS = 128
M = 64
OPERAND_BYTES = 32  # of a row of an operand, along k
_FP8 = (FLOAT8_E4M3, FLOAT8_E5M2)
_BYTES = (INT8, UINT8)

# (d, a, b) of every instruction.
TYPES: tuple[tuple[DType, DType, DType], ...] = (
    (FLOAT32, FLOAT16, FLOAT16),
    (FLOAT16, FLOAT16, FLOAT16),
    (FLOAT32, BFLOAT16, BFLOAT16),
    (FLOAT32, TFLOAT32, TFLOAT32),
    *((d, a, b) for d in (FLOAT32, FLOAT16) for a in _FP8 for b in _FP8),
    *((INT32, a, b) for a in _BYTES for b in _BYTES),
)


def extents_n(a: DType) -> tuple[int, ...]:
    """The n of instructions with operands of type `a`: multiples of 8; for integers from 32 on multiples of 16."""
    every = range(8, 257, 8)
    return tuple(n for n in every if a.is_float or n <= 24 or n % 16 == 0)


def bits_in_memory(dtype: DType) -> int:
    """Bits of an element as the instruction reads it: tf32 lies in words of 32 bits."""
    return 32 if dtype is TFLOAT32 else dtype.bits


def extent_k(a: DType) -> int:
    return OPERAND_BYTES * 8 // bits_in_memory(a)


@cache
def accumulator(n: int) -> Fragment:
    """PTX ISA, "Register Fragments for wgmma.mma_async", matrix D: warp w holds rows 16 w to 16 w + 15."""
    return fragment("mn", threads="m4*16 m8 n4*2", regs=f"n{n // 8}*8 m2*8 n2")


@cache
def operand_a(bits: int) -> Fragment:
    """Matrix A in registers, for elements of 16, 32 or 8 bits: the fragment of mma.sync, one warp below the other."""
    each = 32 // bits  # elements of a register
    pairs = f" k{each}" if each > 1 else ""
    step = f"*{each}" if each > 1 else ""
    return fragment("mk", threads=f"m4*16 m8 k4{step}", regs=f"k2*{4 * each} m2*8{pairs}")


def row_name(n: int, d: DType, a: DType, b: DType, from_registers: bool) -> str:
    types = [PTX_TYPES[d], PTX_TYPES[a], *([] if a is b else [PTX_TYPES[b]])]
    return f"wgmma_m64n{n}k{extent_k(a)}_{'_'.join(types)}_{'rs' if from_registers else 'ss'}"


def _row(n: int, d: DType, a: DType, b: DType, from_registers: bool) -> Atom:
    k = extent_k(a)
    semantics = multiply_tf32 if a is TFLOAT32 else multiply_float if d.is_float else multiply_integer
    in_registers = (Operand("a", a, operand_a(bits_in_memory(a))),) if from_registers else ()
    types = f"{PTX_TYPES[d]}.{PTX_TYPES[a]}.{PTX_TYPES[b]}"
    return Atom(
        name=row_name(n, d, a, b, from_registers),
        kind="wgmma",
        feature="wgmma",
        operands=(Operand("d", d, accumulator(n), written=True), *in_registers),
        ptx=f"wgmma.mma_async.sync.aligned.m64n{n}k{k}.{types} {{d}}, {{a}}, {{b}}, {{accumulate}}{{modifiers}};",
        source="PTX ISA, 'Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions'",
        threads=THREADS,
        semantics=semantics,
        completion=Completion.WGMMA_GROUP,
        proxy=Proxy.ASYNC,
    )


_NAME = re.compile(r"wgmma_m64n(\d+)k(\d+)_([a-z0-9]+)_([a-z0-9]+?)(?:_([a-z0-9]+))?_(ss|rs)")
_BY_PTX_NAME = {text: dtype for dtype, text in PTX_TYPES.items()}


@cache
def wgmma_row(name: str) -> Atom | None:
    """The row of that name; None if there is no such instruction."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    n = int(found[1])
    types = [_BY_PTX_NAME.get(t) for t in (found[3], found[4], found[5] or found[4])]
    d, a, b = types
    if d is None or a is None or b is None or (d, a, b) not in TYPES or n not in extents_n(a):
        return None
    row = _row(n, d, a, b, found[6] == "rs")
    return row if row.name == name else None


def wgmma_dtypes(atom: Atom) -> tuple[DType, DType, DType]:
    """(d, a, b) of a row; those in shared memory are no register operands, so the name says them."""
    found = _NAME.fullmatch(atom.name)
    assert found is not None
    return _BY_PTX_NAME[found[3]], _BY_PTX_NAME[found[4]], _BY_PTX_NAME[found[5] or found[4]]


def wgmma_rows() -> Iterator[Atom]:
    """Every row."""
    for d, a, b in TYPES:
        for n in extents_n(a):
            for from_registers in (False, True):
                yield _row(n, d, a, b, from_registers)


def operand_lines(name: str, of_b: bool, mn_major: bool) -> tuple[int, int]:
    """Rows, and 16-byte units of each, of an operand of the row `name` that lies in shared memory.

    Rows run along m or n, or along k where the operand is contiguous along m or n.
    """
    row = wgmma_row(name)
    assert row is not None, name
    rows, (_, a, _) = row.operands[0].fragment.shape[1] if of_b else M, wgmma_dtypes(row)
    if not mn_major:
        return rows, OPERAND_BYTES // UNIT
    return extent_k(a), rows * bits_in_memory(a) // 8 // UNIT


def takes_mn_major(a: DType) -> bool:
    """Whether operands in shared memory may be contiguous along m or n: only those of 16 bits."""
    return bits_in_memory(a) == 16
