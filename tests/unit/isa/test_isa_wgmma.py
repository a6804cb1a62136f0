"""Rows of wgmma against the manual's formulas, and matrix descriptors against tables of addresses.

L25: instruction rows equal their hardware tables. L28: the fields of a descriptor, decoded, give the addresses at which
the layout of the tile has each 16 bytes.
"""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.analysis.layout_tables import is_injective
from tiledsl.codegen.atoms import device_function
from tiledsl.codegen.device_api import device_functions
from tiledsl.ir.dtypes import BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, FLOAT16, FLOAT32, INT8, INT32, TFLOAT32, UINT8
from tiledsl.ir.layout import linear_at, unravel
from tiledsl.isa.atom import Completion, Proxy
from tiledsl.isa.descriptor import Descriptor, Mode, decode, mode_of
from tiledsl.isa.execute import gather, positions, scatter
from tiledsl.isa.table import ATOMS, atom_named
from tiledsl.isa.wgmma import TYPES, accumulator, extents_n, operand_a, row_name, wgmma_dtypes, wgmma_row, wgmma_rows
from tiledsl.runtime import nvrtc

ALL = list(wgmma_rows())


# --------------------------------------------------------------------------------------------------- registers


@pytest.mark.parametrize("n", [8, 24, 64, 256])
def test_L25_accumulators_follow_the_manual(n: int) -> None:
    """PTX ISA, "Matrix fragments for wgmma.mma_async.m64nNk...", D: row and column of register i of each thread."""
    f = accumulator(n)
    assert (f.num_threads, f.num_regs) == (128, n // 2)
    for thread in range(128):
        warp, lane = thread // 32, thread % 32
        for i in range(n // 2):
            row = 16 * warp + lane // 4 + 8 * (i // 2 % 2)
            column = 8 * (i // 4) + lane % 4 * 2 + i % 2
            assert unravel(linear_at(f, thread, i), (64, n)) == (row, column)


@pytest.mark.parametrize(("bits", "k"), [(8, 32), (16, 16), (32, 8)])
def test_L25_operand_a_follows_the_manual(bits: int, k: int) -> None:
    each = 32 // bits
    f = operand_a(bits)
    assert f.shape == (64, k) and f.num_regs == 4 * each
    for thread in range(128):
        warp, lane = thread // 32, thread % 32
        for i in range(4 * each):
            register, part = i // each, i % each
            row = 16 * warp + lane // 4 + 8 * (register % 2)
            column = lane % 4 * each + part + 4 * each * (register // 2)
            assert unravel(linear_at(f, thread, i), (64, k)) == (row, column)


def test_registers_of_a_small_n_are_the_first_of_a_large_one() -> None:
    """The CPU device's tables are those of n = 256."""
    wide = positions(accumulator(256))
    for n in range(8, 257, 8):
        narrow = positions(accumulator(n))
        np.testing.assert_array_equal(narrow // n, (wide // 256)[:, : n // 2])
        np.testing.assert_array_equal(narrow % n, (wide % 256)[:, : n // 2])


def test_every_row_is_a_bijection_and_has_its_name() -> None:
    names = [row.name for row in ALL]
    assert len(set(names)) == len(names) == 2 * (12 * 32 + 4 * len(extents_n(INT8)))
    assert not set(names) & ATOMS.keys()
    for row in ALL:
        assert wgmma_row(row.name) == row and atom_named(row.name) == row
        assert row.completion is Completion.WGMMA_GROUP and row.proxy is Proxy.ASYNC and row.threads == 128
        for op in row.operands:
            assert op.fragment.num_threads == 128 and op.fragment.num_regs * op.dtype.bits % 32 == 0
    for n in (8, 104, 256):
        assert is_injective(accumulator(n))


@pytest.mark.parametrize(
    "name",
    ["wgmma_m64n12k16_f32_f16_ss", "wgmma_m64n40k32_s32_s8_ss", "wgmma_m64n8k16_f32_f16", "wgmma_m64n8k8_f32_f16_ss"]
    + ["wgmma_m64n8k16_f16_bf16_ss", "wgmma_m64n264k16_f32_f16_ss", "wgmma_m64n8k32_f32_e4m3_e4m3_ss", "mma"],
)
def test_what_is_no_instruction_has_no_row(name: str) -> None:
    assert wgmma_row(name) is None


def test_integers_have_fewer_shapes() -> None:
    assert extents_n(INT8)[:6] == (8, 16, 24, 32, 48, 64) and extents_n(UINT8)[-1] == 256
    assert extents_n(FLOAT16)[4] == 40


@pytest.mark.parametrize("types", TYPES, ids=lambda t: "-".join(str(x) for x in t))
def test_S22_wgmma_through_its_fragments_is_the_matrix_product(types) -> None:
    row = wgmma_row(row_name(16, *types, from_registers=True))
    assert wgmma_dtypes(row) == types
    (d_op, a_op), k = row.operands, row.operands[1].fragment.shape[1]
    rng = np.random.default_rng(0)
    low = 0 if types[1] is UINT8 or types[2] is UINT8 else -3
    a, b = rng.integers(low, 4, (64, k)), rng.integers(low, 4, (k, 16))
    d = rng.integers(-3, 4, (64, 16)).astype({FLOAT32: np.float32, FLOAT16: np.float16, INT32: np.int32}[types[0]])
    holder = np.float32 if types[1] is TFLOAT32 else np.float64
    registers = scatter(a_op.fragment, a.astype(holder))
    again = gather(a_op.fragment, registers)
    result = row.semantics(d=d, a=again, b=b.astype(holder))
    np.testing.assert_array_equal(result.astype(np.float64), d.astype(np.float64) + a @ b)
    np.testing.assert_array_equal(gather(d_op.fragment, scatter(d_op.fragment, result)), result)


# -------------------------------------------------------------------------------------------------- descriptors


@pytest.mark.parametrize("swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize("start", [0, 1024, 1024 + 128, 4096 + 384])
def test_L28_k_major_tiles_are_where_the_descriptor_says(swizzle: int, start: int) -> None:
    """Rows of 32, 64 or 128 bytes with the copy engine's swizzle, anywhere; unswizzled: core matrices of 128 bytes."""
    mode = mode_of(swizzle)
    width = swizzle or 16
    rows, units = 64, 2
    r, u = np.meshgrid(np.arange(rows), np.arange(units), indexing="ij")
    if swizzle:
        logical = r * width + u * 16
        phase = logical // 128 % mode.units  # the pattern starts where the tile starts
        expected = start + (logical ^ phase * 16)
        d = Descriptor(start, 16, 8 * width, mode, base_offset=start // 128 % mode.units if swizzle else 0)
    else:
        expected = start + r // 8 * 256 + u * 128 + r % 8 * 16
        d = Descriptor(start, 128, 256, mode)
    again = decode(d.encode())
    assert again == d
    np.testing.assert_array_equal(again.unit_address(r, u, k_major=True), expected)
    assert len(np.unique(expected)) == expected.size


@pytest.mark.parametrize("swizzle", [0, 32, 64, 128])
def test_L28_mn_major_tiles_are_where_the_descriptor_says(swizzle: int) -> None:
    """(k, m) with m contiguous in panels of the swizzle's width; k in rows."""
    mode = mode_of(swizzle)
    m, k, start = 64, 16, 2048
    rows, units = np.meshgrid(np.arange(k), np.arange(m // 8), indexing="ij")
    if swizzle:
        logical = units // mode.units * (k * swizzle) + rows * swizzle + units % mode.units * 16
        expected = start + (logical ^ logical // 128 % mode.units * 16)
        d = Descriptor(start, k * swizzle, 8 * swizzle, mode)
    else:
        expected = start + rows // 8 * 1024 + units * 128 + rows % 8 * 16
        d = Descriptor(start, 1024, 128, mode)
    np.testing.assert_array_equal(decode(d.encode()).unit_address(rows, units, k_major=False), expected)
    assert len(np.unique(expected)) == expected.size


def test_advancing_inside_a_swizzled_tile_adds_to_the_start() -> None:
    """The next 16 of k: 32 bytes further, the pattern stays with the address."""
    whole, next_step = Descriptor(1024, 16, 1024, Mode.SWIZZLE_128), Descriptor(1024 + 32, 16, 1024, Mode.SWIZZLE_128)
    for row in range(64):
        for unit in range(2):
            assert next_step.unit_address(row, unit, True) == whole.unit_address(row, unit + 2, True)


def test_fields_lie_where_the_manual_has_them() -> None:
    bits = Descriptor(start=0x1230, leading=0x40, stride=0x400, mode=Mode.SWIZZLE_64, base_offset=5).encode()
    assert bits & 0x3FFF == 0x123 and bits >> 16 & 0x3FFF == 4 and bits >> 32 & 0x3FFF == 0x40
    assert bits >> 49 & 7 == 5 and bits >> 62 == 2
    assert [int(mode_of(s)) for s in (0, 128, 64, 32)] == [0, 1, 2, 3]
    assert [mode_of(s).period for s in (32, 64, 128)] == [256, 512, 1024]


@pytest.mark.parametrize(
    "field", [{"start": 8}, {"leading": 1 << 18}, {"stride": -16}, {"base_offset": 8}], ids=lambda f: next(iter(f))
)
def test_fields_out_of_range_are_refused(field: dict[str, int]) -> None:
    values = {"start": 0, "leading": 16, "stride": 16, "mode": Mode.NONE, "base_offset": 0} | field
    with pytest.raises(ValueError, match=next(iter(field))):
        Descriptor(**values).encode()  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- GPU


def test_ptxas_takes_every_pair_of_types() -> None:
    """From shared memory and from registers, with the modifiers that the types have."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    rows = [r for r in ALL if r.operands[0].fragment.shape[1] == 16]
    text = "".join(_caller(row, i) for i, row in enumerate(rows))
    made = nvrtc.compile_cuda(device_functions(tuple(r.name for r in rows)) + text, "sm_90a")
    for row in rows:
        assert row.ptx.split(" ")[0] in made.ptx
    assert "wgmma" in device_function(rows[0]) and BFLOAT16 in {t[1] for t in TYPES}
    assert {FLOAT8_E4M3, FLOAT8_E5M2} <= {t[1] for t in TYPES}


def _caller(row, number: int) -> str:
    d = wgmma_dtypes(row)[0]
    ctype = "float" if d is FLOAT32 else "tds::u32"
    regs = row.operands[0].fragment.num_regs * d.bits // 32
    a = "registers" if len(row.operands) > 1 else "a"
    sign = "<1, -1>" if d.is_float else ""
    return (
        f"TDS_KERNEL(128, 1) k{number}({ctype}* out, tds::u64 a, tds::u64 b, int add) {{\n"
        f"  {ctype} d[{regs}]; tds::u32 registers[4] = {{1, 2, 3, 4}};\n  (void)registers;\n"
        f"  for (int i = 0; i < {regs}; ++i) d[i] = out[i];\n"
        f'  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");\n'
        f"  tds::{row.name}{sign}(d, {a}, b, add != 0);\n"
        f'  asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" ::: "memory");\n'
        f"  for (int i = 0; i < {regs}; ++i) out[{regs} * threadIdx.x + i] = d[i];\n}}\n"
    )
