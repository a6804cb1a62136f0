"""The device function of an instruction, for the GPU, from its row alone."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.ir.dtypes import FLOAT32, FLOAT64
from tiledsl.isa.atom import Atom, Operand

# Instructions of newer GPUs: the function exists only where the compiler's target has them.
_ARCHITECTURE_OF_FEATURE = {"mma_fp8": 890, "stmatrix": 900}


@dataclass(frozen=True, slots=True)
class _Argument:
    """A parameter of the function: its declaration, and the operands of the `asm` statement that it stands for.

    Several registers are written {%0, %1, ...} in PTX, a single value plainly.
    """

    name: str
    declaration: str
    operands: tuple[str, ...]
    is_output: bool = False
    is_list: bool = True


def device_function(atom: Atom) -> str:
    """`void <name>(...)` with one inline PTX statement; its arguments are those of `AtomCall` in their order."""
    text = _cp_async(atom) if atom.kind == "cp_async" else _on_registers(atom)
    least = _ARCHITECTURE_OF_FEATURE.get(atom.feature)
    return f"#if __CUDA_ARCH__ >= {least}\n{text}\n#endif" if least else text


def _on_registers(atom: Atom) -> str:
    registers = [_registers(op, atom.kind == "mma") for op in atom.operands]
    row = _Argument("row", "u32 row", ('"r"(row)',), is_list=False)
    arguments = {"mma": registers, "ldmatrix": [*registers, row], "stmatrix": [row, *registers]}[atom.kind]
    fields: dict[str, str] = {}
    number = 0
    for a in sorted(arguments, key=lambda a: not a.is_output):  # `asm` numbers its outputs first
        numbers = ", ".join(f"%{number + i}" for i in range(len(a.operands)))
        fields[a.name] = f"{{{numbers}}}" if a.is_list else numbers
        number += len(a.operands)
    outputs = ", ".join(o for a in arguments if a.is_output for o in a.operands)
    inputs = ", ".join(o for a in arguments if not a.is_output for o in a.operands)
    clobber = "" if atom.kind == "mma" else ' : "memory"'
    return (
        f"TDS_DEVICE void {atom.name}({', '.join(a.declaration for a in arguments)}) {{\n"
        f'  asm volatile("{atom.ptx.format(**fields)}"\n'
        f"               : {outputs}\n               : {inputs}{clobber});\n}}"
    )


def _registers(op: Operand, accumulates: bool) -> _Argument:
    """Registers are passed as a pointer to 32 (for float64, 64) bits each."""
    constraint, ctype, bits = {FLOAT64: ("d", "double", 64), FLOAT32: ("f", "float", 32)}.get(
        op.dtype, ("r", "u32", 32)
    )
    access = "" if not op.written else "+" if accumulates else "="
    const = "" if op.written else "const "
    count = op.fragment.num_regs * op.dtype.bits // bits
    operands = tuple(f'"{access}{constraint}"((({const}{ctype}*){op.name})[{i}])' for i in range(count))
    return _Argument(op.name, f"{const}void* {op.name}", operands, op.written)


def _cp_async(atom: Atom) -> str:
    """Copies `bytes` bytes, or writes zeros where the predicate is false; then the source is not read."""
    ptx = atom.ptx.format(dst="%0", src="%1", size="%2")
    return (
        f"TDS_DEVICE void {atom.name}(u32 shared, const void* global, bool valid) {{\n"
        f'  asm volatile("{ptx}" ::"r"(shared), "l"(__cvta_generic_to_global(global)),\n'
        f'               "r"(valid ? {atom.bytes} : 0) : "memory");\n'
        "}"
    )
