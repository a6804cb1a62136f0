"""What the words of roles, barriers and asynchronous work build, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import Launch
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same

A_ = T.Tensor((64, 64), "float16")

# What a body with S (shared), F (fragment), one barrier and three barriers builds.
CASES: list[tuple[Callable[..., None], str]] = []


def builds(*lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(fn: Callable[..., None]) -> Callable[..., None]:
        CASES.append((fn, "\n".join(lines)))
        return fn

    return add


@builds("await bar[0], 0", "await bar[0], 1", "await bars[bx], bx % 2", "await bars[bx], cast<index>(bx == 1)")
def waits(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.barrier_wait(bar)
    T.mbarrier_wait_parity(bar, 1)
    T.barrier_wait(bars[bx], bx % 2)
    T.barrier_wait(bars[bx], bx == 1)


@builds("arrive bar[0]", "arrive bars[2]", "arrive(copies) bar[0]", "arrive(bytes=64, by=one) bars[1]")
def arrivals(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.barrier_arrive(bar)
    T.mbarrier_arrive(bars[-1])
    T.cp_async_barrier_noinc(bar[0])
    T.mbarrier_arrive_expect_tx(bars[1], 64)


@builds("expect bar[0], 8192", "expect bar[0], bx * 16")
def expectations(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.mbarrier_expect_tx(bar, 8192)
    T.mbarrier_expect_tx(bar, bx * 16)


@builds("alloc mbarrier: barrier uint64[4] = 128", "await mbarrier[bx % 2 + 2], 0", "arrive mbarrier[1]")
def numbered_barriers(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.create_list_of_mbarrier([128, 128] * 2)
    T.mbarrier_wait_parity(mbarrier=bx % 2 + 2, parity=0)
    T.mbarrier_arrive(T.get_mbarrier(1))


@builds(
    "roles {",
    "  role ws1(first=128, threads=128, registers=240) t1 {",
    "    alloc F: fragment float32[64, 64]",
    "    fill F, 0.0",
    "    set_registers(count=160)",
    "  }",
    "}",
    "roles {",
    "  role ws0_1(first=0, threads=256) t0 {",
    "    fill S, 1.0",
    "    set_registers(count=24)",
    "  }",
    "}",
)
def registers(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    with T.ws(1):
        T.set_max_nreg(240, 1)
        T.clear(F)
        T.dec_max_nreg(160)
    with T.WarpSpecialize(0, 1):
        T.get_thread_binding()
        T.fill(S, 1)
        T.set_max_nreg(24, 0)


@builds(
    "roles {",
    "  role ws2(first=256, threads=128) t2 {",
    "    A[0, t2 + 256] = 1.0",
    "    A[1, (t2 + 256) % 32] = 1.0",
    "    A[(t2 + 256) // 32, 0] = 1.0",
    "    barrier",
    "    barrier(id=3, count=256)",
    "  }",
    "}",
)
def threads_of_a_role(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    with T.ws(2):
        A[0, T.get_thread_binding()] = 1
        A[1, T.get_lane_idx()] = 1
        A[T.get_warp_idx(), 0] = 1
        T.sync_threads()
        T.sync_threads(3, 256)


@builds(
    "expect bar[0], 8192",
    "bulk copy A -> S on bar[0]",
    "expect bars[1], 2048",
    "bulk copy A[16 : 16, 0 : 64] -> S[0 : 16, 0 : 64] on bars[1]",
    "bulk copy S -> A",
    "async_commit(queue=store)",
    "async_wait(pending=1, queue=store, sources)",
    "async_wait(pending=0, queue=store)",
    "async_commit(queue=store)",
)
def the_copy_engine(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.tma_copy(A, S, barrier=bar)
    T.tma_copy(A[16, 0], S[0:16, :], barrier=bars[1])
    T.tma_copy(S, A)
    T.tma_store_wait(1)
    T.tma_store_wait(0, read=False)
    T.tma_store_arrive()


@builds(
    "async copy(width=8) A -> S",
    "async_commit",
    "async_commit",
    "async_wait(pending=2)",
    "copy(engine=threads) A -> S",
    "fence(kind=async_proxy)",
)
def copies(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.async_copy(A, S, coalesced_width=8)
    T.ptx_commit_group()
    T.ptx_wait_group(2)
    T.copy(A, S, disable_tma=True)
    T.fence_proxy_async()


@builds(
    "gemm S, S, F",
    "async gemm S, S, F",
    "async_commit(queue=product)",
    "async gemm(transpose_b) S, S, F",
    "async_commit(queue=product)",
    "async_wait(pending=1, queue=product)",
    "async gemm(clear) S, S, F",
    "async_commit(queue=product)",
    "async_wait(pending=0, queue=product)",
    "async_wait(pending=2, queue=product)",
    "fence(kind=product)",
    "async_commit(queue=product)",
)
def products(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
    T.gemm(S, S, F, wg_wait=0)
    T.gemm(S, S, F, wg_wait=-1)
    T.gemm(S, S, F, transpose_B=True, wg_wait=1)
    T.wgmma_gemm(S, S, F, clear_accum=True)
    T.wait_wgmma(0)
    T.warpgroup_wait(2)
    T.warpgroup_arrive()
    T.warpgroup_commit_batch()
    T.warpgroup_fence_operand(F)


GIVEN = (
    "alloc S: shared float16[64, 64]",
    "alloc F: fragment float32[64, 64]",
    "alloc bar: barrier uint64[1] = 128",
    "alloc bars: barrier uint64[3] = 128",
)


def kernel_of(body: Callable[..., None]) -> Launch:
    def kernel(A: A_) -> None:
        with T.Kernel(3, threads=384) as bx:
            S = T.alloc_shared((64, 64), "float16")
            F = T.alloc_fragment((64, 64), "float32")
            bar = T.alloc_barrier(128)
            bars = T.alloc_barrier([128, 128, 128])
            T.macro(body)(A, S, F, bar, bars, bx)

    made = trace_kernel(kernel, {}, {})
    verify(made)
    assert same(parse(text(made)), made)
    return made.launches[0]


@pytest.mark.parametrize(("body", "expected"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_words_build(body: Callable[..., None], expected: str) -> None:
    lines = [line.removeprefix("  ") for line in text(kernel_of(body)).rstrip().splitlines()[1:-1]]
    assert [line for line in lines if line not in GIVEN] == expected.splitlines()


def test_a_barrier_may_have_a_name() -> None:
    def body(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
        mine = bars[bx]
        other, again = bars[0], mine
        T.barrier_arrive(mine)
        T.barrier_arrive(other)
        T.barrier_arrive(again)

    lines = text(kernel_of(body)).splitlines()
    assert [line.strip() for line in lines if "arrive" in line] == [f"arrive bars[{i}]" for i in ("bx", "0", "bx")]


@pytest.mark.parametrize(
    ("words", "registers"),
    [
        ([], ()),
        ([T.no_set_max_nreg], (0, 0)),
        ([T.disable_warp_group_reg_alloc], (0, 0)),
        ([T.annotate_producer_reg_dealloc], (24, 0)),
        ([T.annotate_producer_reg_dealloc, T.annotate_consumer_reg_alloc], (24, 240)),
        ([lambda: T.annotate_consumer_reg_alloc(160)], (0, 160)),
    ],
)
def test_registers_of_roles_that_the_compiler_makes(
    words: list[Callable[[], None]], registers: tuple[int, ...]
) -> None:
    def kernel() -> None:
        with T.Kernel(1):
            for word in words:
                word()

    assert trace_kernel(kernel, {}, {}).launches[0].registers == registers


def test_what_a_role_allocates_is_its_own() -> None:
    def body(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
        with T.ws(0):
            own = T.alloc_fragment((64, 64), "float32")
            T.clear(own)

    (roles,) = (s for s in kernel_of(body).body if isinstance(s, Roles))
    assert [type(s).__name__ for s in roles.roles[0].body] == ["Alloc", "Fill"]


WRONG: list[tuple[Callable[..., object], str]] = [
    (lambda A, S, F, bar, bars, bx: T.ws().__enter__(), "TD0251"),
    (lambda A, S, F, bar, bars, bx: T.ws(bx), "TD0251"),
    (lambda A, S, F, bar, bars, bx: T.set_max_nreg(16, 0), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.set_max_nreg(64, 2), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.annotate_consumer_reg_alloc(250), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.alloc_barrier([1, 2]), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.alloc_barrier(1 << 20), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.alloc_barrier(0), "TD0221"),
    (lambda A, S, F, bar, bars, bx: T.get_mbarrier(0), "TD0250"),
    (lambda A, S, F, bar, bars, bx: T.barrier_wait(bars[3], 0), "TD0208"),
    (lambda A, S, F, bar, bars, bx: T.barrier_wait(bar, 0.5), "TD0209"),
    (lambda A, S, F, bar, bars, bx: T.barrier_arrive(bars[0:2]), "TD0250"),
    (lambda A, S, F, bar, bars, bx: T.mbarrier_expect_tx(bar, -16), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.mbarrier_arrive_expect_tx(bar, bx), "TD0220"),
    (lambda A, S, F, bar, bars, bx: T.print(bars[0]), "TD0202"),
    (lambda A, S, F, bar, bars, bx: T.print(bars), "TD0249"),
    (lambda A, S, F, bar, bars, bx: T.view(bars, (3,)), "TD0249"),
    (lambda A, S, F, bar, bars, bx: T.fill(bars, 0), "TD0249"),
    (lambda A, S, F, bar, bars, bx: bars.__setitem__(0, 1), "TD0249"),
    (lambda A, S, F, bar, bars, bx: bool(bars[0]), "TD0106"),
    (lambda A, S, F, bar, bars, bx: T.tma_copy(S, A, barrier=bar), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.tma_copy(A[0, 0], S[0, 0], barrier=bar), "TD0254"),
    (lambda A, S, F, bar, bars, bx: T.tma_copy(A, S[0:32, :], barrier=bar), "TD0213"),
    (lambda A, S, F, bar, bars, bx: T.tma_copy(A, S, barrier=bar, cluster_mask=2), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.barrier_arrive(bar, cluster_mask=3), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.mbarrier_arrive(bar, 1), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.mbarrier_arrive(bar, bx), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.async_copy(S, A), "TD0254"),
    (lambda A, S, F, bar, bars, bx: T.ptx_wait_group(bx), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.gemm(S, S, F, wg_wait=-2), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.wait_wgmma(-1), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.sync_threads(16), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.sync_threads(1, 48), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.Persistent([], 1, 0), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.Persistent([2], 0, 0), "TD0226"),
    (lambda A, S, F, bar, bars, bx: T.Persistent([2], 3, 0, group_size=0), "TD0226"),
]


@pytest.mark.parametrize(("call", "code"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_misuse_is_located(call: Callable[..., object], code: str) -> None:
    def body(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
        call(A, S, F, bar, bars, bx)

    with pytest.raises(TileError) as caught:
        kernel_of(body)
    assert caught.value.code == code and caught.value.span.file == __file__ and caught.value.hint


@pytest.mark.parametrize("word", [T.warpgroup_arrive, T.fence_proxy_async, T.tma_store_arrive, T.ptx_commit_group])
def test_no_word_for_the_whole_block_stands_in_a_parallel_loop(word: Callable[[], None]) -> None:
    def body(A: Any, S: Any, F: Any, bar: Any, bars: Any, bx: Any) -> None:
        for _ in T.Parallel(64):
            word()

    with pytest.raises(TileError, match=r"T\.Parallel"):
        kernel_of(body)
