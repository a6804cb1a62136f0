"""The CPU device's instructions, in C++ generated from the rows of `isa`: nothing about them is written twice."""

from __future__ import annotations

import re

from tiledsl.cpu.numerics import Array
from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Fragment
from tiledsl.isa.atom import Atom
from tiledsl.isa.execute import positions
from tiledsl.isa.mma import PTX_TYPES
from tiledsl.isa.table import ATOMS
from tiledsl.isa.wgmma import TYPES, accumulator, extent_k, operand_a, wgmma_dtypes, wgmma_row

_ELEMENTS = {
    "float16": "F16",
    "bfloat16": "BF16",
    "tfloat32": "TF32",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "E4M3",
    "float8_e5m2": "E5M2",
    "int8": "S8",
    "uint8": "U8",
    "int32": "S32",
    "uint16": "U16",
}


def declarations() -> str:
    """`atoms.h`: the device function of each row."""
    mma_rows = [a.name for a in _products()]
    return "\n".join(_function(a, mma_rows) for a in ATOMS.values()) + "\n"


def _function(atom: Atom, mma_rows: list[str]) -> str:
    match atom.kind:
        case "mma":
            parameters = "void* d, const void* a, const void* b"
            call = f"tds_rt_mma({mma_rows.index(atom.name)}, d, a, b, nullptr, at)"
        case "mma_sp":
            parameters = "void* d, const void* a, const void* b, const void* e"
            call = f"tds_rt_mma({mma_rows.index(atom.name)}, d, a, b, e, at)"
        case "ldmatrix":
            parameters = "void* registers, u32 row"
            call = f"tds_rt_ldmatrix(registers, row, {atom.matrices}, {int(atom.transposed)}, at)"
        case "stmatrix":
            parameters = "u32 row, const void* registers"
            call = f"tds_rt_stmatrix(row, registers, {atom.matrices}, {int(atom.transposed)}, at)"
        case "cp_async":
            parameters = "u32 to, const void* from, bool valid"
            call = f"tds_rt_cp_async(to, from, {atom.bytes}, valid, at)"
        case _:
            raise TypeError(f"the CPU device has no instructions of kind '{atom.kind}'")
    return f"TDS_DEVICE void {atom.name}({parameters}, TDS_HERE) {{ {call}; }}"


def _products() -> list[Atom]:
    return [a for a in ATOMS.values() if a.kind in ("mma", "mma_sp")]


def table() -> str:
    """`atoms.inc`: the rows of mma with the position of each register's element, for the runtime."""
    tables: dict[Fragment, str] = {}
    rows: list[str] = []
    for atom in _products():
        rows.append(_row(atom, tables))
    arrays = [f"static const u16 {name}[] = {{{_numbers(positions(f))}}};" for f, name in tables.items()]
    return "\n".join([*arrays, "static const MmaRow MMA_ROWS[] = {", *rows, "};", ""])


def _row(atom: Atom, tables: dict[Fragment, str]) -> str:
    operands = {o.name: o for o in atom.operands}
    (m, n), k = operands["d"].fragment.shape, operands["b"].fragment.shape[0]
    texts = []
    for name in ("d", "a", "b", "e"):
        if name not in operands:
            texts.append("{Element::U16, 0, nullptr}")
            continue
        o = operands[name]
        array = tables.setdefault(o.fragment, f"POSITIONS_{len(tables)}")
        texts.append(f"{{Element::{_ELEMENTS[o.dtype.name]}, {o.fragment.num_regs}, {array}}}")
    return f'  {{"{atom.name}", {m}, {n}, {k}, {", ".join(texts)}}},'


def _numbers(values: Array) -> str:
    return ",".join(str(x) for x in values.ravel().tolist())


# ---- wgmma: functions for the rows that a kernel names, tables for all

_WGMMA_NAME = re.compile(r"\b(wgmma_m64n\w+?)(?:_banked)?\b")


def wgmma_functions(text: str) -> str:
    """Declarations of the rows of wgmma that a kernel text names, in namespace `tds`."""
    rows = [row for name in sorted(set(_WGMMA_NAME.findall(text))) if (row := wgmma_row(name))]
    return "\n".join(["namespace tds {", *map(_wgmma_function, rows), "}"]) if rows else ""


def _wgmma_function(atom: Atom) -> str:
    n = atom.operands[0].fragment.shape[1]
    in_registers = len(atom.operands) > 1
    a = "const void* a" if in_registers else "u64 a"
    given = "a, 0" if in_registers else "nullptr, a"
    return (
        "template <int A_SIGN = 1, int B_SIGN = 1, int A_ALONG_M = 0, int B_ALONG_N = 0>\n"
        f"TDS_DEVICE void {atom.name}(void* d, {a}, u64 b, bool accumulate, TDS_HERE) {{\n"
        f"  const WgmmaCall call = {{{TYPES.index(wgmma_dtypes(atom))}, {n}, d, {given}, b, A_SIGN, B_SIGN, "
        "A_ALONG_M != 0, B_ALONG_N != 0, accumulate};\n"
        "  tds_rt_wgmma(&call, at);\n}\n"
        "template <int A_SIGN = 1, int B_SIGN = 1, int A_ALONG_M = 0, int B_ALONG_N = 0, int NUMBER, int WORDS>\n"
        f"TDS_DEVICE void {atom.name}_banked(Bank<NUMBER, WORDS>& d, {a}, u64 b, bool accumulate, TDS_HERE) {{\n"
        f"  {atom.name}<A_SIGN, B_SIGN, A_ALONG_M, B_ALONG_N>(d.words, a, b, accumulate, at);\n}}"
    )


def wgmma_table() -> str:
    """`wgmma.inc`: the types of each instruction, and where registers lie in the tiles of D (64 x n) and A (64 x k).

    The registers of D for a smaller n are the first ones of n = 256, so one table serves all.
    """
    types = [
        f'  {{"{PTX_TYPES[d]}.{PTX_TYPES[a]}.{PTX_TYPES[b]}", {_elements(d, a, b)}, {extent_k(a)}}},'
        for d, a, b in TYPES
    ]
    d = positions(accumulator(256))
    parts = ["static const WgmmaTypes WGMMA_TYPES[] = {", *types, "};"]
    parts.append(f"static const u8 WGMMA_D_ROWS[] = {{{_numbers(d // 256)}}};")
    parts.append(f"static const u8 WGMMA_D_COLUMNS[] = {{{_numbers(d % 256)}}};")
    parts += [
        f"static const u16 WGMMA_A_{bits}[] = {{{_numbers(positions(operand_a(bits)))}}};" for bits in (8, 16, 32)
    ]
    parts.append("// For elements of that many bytes: [thread * registers + r] -> row-major linear index.")
    parts.append("static const u16* wgmma_positions_of_a(int bytes) {")
    parts.append("  return bytes == 1 ? WGMMA_A_8 : bytes == 2 ? WGMMA_A_16 : WGMMA_A_32;\n}")
    return "\n".join([*parts, ""])


def _elements(*dtypes: DType) -> str:
    return ", ".join(f"Element::{_ELEMENTS[t.name]}" for t in dtypes)
