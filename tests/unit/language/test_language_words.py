"""What single words build: a table of bodies and their IR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.nodes import Launch, Space
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.language.unsupported import UNSUPPORTED

A_, B_ = T.Tensor((64, 48), "float16"), T.Tensor((3, 64, 48), "float32")
N = 4

CASES: list[tuple[Callable[..., None], str]] = []


def builds(*lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(fn: Callable[..., None]) -> Callable[..., None]:
        CASES.append((fn, "\n".join(lines)))
        return fn

    return add


@builds("alloc S: shared float16[16, 48]", "copy A[bx * 16 : 16, 0 : 48] -> S")
def start_takes_extents_of_the_other_side(A: A_, B: B_):
    with T.Kernel(N) as bx:
        S = T.alloc_shared((16, 48), A.dtype)
        T.copy(A[bx * 16, 0], S)


@builds("alloc S: shared float32[16, 48]", "copy B[bx, 16 : 16, 0 : 48] -> S")
def an_index_drops_a_dimension(A: A_, B: B_):
    with T.Kernel(3) as bx:
        S = T.alloc_shared((16, 48), "float32")
        T.copy(B[bx, 16:32, :], S)


@builds("alloc S: shared float32[1, 64, 48]", "copy B[bx, 0 : 64, 0 : 48] -> S")
def missing_indices_take_whole_dimensions(A: A_, B: B_):
    with T.Kernel(3) as bx:
        S = T.alloc_shared((1, 64, 48), "float32")
        T.copy(B[bx], S[0, :, :])


@builds("A[bx, 47] = cast<float16>(B[0, 63, 1])")
def two_starts_copy_an_element_and_negative_indices_count_from_the_end(A: A_, B: B_):
    with T.Kernel(N) as bx:
        T.copy(B[0, -1, 1], A[bx, -1])


@builds("alloc S: shared float32[16, 48]", "let row = bx * 16", "copy B[2, row : 16, 0 : 48] -> S")
def ellipsis_takes_the_dimensions_between(A: A_, B: B_):
    with T.Kernel(N) as bx:
        S = T.alloc_shared((16, 48), "float32")
        row = bx * 16
        T.copy(B[2, row : row + 16, ...], S)


@builds(
    "alloc X: shared float16[32, 64]",
    "alloc Y: shared float16[2, 48, 32]",
    "alloc C: fragment float32[64, 48]",
    "gemm(transpose_a, transpose_b, clear, policy=full_col) X, Y[bx, 0 : 48, 0 : 32], C",
)
def gemm_of_transposed_slices(A: A_, B: B_):
    with T.Kernel(2) as bx:
        X = T.alloc_shared((32, 64), "float16")
        Y = T.alloc_shared((2, 48, 32), "float16")
        C = T.alloc_fragment((64, 48), "float32")
        T.gemm(X, Y[bx, :, :], C, True, transpose_B=True, policy=T.GemmWarpPolicy.FullCol, clear_accum=True)


@builds("alloc v: var float32 = 2.0", "v = 0.0", "v = v + cast<float32>(A[0, 0])")
def variables_are_cleared_and_added_to(A: A_, B: B_):
    with T.Kernel(1):
        v = T.alloc_var("float32", 2)
        T.clear(v)
        v += A[0, 0]


@builds("let x: float16 = A[0, 0]", "let x_1: float16 = x * 2.0", "A[0, 0] = x_1")
def binding_again_makes_a_fresh_value(A: A_, B: B_):
    with T.Kernel(1):
        x = A[0, 0]
        x = x * 2
        A[0, 0] = x


@builds("let previous: float32 = atomic_update(max, order=seq_cst) B[0, 0, 0], 1.0", "B[0, 0, 1] = previous")
def atomics_return_the_old_value(A: A_, B: B_):
    with T.Kernel(1):
        old = T.atomic_max(B[0, 0, 0], 1, "seq_cst", return_prev=True)
        B[0, 0, 1] = old


@builds("for k in 5 pipelined(stages=2, order=[0], stage=[0]) {", "  B[0, 0, 3 + k] = 1.0", "}")
def pipelines_have_a_start_and_a_schedule(A: A_, B: B_):
    with T.Kernel(1):
        for k in T.Pipelined(3, 8, num_stages=2, order=[0], stage=[0]):
            B[0, 0, k] = 1


@builds(
    "parallel(width=4) i in 16, j in 48 {",
    "  if i < 3 and j < 5 {",
    "    A[i, j] = select(A[i, j] > 0.0, A[i, j], 0.0)",
    "  }",
    "}",
)
def parallel_loops_have_a_width(A: A_, B: B_):
    with T.Kernel(1):
        for i, j in T.Parallel(16, 48, coalesced_width=4):
            if i < 3 and j < 5:
                A[i, j] = T.if_then_else(A[i, j] > 0, A[i, j], 0)


@builds('print "x =", B[0, 0, 0]', 'print "A" of A', 'assert B[0, 0, 0] >= 0.0, "negative"', "assume B[0, 0, 0] < 5.0")
def debugging(A: A_, B: B_):
    with T.Kernel(1):
        T.print(B[0, 0, 0], "x =")
        T.print(A)
        T.device_assert(B[0, 0, 0] >= 0, "negative")
        T.assume(B[0, 0, 0] < 5)


def launch_of(fn: Callable[..., None]) -> Launch:
    kernel = trace_kernel(fn, {}, {})
    verify(kernel)
    return kernel.launches[0]


@pytest.mark.parametrize(("fn", "expected"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_words_build(fn: Any, expected: str) -> None:
    lines = text(launch_of(fn)).rstrip().splitlines()
    assert [line.removeprefix("  ") for line in lines[1:-1]] == expected.splitlines()


def test_annotations_reach_the_launch() -> None:
    def kernel(A: A_):
        with T.Kernel(N, threads=(16, 8)) as bx:
            S = T.alloc_shared((64, 48), "float16")
            F = T.alloc_fragment((128,), "float32")
            T.use_swizzle(8, order="column")
            T.annotate_layout({S: T.Layout((64, 48), lambda i, j: i * 50 + j), F: T.Fragment((128,), lambda i: (i, 0))})
            T.annotate_safe_value({A: -T.infinity(A.dtype)})
            T.annotate_min_blocks_per_sm(2)
            T.copy(A[bx, 0], S)

    launch = launch_of(kernel)
    assert launch.threads == (16, 8) and launch.min_blocks == 2
    assert launch.raster is not None and (launch.raster.panel, launch.raster.order) == (8, "column")
    assert [a.buffer.name for a in launch.layouts] == ["S", "F"]
    assert launch.safe_values[0].buffer.name == "A"


def test_kernels_may_have_three_dimensions_or_none() -> None:
    def three():
        with T.Kernel(2, 3, 4) as blocks:
            assert len(blocks) == 3

    def none():
        with T.Kernel():
            pass

    assert [v.name for v in launch_of(three).blocks] == ["bx", "by", "bz"]
    assert len(launch_of(none).blocks) == 1


def test_allocations_are_named_after_their_variables() -> None:
    def kernel():
        with T.Kernel(1):
            first, second = T.alloc_shared((4,), "int8"), T.alloc_local((2,), "int8")
            both = [T.alloc_fragment((8,), "int8") for _ in range(2)]
            T.clear(first)
            T.clear(both[1])
            T.alloc_barrier(128)
            assert second.shape == (2,)

    body = launch_of(kernel).body
    buffers = [s.buffer for s in body if hasattr(s, "buffer")]
    assert [b.name for b in buffers] == ["first", "second", "both", "both", "barrier"]
    assert [b.space for b in buffers] == [Space.SHARED, Space.LOCAL, Space.FRAGMENT, Space.FRAGMENT, Space.BARRIER]


@pytest.mark.parametrize("word", sorted(UNSUPPORTED))
def test_planned_words_name_themselves(word: str) -> None:
    assert not hasattr(T, word)
    with pytest.raises(TileError, match=word) as caught:
        getattr(T, word)
    assert caught.value.code == "TD0103" and caught.value.hint and caught.value.span.file == __file__


def test_unknown_words_suggest_a_close_one() -> None:
    with pytest.raises(TileError, match=r"no word 'reduce_sun'") as caught:
        _ = T.reduce_sun
    assert "T.reduce_sum" in caught.value.hint
