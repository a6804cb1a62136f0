"""The device function of an instruction, for the GPU, from its row alone."""

from __future__ import annotations

from tiledsl.ir.dtypes import FLOAT32, FLOAT64
from tiledsl.isa.atom import Atom, Operand

# Instructions of newer GPUs: the function exists only where the compiler's target has them.
_ARCHITECTURE_OF_FEATURE = {"mma_fp8": 890, "stmatrix": 900}


def device_function(atom: Atom) -> str:
    """`void <name>(...)` with one inline PTX statement; its arguments are those of `AtomCall` in their order."""
    text = _cp_async(atom) if atom.kind == "cp_async" else _on_registers(atom)
    least = _ARCHITECTURE_OF_FEATURE.get(atom.feature)
    return f"#if __CUDA_ARCH__ >= {least}\n{text}\n#endif" if least else text


def _on_registers(atom: Atom) -> str:
    """Registers are passed as pointers to 32 (or, for float64, 64) bits each; a shared row as its address."""
    number = 0
    fields: dict[str, str] = {}
    outputs: list[str] = []
    inputs: list[str] = []
    parameters: list[str] = []
    for op in atom.operands:
        constraint, ctype, count = _register(op)
        fields[op.name] = "{" + ", ".join(f"%{number + i}" for i in range(count)) + "}"
        number += count
        access = "+" if op.written and atom.kind == "mma" else "=" if op.written else ""
        pointer = f"({'' if op.written else 'const '}{ctype}*){op.name}"
        items = [f'"{access}{constraint}"(({pointer})[{i}])' for i in range(count)]
        (outputs if op.written else inputs).extend(items)
        parameters.append(f"{'' if op.written else 'const '}void* {op.name}")
    memory = atom.kind in ("ldmatrix", "stmatrix")
    if memory:  # after the registers in the numbering, since an output comes first
        row = '"r"(row)'
        if atom.kind == "stmatrix":  # the numbering is that of the operand lists
            fields = {
                op.name: "{" + ", ".join(f"%{1 + i}" for i in range(_register(op)[2])) + "}" for op in atom.operands
            }
            inputs, parameters, fields["row"] = [row, *inputs], ["u32 row", *parameters], "%0"
        else:
            inputs, parameters, fields["row"] = [*inputs, row], [*parameters, "u32 row"], f"%{number}"
    clobber = ' : "memory"' if memory else ""
    return (
        f"TDS_DEVICE void {atom.name}({', '.join(parameters)}) {{\n"
        f'  asm volatile("{atom.ptx.format(**fields)}"\n'
        f"               : {', '.join(outputs)}\n               : {', '.join(inputs)}{clobber});\n}}"
    )


def _register(op: Operand) -> tuple[str, str, int]:
    """PTX constraint, C++ type and number of the registers of one thread."""
    bits = op.fragment.num_regs * op.dtype.bits
    if op.dtype is FLOAT64:
        return "d", "double", bits // 64
    if op.dtype is FLOAT32:
        return "f", "float", bits // 32
    return "r", "u32", bits // 32


def _cp_async(atom: Atom) -> str:
    """Copies `bytes` bytes, or writes zeros where the predicate is false; then the source is not read."""
    ptx = atom.ptx.format(dst="%0", src="%1", size="%2")
    return (
        f"TDS_DEVICE void {atom.name}(u32 shared, const void* global, bool valid) {{\n"
        f'  asm volatile("{ptx}" ::"r"(shared), "l"(__cvta_generic_to_global(global)),\n'
        f'               "r"(valid ? {atom.bytes} : 0) : "memory");\n'
        "}"
    )
