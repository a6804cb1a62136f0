"""The CPU device's instructions, in C++ generated from the rows of `isa`: nothing about them is written twice."""

from __future__ import annotations

from tiledsl.cpu.numerics import Array
from tiledsl.ir.layout import Fragment
from tiledsl.isa.atom import Atom
from tiledsl.isa.execute import positions
from tiledsl.isa.table import ATOMS

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
}


def declarations() -> str:
    """`atoms.h`: the device function of each row."""
    mma_rows = [a.name for a in ATOMS.values() if a.kind == "mma"]
    return "\n".join(_function(a, mma_rows) for a in ATOMS.values()) + "\n"


def _function(atom: Atom, mma_rows: list[str]) -> str:
    match atom.kind:
        case "mma":
            parameters = "void* d, const void* a, const void* b"
            call = f"tds_rt_mma({mma_rows.index(atom.name)}, d, a, b, at)"
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


def table() -> str:
    """`atoms.inc`: the rows of mma with the position of each register's element, for the runtime."""
    tables: dict[Fragment, str] = {}
    rows: list[str] = []
    for atom in ATOMS.values():
        if atom.kind == "mma":
            rows.append(_row(atom, tables))
    arrays = [f"static const u16 {name}[] = {{{_numbers(positions(f))}}};" for f, name in tables.items()]
    return "\n".join([*arrays, "static const MmaRow MMA_ROWS[] = {", *rows, "};", ""])


def _row(atom: Atom, tables: dict[Fragment, str]) -> str:
    operands = {o.name: o for o in atom.operands}
    (m, n), k = operands["d"].fragment.shape, operands["a"].fragment.shape[1]
    texts = []
    for name in ("d", "a", "b"):
        o = operands[name]
        array = tables.setdefault(o.fragment, f"POSITIONS_{len(tables)}")
        texts.append(f"{{Element::{_ELEMENTS[o.dtype.name]}, {o.fragment.num_regs}, {array}}}")
    return f'  {{"{atom.name}", {m}, {n}, {k}, {", ".join(texts)}}},'


def _numbers(values: Array) -> str:
    return ",".join(str(x) for x in values.ravel().tolist())
