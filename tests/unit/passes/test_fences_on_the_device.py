"""Global memory that threads and the copy engine write in turn, through all passes and on the checked CPU device."""

from __future__ import annotations

import pytest

import tiledsl
import tiledsl.language as T

pytestmark = pytest.mark.cxx


@tiledsl.kernel
def twice(A: T.Tensor((64, 64), T.float16), out: T.Tensor((64, 64), T.float16)):
    with T.Kernel(1, threads=128):
        tile = T.alloc_shared((64, 64), T.float16)
        T.copy(A, tile)
        for i, j in T.Parallel(64, 64):
            out[i, j] = T.cast(0, T.float16)
        T.copy(tile, out)


FENCE = "tds::fence_proxy_async_global();"


def test_a_tile_is_stored_over_what_threads_wrote() -> None:
    kernel = twice.compile(target="sm_90a")
    text = kernel.lowered.source.text
    assert text.count(FENCE) == 1 and "tds::bulk_store(" in text
    result = kernel.check(schedules=6)
    assert not result.findings, str(result)
    unfenced = kernel.with_source(text.replace(FENCE, "")).check(schedules=3)
    assert {f.code for f in unfenced.findings} == {"TD0815"}
