"""Roles, barriers, the copy engine and wgmma in the emitted text: a whole GEMM for sm_90a, then each statement."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl import backends
from tiledsl.backends import Backend
from tiledsl.codegen.cuda import emit
from tiledsl.codegen.offset import divided
from tiledsl.compile import Lowered
from tiledsl.cpu.findings import Finding
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import INT32
from tiledsl.ir.nodes import Binary, Const, Expr, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.isa.descriptor import Descriptor, mode_of
from tiledsl.report.sass_code import find_nvdisasm
from tiledsl.report.sass_stats import analyze
from tiledsl.runtime.arguments import bind
from tiledsl.testing.thread_stage import compile_for, i32, lowered

HERE = Path(__file__).parent
GOLDEN = HERE.parents[1] / "golden" / "cuda"
GEMM = (HERE / "kernels" / "gemm_sm90a.tir").read_text()
MODES, SCHEDULES = ("early", "late", "random"), ("fifo", "reverse", "random")
SHARED_BASE = 1024  # cpu/native/types.h


@cache
def built(text: str) -> Lowered:
    kernel = parse(text, "kernel.tir")
    verify(kernel)
    return lowered(kernel)


def found_by(text: str, *arrays: Any, **how: Any) -> list[Finding]:
    """What the checked device finds; `arrays` are written in place."""
    found: list[Finding] = []
    made = built(text)
    backends.run_on_cpu(made, bind(made.signature, arrays, {}), Backend.CPU, check=True, findings=found, **how)
    return found


@cache
def matrices() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, shape).astype(np.float16) for shape in ((256, 320), (320, 256)))
    return a, b, (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)


# -------------------------------------------------------------------------------------------------- a whole kernel


def test_golden_text(request: pytest.FixtureRequest) -> None:
    text, path = built(GEMM).source.text, GOLDEN / "gemm_sm90a.cu"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.cxx
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mode", MODES)
def test_the_gemm_equals_numpy_in_every_mode_and_schedule(mode: str, schedule: str) -> None:
    a, b, expected = matrices()
    c = np.full_like(expected, np.nan)
    assert not found_by(GEMM, a, b, c, mode=mode, schedule=schedule, seed=3)
    np.testing.assert_array_equal(c, expected)


@pytest.mark.cxx
def test_a_call_runs_it() -> None:
    a, b, expected = matrices()
    c = np.full_like(expected, np.nan)
    assert backends.run(built(GEMM), (a, b, c), {}, backend="cpu") is None
    np.testing.assert_array_equal(c, expected)


def test_it_compiles_for_sm_90a_as_it_is_written() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    made = compile_for(built(GEMM).source, "sm_90a")
    (resources,) = made.resources
    assert (resources.stack_bytes, resources.spill_store_bytes, resources.spill_load_bytes) == (0, 0, 0)
    assert resources.registers == 168
    assert made.remarks == () and "warning" not in made.log
    for word in ("wgmma.mma_async", "cp.async.bulk.tensor", "mbarrier.try_wait", "setmaxnreg"):
        assert word in made.ptx


def test_what_is_uniform_costs_the_threads_nothing() -> None:
    """Descriptors and addresses of barriers live in uniform registers, and steps of k are constants."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    if find_nvdisasm() is None:
        pytest.skip("nvdisasm was not found")
    made = analyze(compile_for(built(GEMM).source, "sm_90a").cubin)["gemm"]
    loop = made.main_loop
    assert loop is not None and loop.tensor == 4 and loop.instructions <= 56
    # The same without the hint that the group's number is that of the whole warp.
    plain = built(GEMM.replace("warp_uniform(c // 128)", "c // 128"))
    other = analyze(compile_for(plain.source, "sm_90a").cubin)["gemm"].main_loop
    assert other is not None and other.instructions > loop.instructions


MUTANTS = {
    "no wait for the data": "await full[k % 3], k // 3 % 2 of As, Bs",
    "no wait for free tiles": "await empty[k % 3], (k // 3 + 1) % 2 of As, Bs",
    "nobody hands tiles back": "arrive(by=warpgroups) empty[k % 3] of As, Bs",
    "no bytes expected": "arrive(bytes=32768, by=one) full[k % 3]",
    "barriers not published": "fence(kind=barrier_init)",
    "no fence of the registers": "fence(kind=product)",
    "products not committed": "async_commit(queue=product)",
    "products not awaited": "async_wait(pending=0, queue=product)",
    "sums not published": "fence(kind=async_proxy)",
    "sums of one group": "barrier(id=2, count=256)",
    "stores not committed": "async_commit(queue=store)",
    "stores not awaited": "async_wait(pending=0, queue=store, sources=true)",
    "no barrier": "    barrier\n",
    "registers not given": "set_registers(count=40)",
}


@pytest.mark.cxx
@pytest.mark.parametrize("name", MUTANTS)
def test_every_statement_counts(name: str) -> None:
    """Without it the checked device finds the kernel wrong, in each mode: so the text has it, where it belongs."""
    gone = MUTANTS[name]
    assert GEMM.count(gone) == 1
    a, b, expected = matrices()
    for mode, schedule in zip(MODES, SCHEDULES):
        assert found_by(GEMM.replace(gone, ""), a, b, np.zeros_like(expected), mode=mode, schedule=schedule, seed=1)


# ----------------------------------------------------------------------------------------------- statement by statement

HEAD = """
kernel k(
  A: global float16[4, 6, 64], B: global float16[4096], C: global float32[64, 32], P: global int32[64],
  I: global float16[2, 8, 8, 16]
) {
  launch k(bx: int32 in int32(1)) threads(t: int32 in 256) shared_bytes(8256) {
    slot S = 0
    slot F = 4096
    slot bar = 8192
    alloc S: shared float16[2048]
    alloc F: shared float32[1024]
    alloc bar: barrier uint64[4]
    alloc acc: local float32[64]
    alloc narrow: local float16[32]
    alloc part: local float16[8]
    alloc whole: local int32[16]
"""
SPELLINGS = {
    "init_barrier(count=7) bar[2]": "tds::mbarrier_init(bar + 16u, 7);",
    "arrive bar[t % 4]": "tds::mbarrier_arrive(bar + (tds::u32)(tds::floor_mod(t, 4) * 8));",
    "arrive(copies=true) bar[0]": "tds::cp_async_mbarrier_arrive_noinc(bar);",
    "arrive(bytes=512, by=one) bar[1]": "tds::mbarrier_arrive_expect_tx(bar + 8u, 512);",
    "arrive(by=one, ranks=3) bar[1]": "tds::mbarrier_arrive_ranks<3>(bar + 8u);",
    "arrive(bytes=64, ranks=6) bar[1]": "tds::mbarrier_arrive_expect_tx_ranks<6>(bar + 8u, 64);",
    "bulk_move(lanes=64) S[0] -> S[64] at t % 4 on bar[1]": (
        "tds::bulk_copy_cluster(tds::cluster_map(S + 128u, tds::floor_mod(t, 4)), S, 128, "
        "tds::cluster_map(bar + 8u, tds::floor_mod(t, 4)));"
    ),
    "cluster_barrier": "tds::cluster_sync();",
    "cluster_barrier(part=arrive)": "tds::cluster_arrive();",
    "cluster_barrier(part=arrive_relaxed)": "tds::cluster_arrive_relaxed();",
    "cluster_barrier(part=wait)": "tds::cluster_wait();",
    "await(cluster) bar[0], 1": "tds::mbarrier_wait_cluster(bar, 1);",
    "expect bar[0], t * 16": "tds::mbarrier_expect_tx(bar, t * 16);",
    "await bar[0], t % 2": "tds::mbarrier_wait(bar, tds::floor_mod(t, 2));",
    "fence(kind=async_proxy)": "tds::fence_proxy_async();",
    "fence(kind=barrier_init)": "tds::fence_mbarrier_init();",
    "fence(kind=product)": "tds::wgmma_fence();",
    "dependency(kind=wait)": "tds::grid_wait();",
    "dependency(kind=trigger)": "tds::grid_launch_dependents();",
    "hold acc": "tds::wgmma_hold<64>(tds::view<float>(acc));",
    "hold narrow": "tds::wgmma_hold<16>(tds::view<tds::u32>(narrow));",
    "hold whole": "tds::wgmma_hold<16>(tds::view<tds::i32>(whole));",
    "set_registers(count=40)": "tds::setmaxnreg_dec<40>();",
    "set_registers(count=232, increase=true)": "tds::setmaxnreg_inc<232>();",
    "async_commit": "tds::cp_async_commit();",
    "async_commit(queue=product)": "tds::wgmma_commit();",
    "async_commit(queue=store)": "tds::bulk_commit();",
    "async_wait(pending=2)": "tds::cp_async_wait<2>();",
    "async_wait(pending=1, queue=product)": "tds::wgmma_wait<1>();",
    "async_wait(pending=1, queue=store)": "tds::bulk_wait<1>();",
    "async_wait(pending=0, queue=store, sources=true)": "tds::bulk_wait_read<0>();",
    "tensor_copy(box=[1, 2, 64], swizzle=128) A[3, t, 0] -> S[64] on bar[0]": (
        "tds::tma_load(S + 128u, A_map, bar, 0, t, 3);"
    ),
    "tensor_copy(box=[1, 2, 64], ranks=3) A[3, t, 0] -> S[0] on bar[1]": (
        "tds::tma_load_multicast(S, A_map, bar + 8u, 3, 0, t, 3);"
    ),
    "tensor_copy(box=[32, 8], window=[3, 1, 1, 1]) I[0, -1, t, 8] at 2, t -> S[0] on bar[0]": (
        "tds::tma_load_im2col(S, I_map, bar, 8, t, (-1), 0, t, 2);"
    ),
    "tensor_copy(box=[32, 8], ranks=3, window=[3, 1, 1, 1]) I[0, -1, t, 8] at 2, t -> S[0] on bar[0]": (
        "tds::tma_load_im2col_multicast(S, I_map, bar, 3, 8, t, (-1), 0, t, 2);"
    ),
    "tensor_copy(box=[16, 32]) F[0] -> C[t, 0]": "tds::tma_store(C_map, F, 0, t);",
    'tensor_copy(box=[16, 32], op="add") F[0] -> C[t, 0]': "tds::tma_reduce_add(C_map, F, 0, t);",
    'tensor_copy(box=[16, 32], op="and") F[0] -> C[t, 0]': "tds::tma_reduce_and(C_map, F, 0, t);",
    "bulk_move(lanes=64) B[t * 64] -> S[0] on bar[0]": "tds::bulk_load(S, B + (t * 64), 128, bar);",
    "bulk_move(lanes=64, ranks=2) B[0] -> S[0] on bar[0]": "tds::bulk_load_multicast(S, B, 128, bar, 2);",
    "bulk_move(lanes=64) S[0] -> B[64]": "tds::bulk_store(B + 64, S, 128);",
    "atom wgmma_m64n32k16_f32_f16_ss(&acc[0], descriptor(S[64], 16, 1024, 128), descriptor(S[0], 0, 512, 64), t > 0)": (
        "tds::wgmma_m64n32k16_f32_f16_ss(tds::view<float>(acc), tds::wgmma_descriptor_at<16, 1024, 1>(S, 8u), "
        "tds::wgmma_descriptor_at<0, 512, 2>(S, 0u), t > 0);"
    ),
    "atom wgmma_m64n32k16_f32_f16_ss(&acc[16], descriptor(S[0], 0, 0, 0), descriptor(S[0], 0, 0, 32), true, 1, 0)": (
        "tds::wgmma_m64n32k16_f32_f16_ss<1, 1, 1, 0>(tds::view<float>(acc) + 16, "
        "tds::wgmma_descriptor_at<0, 0, 0>(S, 0u), tds::wgmma_descriptor_at<0, 0, 3>(S, 0u), true);"
    ),
    "atom wgmma_m64n32k16_f32_f16_rs(&acc[0], &part[0], descriptor(S[t], 0, 0, 0), false, 1)": (
        "tds::wgmma_m64n32k16_f32_f16_rs<1, 1, 0, 1>(tds::view<float>(acc), tds::view<tds::f16>(part), "
        "tds::wgmma_descriptor_at<0, 0, 0>(S + (tds::u32)(t * 2), 0u), false);"
    ),
    "evaluate warp_uniform(t // 128)": "tds::warp_uniform(tds::floor_div(t, 128));",
}


def body_of(statements: str) -> str:
    return f"{HEAD}    {statements}\n  }}\n}}"


@pytest.mark.parametrize("statement", SPELLINGS)
def test_each_statement_has_its_call(statement: str) -> None:
    kernel = parse(body_of(statement))
    verify(kernel)
    made = [re.sub(r"\b(\d+)ll\b", r"\1", line.strip()) for line in emit(kernel).text.splitlines()]
    assert SPELLINGS[statement] in made


def test_all_of_them_compile_for_sm_90a() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    # No type of tensor has all reductions: `and` is one of integers.
    statements = [s for s in SPELLINGS if '"and"' not in s]
    assert compile_for(emit(parse(body_of("\n".join(statements)))), "sm_90a").cubin


def test_a_loop_that_waits_stays_a_loop() -> None:
    deep = "for i: int32 in int32(3) { if t == 0 { await bar[0], i % 2 } }"
    assert "TDS_UNROLL_BY(1)\n" in emit(parse(body_of(deep))).text
    assert "TDS_UNROLL" not in emit(parse(body_of(deep.replace("await bar[0], i % 2", "arrive bar[0]")))).text


def test_what_a_map_writes_is_written_and_no_pointer_hides_it() -> None:
    """Loads through `const __restrict__` pointers may be moved across the store of the copy engine."""
    store = "tensor_copy(box=[16, 32]) F[0] -> C[0, 0]"
    text, (entry,) = (source := emit(parse(body_of(f"{store}\nacc[0] = C[t % 64, 1]")))).text, source.entries
    assert "TDS_KERNEL(256, 1) k(TDS_TENSOR_MAP C_map, float* C) {" in text
    assert (entry.params, entry.written) == (("C",), ("C",))
    text, (entry,) = (source := emit(parse(body_of(store)))).text, source.entries
    assert "k(TDS_TENSOR_MAP C_map) {" in text and (entry.params, entry.written) == ((), ("C",))


def test_one_map_for_each_tensor_box_and_swizzle() -> None:
    load = "tensor_copy(box=[1, {}, 64], swizzle={}) A[0, 0, 0] -> S[0] on bar[0]\n"
    source = emit(parse(body_of("".join(load.format(*x) for x in ((1, 0), (2, 0), (1, 128), (2, 0), (1, 0))))))
    (entry,) = source.entries
    assert [(m.name, m.tensor, m.box, m.swizzle) for m in entry.maps] == [
        ("A_map", "A", (1, 1, 64), 0),
        ("A_map_1", "A", (1, 2, 64), 0),
        ("A_map_2", "A", (1, 1, 64), 128),
    ]
    assert "if (tds::thread_index() == 0) { tds::tma_prefetch(A_map); tds::tma_prefetch(A_map_1);" in source.text


def test_a_map_of_a_view_has_its_shape() -> None:
    statements = (
        "view V: global float16[16, 256] of B\ntensor_copy(box=[2, 64], swizzle=128) V[2, 64] -> S[0] on bar[0]"
    )
    (entry,) = lowered(parse(body_of(statements))).signature.entries
    (m,) = entry.maps
    assert (m.tensor, m.dtype, m.shape, m.box, m.swizzle, m.strides) == ("B", "float16", (16, 256), (2, 64), 128, None)


def test_barriers_are_rows_of_shared_memory() -> None:
    (entry,) = built(GEMM).source.entries
    assert entry.shared[0] == ("As", 0, 49152, 16384, 2) and entry.shared[3] == ("full", 131072, 24, 8, 8)


def test_clusters_reach_the_launch() -> None:
    text = body_of("barrier").replace("threads(t: int32 in 256)", "threads(t: int32 in 256) cluster(2, 1)")
    (entry,) = lowered(parse(text)).signature.entries
    assert entry.cluster == (2, 1)


@pytest.mark.cxx
def test_a_grid_without_whole_clusters_is_refused_on_the_cpu_too() -> None:
    launch = "launch k(b: int32 in int32({})) threads(t: int32 in 32) cluster(2) {{ if t == 0 {{ A[b] = b }} }}"
    text = f"kernel k(A: global int32[4]) {{{{ {launch} }}}}"
    a = np.full(4, -1, np.int32)
    with pytest.raises(TileError, match=r"TD0654: 'k' cannot be launched: grid x has 3 blocks, its clusters 2"):
        backends.run(lowered(parse(text.format(3))), (a,), {}, backend="cpu")
    backends.run(lowered(parse(text.format(4))), (a,), {}, backend="cpu")
    assert a.tolist() == [0, 1, 2, 3]


# ---------------------------------------------------------------------------------------------------------- computed

LOAD_AND_STORE = """
kernel k(A: global float16[5, 6, 64], B: global float16[2048], C: global float32[24, 32], D: global float16[2048]) {
  launch k(bx: int32 in int32(1)) threads(t: int32 in 128) shared_bytes(8208) {
    slot S = 0
    slot F = 4096
    slot bar = 8192
    alloc S: shared float16[2048]
    alloc F: shared float32[1024]
    alloc bar: barrier uint64[2]
    if t == 0 {
      for i: int32 in int32(2) unrolled { init_barrier(count=1) bar[i] }
      fence(kind=barrier_init)
    }
    barrier
    if t == 0 {
      expect bar[0], 1024
      arrive(bytes=1024, by=one) bar[0]
      tensor_copy(box=[1, 8, 64], swizzle=128) A[4, 3, 0] -> S[0] on bar[0]
      bulk_move(lanes=512) B[64] -> S[1024] on bar[0]
    }
    await bar[0], 0
    for i: int32 in int32(16) {
      let n: int32 = i * 128 + t
      let from: int32 = select(n < 512, n ^ (n // 64 % 8 << 3), n)
      D[n] = select(n >= 1536, float16(0.0), select(n < 512, S[from], S[select(n < 1024, n + 512, n)]))
    }
    for i: int32 in int32(4) { F[i * 128 + t] = cast<float32>(i * 128 + t) }
    fence(kind=async_proxy)
    barrier
    if t == 0 {
      tensor_copy(box=[16, 32], op="add") F[0] -> C[12, 0]
    }
    async_commit(queue=store)
    async_wait(pending=0, queue=store, sources=true)
  }
}
"""


@pytest.mark.cxx
@pytest.mark.parametrize("mode", MODES)
def test_boxes_and_runs_arrive_and_are_added(mode: str) -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(-9, 9, (5, 6, 64)).astype(np.float16)
    b = rng.integers(-9, 9, 2048).astype(np.float16)
    c, d = np.ones((24, 32), np.float32), np.full(2048, np.nan, np.float16)
    assert not found_by(LOAD_AND_STORE, a, b, c, d, mode=mode)
    box = np.zeros((8, 64), np.float16)
    box[:3] = a[4, 3:]
    np.testing.assert_array_equal(d[:512], box.reshape(-1))
    np.testing.assert_array_equal(d[1024:1536], b[64:576])
    expected = np.ones((24, 32), np.float32)
    expected[12:] += np.arange(12 * 32).reshape(12, 32)
    np.testing.assert_array_equal(c, expected)


ROLES = """
kernel k(A: global int32[128], B: global int32[128]) {{
  launch k(bx: int32 in int32(1)) threads(t: int32 in 128) {{
    roles {{
      {roles}
    }}
  }}
}}
"""


@pytest.mark.cxx
@settings(max_examples=8)
@given(st.lists(st.sampled_from([1, 7, 16, 32, 64]), min_size=1, max_size=4), st.integers(0, 40), st.booleans())
def test_each_thread_does_what_its_role_does(sizes: list[int], first: int, aligned: bool) -> None:
    """Roles of whole warps and of others, with threads that have none before, between and after them."""
    expected_role, expected_thread, texts = np.zeros(128, np.int32), np.zeros(128, np.int32), []
    at = first // 32 * 32 if aligned else first
    for number, size in enumerate(sizes):
        size = -(-size // 32) * 32 if aligned else size
        if at + size > 128:
            break
        texts.append(
            f"role r{number}(first={at}, threads={size}) n{number}: int32 {{ "
            f"A[{at} + n{number}] = {number + 1} B[{at} + n{number}] = n{number} }}"
        )
        expected_role[at : at + size], expected_thread[at : at + size] = number + 1, np.arange(size)
        at += size + (0 if number % 2 else 32 if aligned else 3)
    a, b = np.zeros(128, np.int32), np.zeros(128, np.int32)
    text = ROLES.format(roles="\n".join(texts))
    assert not found_by(text, a, b)
    np.testing.assert_array_equal(a, expected_role)
    np.testing.assert_array_equal(b, expected_thread)
    uses_warps = "tds::warp_uniform" in built(text).source.text
    assert uses_warps if aligned and texts else True


def test_what_no_role_uses_is_not_declared() -> None:
    """NVRTC warns of variables that nobody reads; and a block of part of a warp has no number for all its lanes."""
    first, second = (
        "role a(first=0, threads=32) m: int32 {{ A[0] = 1 }}",
        "role b(first=32, threads={}) n: int32 {{ A[1] = 2 }}",
    )
    roles = f"roles {{{{ {first} {second} }}}}"
    launch = "launch k(b: int32 in int32(1)) threads(t: int32 in {})"
    for threads in (64, 40):
        text = f"kernel k(A: global int32[4]) {{ {launch.format(threads)} {{ {roles.format(threads - 32)} }} }}"
        source = emit(parse(text))
        assert ("tds::warp_uniform" in source.text) == (threads == 64)
        assert source.text.count("thread_index") == 1
        if find_spec("cuda"):
            assert "warning" not in compile_for(source, "sm_90a").log


DESCRIPTOR = """
kernel k(out: global uint64[32], P: global int32[4]) {{
  launch k(bx: int32 in int32(1)) threads(t: int32 in 32) shared_bytes(131072) {{
    slot S = 1024
    alloc S: shared float16[8192] versions(3)
    let s: int32 = P[0] % 3
    out[t] = descriptor(S@(s)[{offset}], {leading}, {stride}, {swizzle})
  }}
}}
"""
OFFSETS = ("t * 64 + 512", "t // 4 * 1024 + t % 4 * 16", "t * 8", "(t ^ 3) * 8", "(t + 2) * 8 - 16", "t << 3", "64")


@pytest.mark.cxx
@pytest.mark.parametrize("offset", OFFSETS)
@settings(max_examples=3)
@given(st.integers(0, 1023), st.integers(0, 1023), st.sampled_from([0, 32, 64, 128]), st.integers(0, 2))
def test_descriptors_are_those_of_the_table(offset: str, leading: int, stride: int, swizzle: int, version: int) -> None:
    text = DESCRIPTOR.format(offset=offset, leading=16 * leading, stride=16 * stride, swizzle=swizzle)
    out = np.zeros(32, np.uint64)
    found_by(text, out, np.array([version + 3] * 4, np.int32))
    for t in range(32):
        at = SHARED_BASE + 1024 + 2 * (8192 * version + eval(offset, {"t": t}))
        wanted = Descriptor(at // 16 * 16, 16 * leading, 16 * stride, mode_of(swizzle)).encode()
        assert int(out[t]) == wanted


VARIABLES = [Var("a", INT32), Var("b", INT32)]
MULTIPLES = st.recursive(
    st.one_of(
        st.integers(-64, 64).map(i32),
        st.tuples(st.sampled_from(VARIABLES), st.integers(-64, 64)).map(lambda x: Binary("*", x[0], i32(x[1]))),
        st.sampled_from(VARIABLES),
    ),
    lambda inner: st.tuples(st.sampled_from("+-"), inner, inner).map(lambda x: Binary(*x)),
    max_leaves=4,
)


def value_of(e: Expr, values: dict[Var, int]) -> int:
    match e:
        case Const(value):
            return int(value)
        case Var():
            return values[e]
        case Binary(op, a, b):
            x, y = value_of(a, values), value_of(b, values)
            return x + y if op == "+" else x - y if op == "-" else x * y
    raise AssertionError(e)


@given(MULTIPLES, st.sampled_from([1, 2, 16]), st.integers(-100, 100), st.integers(-100, 100))
def test_a_quotient_of_summands_is_exact(e: Expr, by: int, a: int, b: int) -> None:
    values = dict(zip(VARIABLES, (a, b)))
    quotient = divided(e, by)
    if quotient is not None:
        assert value_of(quotient, values) * by == value_of(e, values)
    assert divided(Binary("+", Binary("*", VARIABLES[0], i32(32)), i32(48)), 16) is not None
