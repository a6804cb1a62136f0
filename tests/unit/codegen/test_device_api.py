"""The device API: the GPU's and the CPU's definitions have the same names, and every function compiles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tiledsl
from tiledsl.codegen import device_api
from tiledsl.codegen.device_api import device_functions, everything, names, needed
from tiledsl.codegen.paired import paired_functions
from tiledsl.codegen.rounded import rounded_functions
from tiledsl.codegen.source import Source
from tiledsl.codegen.spelling import TYPES
from tiledsl.codegen.tma import tma_functions
from tiledsl.cpu.native_atoms import declarations
from tiledsl.ir.ops import BINARY, DIRECTIONS, FUNCTIONS, PAIRS
from tiledsl.isa.table import ATOMS
from tiledsl.runtime import nvrtc

ROOT = Path(tiledsl.__file__).parent
DEFINITION = re.compile(r"^(?:template <[^\n]*?>\s*)?TDS_DEVICE [\w:<>*& ]*?[ *&](\w+)\(", re.MULTILINE)
# What only one side needs to say the others.
GPU_ONLY = {"compare_and_swap", "satfinite_e4m3x2", "satfinite_e5m2x2", "unbounded_e4m3", "unbounded_e5m2"}
CPU_ONLY = {
    "shared_at",
    "global_at",
    "shuffle",
    "clamped",
    "fma_odd",
    "argument",
    "call",
    "invoke",
    "shuffle_among",
    "watch",
}


def functions_of_the_cpu() -> set[str]:
    native = ROOT / "cpu" / "native"
    text = "\n".join((native / f).read_text() for f in ("types.h", "mathematics.h", "device.h", "device_hopper.h"))
    atomics = {f"atomic_{n}" for n in re.findall(r"^TDS_ATOMIC\((\w+),", text, re.MULTILINE)}
    stores = set(re.findall(r"^TDS_TMA_STORE\((\w+),", text, re.MULTILINE))
    rounded = {f"{n}_{d}" for n in re.findall(r"^TDS_ROUNDED\((\w+)\)", text, re.MULTILINE) for d in DIRECTIONS}
    paired = {f"{n}_{p}" for n in re.findall(r"^TDS_PAIRED\((\w+)\)", text, re.MULTILINE) for p in PAIRS}
    transcendental = set(re.findall(r"^TDS_TRANSCENDENTAL\((\w+)\)", text, re.MULTILINE))
    return set(DEFINITION.findall(text)) - {"name"} | atomics | stores | rounded | paired | transcendental


def functions_of(path: str) -> set[str]:
    return set(DEFINITION.findall((ROOT / path).read_text()))


def functions_of_the_gpu() -> set[str]:
    own = functions_of("codegen/prelude.cuh") | functions_of("codegen/prelude_hopper.cuh")
    return own | set(DEFINITION.findall("\n".join([tma_functions(), rounded_functions(), paired_functions()])))


def test_both_definitions_have_the_same_names() -> None:
    gpu, cpu = functions_of_the_gpu(), functions_of_the_cpu()
    assert gpu - GPU_ONLY == cpu - CPU_ONLY


def test_every_instruction_has_both_definitions() -> None:
    assert set(DEFINITION.findall(declarations())) == ATOMS.keys()
    assert ATOMS.keys() <= set(DEFINITION.findall(everything()))


def test_every_function_of_the_table_is_there() -> None:
    infix = {op.symbol for op in BINARY.values() if not op.cuda and op.symbol.isidentifier()}
    called = (FUNCTIONS.keys() - {"elected"}) | {"elect_one"} | infix
    assert called | {"floor_div", "floor_mod"} <= names()
    ours = {t.removeprefix("tds::") for t in TYPES.values() if t.startswith("tds::")}
    assert ours <= set(re.findall(r"\w+", device_api.api().core))


@pytest.mark.parametrize("arch", ["sm_80", "sm_89", "sm_90a"])
def test_the_whole_api_compiles(arch: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert nvrtc.compile_cuda(everything(), arch).cubin


def test_exchanges_between_lanes_stay_in_registers() -> None:
    """Values of any size, with a distance that the compiler does not know."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    names = ("shfl_xor", "shfl_up", "shfl_down", "shfl_idx")
    body = "".join(f"x = tds::{name}(x, n); " for name in names)
    kernels = "".join(
        f"TDS_KERNEL(64, 1) k{i}({t}* p, int n) {{ {t} x = *p; {body} *p = x; }}\n"
        for i, t in enumerate(("tds::u8", "tds::f16", "float", "tds::i64", "double"))
    )
    made = nvrtc.compile_cuda(device_functions(names) + kernels, "sm_80")
    assert [r.stack_bytes for r in made.resources] == [0] * 5


def test_each_function_compiles_with_only_what_it_needs() -> None:
    """Every piece on its own: what the emitter pastes for a kernel that uses one function is closed."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    texts = []
    for n, name in enumerate(sorted(names() | ATOMS.keys())):
        # Each in a namespace of its own, so that one compilation tells them apart; macros stay.
        alone = device_functions((name,)).replace("namespace tds {", f"namespace tds_{n} {{")
        texts.append("\n".join(line for line in alone.splitlines() if n == 0 or not line.startswith("#define")))
    assert nvrtc.compile_cuda("\n".join(texts), "sm_90a").cubin


def test_pieces_come_in_the_order_of_definition() -> None:
    """A piece mentions no name that a later piece alone defines: so one sweep from the end closes the set."""
    seen: set[str] = set()
    for piece in device_api.api().pieces:
        later = names() - seen - piece.defines
        assert not {w for w in later if re.search(rf"(?<![:\w.]){w}\(", piece.text)}, piece.text
        seen |= piece.defines


def test_a_kernel_gets_no_more_than_it_uses() -> None:
    text = device_functions(("barrier", "load"))
    assert "__syncthreads" in text and "shfl" not in text and "narrow" not in text
    assert [p.defines for p in needed(["sigmoid"])] == [{"exp"}, {"sigmoid"}]
    assert Source("", (), ()).functions == ()
