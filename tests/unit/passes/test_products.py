"""Where products are issued and waited for, in loops whose tiles another role copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, For, Serial
from tiledsl.ir.walk import statements


def gradients(dependent: bool) -> Any:
    """As in attention's backward pass: work on one product, then another one, of tiles alone or of that work."""
    policy = T.GemmWarpPolicy.FullRow

    @tiledsl.kernel(out_idx=-1, target="sm_90a")
    def gradients(
        A: T.Tensor((128, 64), T.float16),
        B: T.Tensor((256, 64), T.float16),
        C: T.Tensor((256, 64), T.float16),
        R: T.Tensor((128, 64), T.float32),
    ):
        with T.Kernel(1, threads=256):
            A_shared = T.alloc_shared((128, 64), T.float16)
            B_shared = T.alloc_shared((64, 64), T.float16)
            C_shared = T.alloc_shared((64, 64), T.float16)
            P = T.alloc_fragment((128, 64), T.float32)
            half = T.alloc_fragment((128, 64), T.float16)
            change = T.alloc_fragment((128, 64), T.float16)
            S = T.alloc_fragment((128, 64), T.float32)
            total = T.alloc_fragment((128, 64), T.float32)
            T.copy(A, A_shared)
            T.clear(total)
            for k in T.Pipelined(4, num_stages=2):
                T.copy(B[k * 64, 0], B_shared)
                T.gemm(A_shared, B_shared, P, transpose_B=True, clear_accum=True, policy=policy)
                for i, j in T.Parallel(128, 64):
                    half[i, j] = P[i, j] * 2.0
                T.copy(C[k * 64, 0], C_shared)
                if dependent:
                    T.gemm(half, C_shared, S, clear_accum=True, policy=policy)
                else:
                    T.gemm(A_shared, C_shared, S, transpose_B=True, clear_accum=True, policy=policy)
                for i, j in T.Parallel(128, 64):
                    change[i, j] = S[i, j] * half[i, j]
                T.gemm(change, C_shared, total, policy=policy)
            T.copy(total, R)

    return gradients


def schedule(dependent: bool) -> list[str]:
    """Commits of products, and waits with the number that may pend, in the order of the loop."""
    k = gradients(dependent).compile().lowered.after("insert-fences")
    loops = (s for s in statements(k) if isinstance(s, For) and isinstance(s.kind, Serial))
    (body,) = (s.body for s in loops if any(isinstance(x, AsyncCommit) for x in s.body))
    found = [s for s in body if isinstance(s, AsyncCommit | AsyncWait)]
    return ["commit" if isinstance(s, AsyncCommit) else f"wait {s.pending}" for s in found]


def test_a_product_of_tiles_is_issued_before_the_work_that_it_does_not_need() -> None:
    assert schedule(dependent=False)[:4] == ["commit", "commit", "commit", "wait 2"]
    assert schedule(dependent=True)[:3] == ["commit", "wait 0", "commit"]


@pytest.mark.cxx
@pytest.mark.parametrize("dependent", [False, True])
def test_it_computes_the_same(dependent: bool) -> None:
    rng = np.random.default_rng(0)
    A, B, C = (rng.integers(-1, 2, shape).astype(np.float16) for shape in ((128, 64), (256, 64), (256, 64)))
    result = gradients(dependent).check(A, B, C, schedules=3)
    assert result.ok, result
