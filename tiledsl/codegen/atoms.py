"""The device function of an instruction, for the GPU, from its row alone."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.ir.dtypes import FLOAT32, FLOAT64
from tiledsl.isa.atom import Atom, Operand
from tiledsl.isa.wgmma import takes_mn_major, wgmma_dtypes

# Instructions of newer GPUs: the function exists only where the compiler's target has them.
_ARCHITECTURE_OF_FEATURE = {"mma_fp8": 890, "stmatrix": 900, "wgmma": 900}


BANKED = "_banked"  # ends the name of a function of wgmma whose sums are in a bank (codegen/banks.py)


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


def device_function(atom: Atom, banked: bool = False) -> str:
    """`void <name>(...)` with one inline PTX statement; its arguments are those of `AtomCall` in their order.

    If `banked`, the function of wgmma whose sums are in a `Bank`.
    """
    text = (_wgmma_banked if banked else _RULES.get(atom.kind, _on_registers))(atom)
    least = _ARCHITECTURE_OF_FEATURE.get(atom.feature)
    return f"#if __CUDA_ARCH__ >= {least}\n{text}\n#endif" if least else text


def _on_registers(atom: Atom) -> str:
    is_product = atom.kind in ("mma", "mma_sp")
    registers = [_registers(op, is_product) for op in atom.operands]
    row = _Argument("row", "u32 row", ('"r"(row)',), is_list=False)
    arguments = {"ldmatrix": [*registers, row], "stmatrix": [row, *registers]}.get(atom.kind, registers)
    fields: dict[str, str] = {}
    number = 0
    for a in sorted(arguments, key=lambda a: not a.is_output):  # `asm` numbers its outputs first
        numbers = ", ".join(f"%{number + i}" for i in range(len(a.operands)))
        fields[a.name] = f"{{{numbers}}}" if a.is_list else numbers
        number += len(a.operands)
    outputs = ", ".join(o for a in arguments if a.is_output for o in a.operands)
    inputs = ", ".join(o for a in arguments if not a.is_output for o in a.operands)
    clobber = "" if is_product else ' : "memory"'
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
    return _Argument(op.name, f"{const}void* {op.name}", operands, op.written, is_list=op.name != "e")


def _wgmma(atom: Atom) -> str:
    """Template arguments: the signs of a and b, and whether they are contiguous along m and n (16-bit types only)."""
    d = _registers(atom.operands[0], accumulates=True)
    numbers = ", ".join(f"%{i}" for i in range(len(d.operands)))
    return _wgmma_function(atom, atom.name, "", d.declaration, f"{{{numbers}}}", d.operands, ())


def _wgmma_banked(atom: Atom) -> str:
    """The same with d in registers that PTX finds by their names: NUMBER is part of them, and no operand is d."""
    words = len(_registers(atom.operands[0], accumulates=True).operands)
    names = ", ".join(f"bank%0_{i}" for i in range(words))
    parameter = f"const Bank<NUMBER, {words}>&"
    return _wgmma_function(
        atom, atom.name + BANKED, ", int NUMBER = 0", parameter, f"{{{names}}}", (), ('"n"(NUMBER)',)
    )


def _wgmma_function(
    atom: Atom, name: str, template: str, sums: str, registers: str, outputs: tuple[str, ...], first: tuple[str, ...]
) -> str:
    """`sums` is the parameter for d and `registers` what PTX calls them; `first` are inputs before all others."""
    d_type, a_type, _ = wgmma_dtypes(atom)
    a = _registers(atom.operands[1], accumulates=False) if len(atom.operands) > 1 else None
    a = a or _Argument("a", "u64 a", ('"l"(a)',), is_list=False)
    modifiers = ["A_SIGN", "B_SIGN"] if d_type.is_float else []
    if takes_mn_major(a_type):
        modifiers += ["B_ALONG_N"] if a.is_list else ["A_ALONG_M", "B_ALONG_N"]
    before_a = len(outputs) + len(first)
    after_a = before_a + len(a.operands)
    of_a = f"%{before_a}" if not a.is_list else f"{{{', '.join(f'%{i}' for i in range(before_a, after_a))}}}"
    ptx = atom.ptx.format(
        d=registers,
        a=of_a,
        b=f"%{after_a}",
        accumulate="p",
        modifiers="".join(f", %{after_a + 2 + i}" for i in range(len(modifiers))),
    )
    inputs = [*first, *a.operands, '"l"(b)', '"r"((int)accumulate)', *(f'"n"({m})' for m in modifiers)]
    return (
        f"template <int A_SIGN = 1, int B_SIGN = 1, int A_ALONG_M = 0, int B_ALONG_N = 0{template}>\n"
        f"TDS_DEVICE void {name}({sums}, {a.declaration}, u64 b, bool accumulate) {{\n"
        f'  asm volatile("{{\\n.reg .pred p;\\nsetp.ne.b32 p, %{after_a + 1}, 0;\\n{ptx}\\n}}"\n'
        f"               : {', '.join(outputs)}\n               : {', '.join(inputs)}\n"
        '               : "memory");\n}'
    )


def _cp_async(atom: Atom) -> str:
    """Copies `bytes` bytes, or writes zeros where the predicate is false; then the source is not read."""
    ptx = atom.ptx.format(dst="%0", src="%1", size="%2")
    return (
        f"TDS_DEVICE void {atom.name}(u32 shared, const void* global, bool valid) {{\n"
        f'  asm volatile("{ptx}" ::"r"(shared), "l"(__cvta_generic_to_global(global)),\n'
        f'               "r"(valid ? {atom.bytes} : 0) : "memory");\n'
        "}"
    )


_RULES = {"cp_async": _cp_async, "wgmma": _wgmma}
