"""wgmma on the CPU device against NumPy: types, shapes, layouts in shared memory, operands from registers, misuse.

Tiles are put into shared memory by `Descriptor.unit_address`, which tests/unit/isa/test_isa_wgmma.py compares with
tables of addresses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hopper_helpers import HOLDERS, MODES, codes, compiled_for_sm_90a, descriptor, findings_of, place, values

from tiledsl.ir.dtypes import BFLOAT16, FLOAT8_E4M3, FLOAT16, FLOAT32, INT8, TFLOAT32, DType
from tiledsl.isa.execute import gather, scatter
from tiledsl.isa.wgmma import TYPES, bits_in_memory, extent_k, operand_a, row_name, takes_mn_major, wgmma_row

pytestmark = pytest.mark.cxx
B_AT = 32 * 1024
SHARED = 96 * 1024
REGISTERS = "alignas(16) tds::u32 held[4];\n  for (int i = 0; i < 4; ++i) held[i] = tds::load(a_words + 4 * t + i);"


def kernel(name: str, arguments: str = "", parts: dict[str, str] | None = None) -> str:
    """Fills shared memory, multiplies twice (the second time adding if `add`), stores the registers of the sums."""
    from_registers = name.endswith("rs")
    p = {"fence": "tds::wgmma_fence();", "commit": "tds::wgmma_commit();", "wait": "tds::wgmma_wait<0>();"} | (
        parts or {}
    )
    a = "held" if from_registers else "a"
    row = wgmma_row(name)
    assert row is not None
    words = row.operands[0].fragment.num_regs * row.operands[0].dtype.bits // 32
    return f"""
TDS_KERNEL(128, 1) k(const tds::u32* image, const tds::u32* a_words, tds::u32* d, tds::u64 a, tds::u64 b, int add) {{
  const int t = tds::thread_index();
  for (int i = t; i < {SHARED // 4}; i += 128)
    tds::store_shared<tds::u32>(tds::shared_base() + 4 * i, tds::load(image + i));
  tds::fence_proxy_async();
  tds::barrier();
  const tds::u64 base = tds::shared_base() >> 4;
  alignas(16) tds::u32 sums[{words}];
  for (int i = 0; i < {words}; ++i) sums[i] = tds::load(d + {words} * t + i);
  {REGISTERS if from_registers else ""}
  a += base;
  b += base;
  {p["fence"]}
  tds::{name}{arguments}(sums, {a}, b, add != 0);
  {p.get("between", "")}
  tds::{name}{arguments}(sums, {a}, b, true);
  {p["commit"]}
  {p["wait"]}
  for (int i = 0; i < {words}; ++i) tds::store(d + {words} * t + i, sums[i]);
}}
TDS_EXPORT(k)
"""


def run(
    types: tuple[DType, DType, DType],
    n: int,
    *,
    from_registers: bool = False,
    a_swizzle: int = 128,
    b_swizzle: int = 128,
    a_k_major: bool = True,
    b_k_major: bool = True,
    signs: tuple[int, int] = (1, 1),
    add: bool = True,
    start: int = 0,
    base_offset: int = 0,
    mode: str = "early",
    parts: dict[str, str] | None = None,
) -> tuple[Any, Any, set[str]]:
    """(result, expected, codes of findings)."""
    d_type, a_type, b_type = types
    name = row_name(n, *types, from_registers)
    row = wgmma_row(name)
    assert row is not None
    k = extent_k(a_type)
    rng = np.random.default_rng(n + k)
    a, b = values(rng, a_type, (64, k)), values(rng, b_type, (n, k))
    image = np.zeros(SHARED, np.uint8)
    a_at, b_at = descriptor(start, a_swizzle, a_k_major, base_offset), descriptor(B_AT, b_swizzle, b_k_major)
    place(image, a, a_at, a_k_major)
    place(image, b, b_at, b_k_major)
    registers = scatter(operand_a(bits_in_memory(a_type)), a) if from_registers else np.zeros((128, 4), np.uint32)
    fragment = row.operands[0].fragment
    holder = HOLDERS.get(d_type.name, d_type.name)
    before = rng.integers(-4, 5, (64, n)).astype(holder)
    d = np.ascontiguousarray(scatter(fragment, before))
    product = signs[0] * signs[1] * (a.astype(np.float64) @ b.astype(np.float64).T)
    expected = (before.astype(np.float64) if add else 0) + 2 * product
    arguments = f"<{signs[0]}, {signs[1]}, {int(not a_k_major)}, {int(not b_k_major)}>"
    found = findings_of(
        kernel(name, arguments, parts),
        [
            image.view(np.uint32),
            np.ascontiguousarray(registers).view(np.uint32).reshape(-1),
            d.view(np.uint32).reshape(-1),
            np.uint64(a_at.encode()),
            np.uint64(b_at.encode()),
            np.int32(add),
        ],
        threads=128,
        shared_bytes=SHARED,
        mode=mode,
    )
    return gather(fragment, d).astype(np.float64), expected, codes(found)


def check(*given: Any, **how: Any) -> None:
    for mode in MODES:
        result, expected, found = run(*given, mode=mode, **how)
        assert not found
        np.testing.assert_array_equal(result, expected, err_msg=f"{given} {how} {mode}")


F16 = (FLOAT32, FLOAT16, FLOAT16)


@pytest.mark.parametrize("from_registers", [False, True], ids=["ss", "rs"])
@pytest.mark.parametrize("types", TYPES, ids=lambda t: "-".join(str(x) for x in t))
def test_every_pair_of_types(types: tuple[DType, DType, DType], from_registers: bool) -> None:
    """K-major, 128-byte swizzle; the width of a swizzled row is four times k, so this is one step of four."""
    check(types, 32, from_registers=from_registers, add=types[1] is not INT8)


@pytest.mark.parametrize("a_swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize("b_swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize("majors", ["kk", "kn", "mk", "mn"])
def test_every_pair_of_layouts(a_swizzle: int, b_swizzle: int, majors: str) -> None:
    how = {"a_k_major": majors[0] == "k", "b_k_major": majors[1] == "k"}
    result, expected, found = run(F16, 64, a_swizzle=a_swizzle, b_swizzle=b_swizzle, mode="late", **how)  # type: ignore[arg-type]
    assert not found
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("n", [8, 16, 24, 104, 136, 256])
def test_every_class_of_n(n: int) -> None:
    check(F16, n, b_k_major=n < 100 or n % 64 != 0, b_swizzle=32)


@pytest.mark.parametrize("types", [F16, (FLOAT32, BFLOAT16, BFLOAT16), (FLOAT32, TFLOAT32, TFLOAT32)])
def test_signs_and_the_first_sum(types: tuple[DType, DType, DType]) -> None:
    for signs in ((-1, 1), (1, -1), (-1, -1)):
        check(types, 8, signs=signs, add=False)
    check((FLOAT32, FLOAT8_E4M3, FLOAT8_E4M3), 8, signs=(-1, 1), from_registers=True)


@pytest.mark.parametrize(("swizzle", "start"), [(128, 1024 + 128), (128, 384), (64, 128), (64, 640), (32, 128)])
def test_patterns_that_start_anywhere(swizzle: int, start: int) -> None:
    """The descriptor's base offset."""
    check(F16, 16, a_swizzle=swizzle, start=start, base_offset=start // 128 % 8)


def test_operands_along_k_are_all_that_types_of_8_and_32_bits_have() -> None:
    assert [takes_mn_major(t) for t in (FLOAT16, BFLOAT16, TFLOAT32, FLOAT8_E4M3, INT8)] == [True, True] + [False] * 3


def test_tf32_is_truncated_and_integers_wrap() -> None:
    """Of float32 operands 10 bits of mantissa count; sums of integers are modulo 2**32."""
    text = kernel("wgmma_m64n8k8_f32_tf32_ss")
    image = np.zeros(SHARED, np.uint8)
    at, b_at = descriptor(0, 32, True), descriptor(B_AT, 32, True)
    place(image, np.full((64, 8), 1 + 2**-10 + 2**-11, np.float32), at, True)
    place(image, np.eye(8, dtype=np.float32), b_at, True)
    d = np.zeros(64 * 8, np.float32)
    given = [image.view(np.uint32), np.zeros(512, np.uint32), d.view(np.uint32)]
    numbers = [np.uint64(at.encode()), np.uint64(b_at.encode()), np.int32(1)]
    assert not findings_of(text, [*given, *numbers], threads=128, shared_bytes=SHARED)
    np.testing.assert_array_equal(d, np.full(512, 2 * (1 + 2**-10), np.float32))
    text = kernel("wgmma_m64n8k32_s32_s8_ss")
    image[:] = 1
    sums = np.full(64 * 8, 2**31 - 1, np.int32)
    given = [image.view(np.uint32), np.zeros(512, np.uint32), sums.view(np.uint32)]
    assert not findings_of(text, [*given, *numbers], threads=128, shared_bytes=SHARED)
    assert (sums == -(2**31) + 63).all()


MISUSE = {
    "no fence": ({"fence": ""}, "TD0860"),
    "no commit": ({"commit": ""}, "TD0852"),
    "no wait": ({"wait": ""}, "TD0852"),
    "wait for too little": ({"wait": "tds::wgmma_wait<1>();"}, "TD0852"),
    "no fence after a wait": ({"between": "tds::wgmma_commit(); tds::wgmma_wait<0>();"}, "TD0860"),
    "write to an operand": (
        {"wait": "tds::barrier(); tds::store_shared<tds::u32>(tds::shared_base() + 4 * t, 0u); tds::wgmma_wait<0>();"},
        "TD0818",
    ),
    "another descriptor": ({"fence": "tds::wgmma_fence(); if (t == 77) b += 64;"}, "TD0849"),
    "out of shared memory": ({"fence": "tds::wgmma_fence(); b += (90 << 10) >> 4;"}, "TD0802"),
    "sums in another instruction": (
        {"wait": "tds::stmatrix_x4(tds::shared_base() + 65536 + t % 32 * 16, sums); tds::wgmma_wait<0>();"},
        "TD0850",
    ),
    "one thread stays away": ({"fence": "if (t == 5) return; tds::wgmma_fence();"}, "TD0830"),
}


@pytest.mark.parametrize("what", MISUSE)
@pytest.mark.parametrize("mode", MODES)
def test_misuse_is_found_whenever_it_executes(what: str, mode: str) -> None:
    parts, code = MISUSE[what]
    assert code in run(F16, 64, parts=parts, mode=mode)[2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", ["sums[1] ^= 0x80000000u;", "held[2] ^= 0x8000u;"], ids=["sums", "operand a"])
def test_registers_written_after_the_fence_are_found(change: str, mode: str) -> None:
    """By their second product: before their first nobody knows that they are of one."""
    finished, fence = "tds::wgmma_commit(); tds::wgmma_wait<0>();", "tds::wgmma_fence();"
    for order, wrong in (((change, fence), False), ((fence, change), True)):
        parts = {"between": " ".join((finished, *order))}
        assert ("TD0860" in run(F16, 8, from_registers=True, parts=parts, mode=mode)[2]) == wrong


@pytest.mark.parametrize("mode", MODES)
def test_changed_registers_of_operand_a_are_found(mode: str) -> None:
    parts = {"commit": "tds::wgmma_commit(); held[2] ^= 1;"}
    assert "TD0851" in run(F16, 8, from_registers=True, parts=parts, mode=mode)[2]


def test_sums_are_poisoned_until_the_wait() -> None:
    """What is read too early is NaN in every mode."""
    parts = {"wait": "tds::u32 early = sums[3]; tds::wgmma_wait<0>(); sums[3] = early;"}
    for mode in MODES:
        result, expected, _ = run(F16, 64, parts=parts, mode=mode)
        assert np.isnan(result).sum() == 128
        np.testing.assert_array_equal(result[~np.isnan(result)], expected[~np.isnan(result)])


def test_the_same_text_compiles_for_sm_90a() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    for types, n in ((F16, 64), ((FLOAT16, FLOAT16, FLOAT16), 128)):
        for from_registers in (False, True):
            name = row_name(n, *types, from_registers)
            # Sums are passed as registers of the type that the instruction has.
            assert compiled_for_sm_90a(kernel(name, "<1, -1, 0, 1>")).cubin
