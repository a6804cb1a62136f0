"""Rows that move data between shared memory, registers and global memory without the tensor core.

ldmatrix and stmatrix move 8x8 matrices of 16-bit units: lane 8*q + r gives the shared address of row r of matrix q, 16
bytes that are contiguous and aligned. Elements of 8 or 32 bits travel as two halves or pairs; `.trans` is therefore of
use for 16-bit elements only. Source: PTX ISA, "Warp-level matrix load instruction: ldmatrix", "stmatrix", "cp.async".
"""

from __future__ import annotations

from typing import Any

from tiledsl.ir.dtypes import UINT16
from tiledsl.ir.layout import Fragment, fragment
from tiledsl.isa.atom import Atom, Completion, Operand


def _identity(tile: Any) -> Any:
    return tile


def _matrices(count: int, transposed: bool) -> Fragment:
    """Registers of `count` matrices, tile (matrix, row, column), rows as they lie in memory."""
    # i and j are row and column: in this notation "r" would be a replica.
    if transposed:
        return fragment("qij", threads="j8 i4*2", regs=f"q{count} i2")
    return fragment("qij", threads="i8 j4*2", regs=f"q{count} j2")


def _matrix_row(kind: str, feature: str, count: int, transposed: bool) -> Atom:
    load = kind == "ldmatrix"
    trans = ".trans" if transposed else ""
    arguments = "{d}, [{row}]" if load else "[{row}], {s}"
    return Atom(
        name=f"{kind}_x{count}" + ("_trans" if transposed else ""),
        kind=kind,
        feature=feature,
        operands=(Operand("d" if load else "s", UINT16, _matrices(count, transposed), written=load),),
        ptx=f"{kind}.sync.aligned.m8n8.x{count}{trans}.shared.b16 {arguments};",
        source=f"PTX ISA, 'Warp-level matrix {'load' if load else 'store'} instruction: {kind}'",
        semantics=_identity,
        bytes=16,
        matrices=count,
        transposed=transposed,
    )


def _cp_async(size: int) -> Atom:
    # .cg bypasses the L1 cache and exists for 16 bytes only.
    cache = "cg" if size == 16 else "ca"
    return Atom(
        name=f"cp_async_{size}",
        kind="cp_async",
        feature="cp_async",
        operands=(),
        ptx=f"cp.async.{cache}.shared.global [{{dst}}], [{{src}}], {size}, {{size}};",
        source="PTX ISA, 'Data Movement and Conversion Instructions: cp.async'",
        threads=1,
        completion=Completion.COMMIT_GROUP,
        bytes=size,
    )


COPY: tuple[Atom, ...] = (
    *(_matrix_row("ldmatrix", "ldmatrix", n, t) for n in (4, 2, 1) for t in (False, True)),
    *(_matrix_row("stmatrix", "stmatrix", n, t) for n in (4, 2, 1) for t in (False, True)),
    *(_cp_async(n) for n in (16, 8, 4)),
)
