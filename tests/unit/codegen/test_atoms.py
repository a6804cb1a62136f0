"""Device functions of instruction rows: ptxas takes every one, for each GPU that has the instruction."""

from __future__ import annotations

import re

import pytest

from tiledsl.codegen.atoms import device_function
from tiledsl.codegen.cuda import emit
from tiledsl.ir.dtypes import FLOAT16, INT32
from tiledsl.ir.nodes import TRUE, Address, Alloc, AtomCall, Block, Buffer, For, Kernel, Load, Space, Store, Var
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import ATOMS
from tiledsl.target import TARGETS
from tiledsl.testing.thread_stage import compile_for, i32, one_launch


def caller_of(atoms: list[Atom]) -> Kernel:
    """A kernel that calls every row on registers that are read before and written after, so that nothing is dropped."""
    t = Var("t", INT32)
    tile = Buffer("tile", (1024,), FLOAT16, Space.SHARED)
    source = Buffer("source", (1024,), FLOAT16)
    params: list[Buffer] = [source]
    body: Block = (Alloc(tile),)
    for atom in atoms:
        loads: Block = ()
        stores: Block = ()
        registers = []
        for op in atom.operands:
            n = op.fragment.num_regs
            memory = Buffer(f"{atom.name}_{op.name}", (32, n), op.dtype)
            regs = Buffer("regs", (n,), op.dtype, Space.LOCAL)
            i, j = Var("i", INT32), Var("j", INT32)
            params.append(memory)
            registers.append(Address(regs, (i32(0),)))
            loads += (Alloc(regs), For(i, i32(n), (Store(regs, (i,), Load(memory, (t, i))),)))
            stores += (For(j, i32(n), (Store(memory, (t, j), Load(regs, (j,))),)),) if op.written else ()
        shared = Address(tile, (i32(0),))
        match atom.kind:
            case "mma" | "mma_sp":
                args: tuple[object, ...] = tuple(registers)
            case "ldmatrix":
                args = (*registers, shared)
            case "stmatrix":
                args = (shared, *registers)
            case _:
                args = (shared, Address(source, (i32(0),)), TRUE)
        body += (*loads, AtomCall(atom.name, args), *stores)  # type: ignore[arg-type]
    return one_launch(params, body, t)


@pytest.mark.parametrize("arch", ["sm_80", "sm_89", "sm_90a"])
def test_ptxas_takes_every_row_that_the_gpu_has(arch: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    atoms = [a for a in ATOMS.values() if a.feature in TARGETS[arch].features]
    compiled = compile_for(emit(caller_of(atoms)), arch)
    for atom in atoms:
        mnemonic = atom.ptx.split(" ")[0]
        assert mnemonic in compiled.ptx, atom.name


@pytest.mark.parametrize("atom", ATOMS.values(), ids=lambda a: a.name)
def test_operands_are_numbered_without_gaps(atom: Atom) -> None:
    text = device_function(atom)
    numbers = [int(n) for n in re.findall(r"%(\d+)", text)]
    operands = re.findall(r'"[=+]?[rfdl]"\(', text)
    assert set(numbers) == set(range(len(operands)))
    for op in atom.operands:
        bits = 64 if op.dtype.name == "float64" else 32
        assert len(re.findall(rf"\){op.name}\)\[", text)) == op.fragment.num_regs * op.dtype.bits // bits


def test_outputs_come_first_and_accumulators_are_read() -> None:
    text = device_function(ATOMS["mma_m16n8k16_f32_f16"])
    assert '"+f"(((float*)d)[0])' in text and '"r"(((const u32*)a)[3])' in text
    text = device_function(ATOMS["ldmatrix_x2_trans"])
    assert text.startswith("TDS_DEVICE void ldmatrix_x2_trans(void* d, u32 row)")
    assert ".shared.b16 {%0, %1}, [%2];" in text and '"memory"' in text
    text = device_function(ATOMS["stmatrix_x4"])
    assert "#if __CUDA_ARCH__ >= 900" in text and ".shared.b16 [%0], {%1, %2, %3, %4};" in text
