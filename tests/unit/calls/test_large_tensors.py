"""Tensors of more than 2^31 elements: offsets are 64 bits wide where they need to be, and sizes fit or are refused.

The memory is reserved, not used: only pages that a kernel touches exist.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.backends import Backend, run_on_cpu
from tiledsl.errors import TileError
from tiledsl.runtime.arguments import bind

ROWS, COLUMNS = (1 << 16) + 3, 1 << 15
LONG = ROWS * COLUMNS  # 2^31 + 3 * 2^15
NORESERVE = 0x4000 if sys.platform == "linux" else 0  # asm-generic/mman.h; Python has had its name since 3.13


def reserved(shape: tuple[int, ...], dtype: str = "int8") -> Any:
    """Zeros that take no memory until they are written."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE} if hasattr(mmap, "MAP_PRIVATE") else {}
    return np.frombuffer(mmap.mmap(-1, size, **flags), dtype).reshape(shape)


@tiledsl.kernel(target="sm_90a")
def elements(A: T.Tensor((ROWS, COLUMNS), "int8"), B: T.Tensor((ROWS, COLUMNS), "int8")):
    with T.Kernel(2, threads=128) as b:
        for i in T.Parallel(512):
            B[ROWS - 2 + b, i] = A[ROWS - 2 + b, COLUMNS - 1 - i]


@tiledsl.kernel(target="sm_90a")
def one_dimension(A: T.Tensor((LONG,), "int8"), B: T.Tensor((LONG,), "int8")):
    with T.Kernel(2, threads=128) as b:
        for i in T.Parallel(512):
            B[(ROWS - 2 + b) * COLUMNS + i] = A[(ROWS - 1 + b) * COLUMNS - 1 - i]


m, n = T.dynamic("m, n")


@tiledsl.kernel(target="sm_90a")
def tiles(A: T.Tensor((m, n), "int8"), B: T.Tensor((m, n), "int8")):
    with T.Kernel(2, threads=128) as b:
        S = T.alloc_shared((1, 512), "int8")
        T.copy(A[m - 2 + b, n - 512], S)
        T.copy(S, B[m - 2 + b, 0])


@tiledsl.kernel(target="sm_90a")
def strided(A: T.StridedTensor((3, n), (1 << 30, 1), "int8"), B: T.StridedTensor((3, n), (1 << 30, 1), "int8")):
    with T.Kernel(2, threads=128) as b:
        S = T.alloc_shared((1, 512), "int8")
        T.copy(A[b + 1, n - 512], S)
        T.copy(S, B[b + 1, 0])


def arguments(kernel: Any) -> tuple[Any, Any]:
    shape = (LONG,) if kernel is one_dimension else (3, 1 << 30) if kernel is strided else (ROWS, COLUMNS)
    a, b = reserved(shape), reserved(shape)
    if kernel is strided:
        a, b = a[:, :1000], b[:, :1000]
    rows = a[-2:] if a.ndim == 2 else a.reshape(ROWS, COLUMNS)[-2:]
    rows[:, -512:] = np.random.default_rng(0).integers(-128, 128, (2, 512))
    return a, b


def expected(kernel: Any, a: Any) -> Any:
    rows = a[-2:, -512:] if a.ndim == 2 else a.reshape(ROWS, COLUMNS)[-2:, -512:]
    return rows[:, ::-1] if kernel is elements or kernel is one_dimension else rows


@pytest.mark.skipif(not NORESERVE, reason="memory cannot be reserved without being used")
@pytest.mark.cxx
@pytest.mark.parametrize("kernel", [elements, one_dimension, tiles, strided], ids=lambda k: k.fn.__name__)
def test_values_beyond_two_to_the_31(kernel: Any) -> None:
    for backend in ("tile", "simt", "cpu"):
        a, b = arguments(kernel)
        kernel(a, b, backend=backend)
        found = b[-2:, :512] if b.ndim == 2 else b.reshape(ROWS, COLUMNS)[-2:, :512]
        assert np.array_equal(found, expected(kernel, a)), backend
        assert not b[0].any()  # where an offset would be that had wrapped


@pytest.mark.skipif(not NORESERVE, reason="memory cannot be reserved without being used")
@pytest.mark.cxx
def test_a_narrow_offset_is_noticed() -> None:
    compiled = elements.compile()
    text = compiled.lowered.source.text
    narrow = compiled.with_source(text.replace("tds::i64", "tds::i32").replace("ll)", ")"))
    assert narrow.lowered.source.text != text
    a, b = arguments(elements)
    bound = bind(compiled.lowered.signature, (a, b), {})
    run_on_cpu(compiled.lowered, bound, Backend.CPU, check=True)
    with pytest.raises(TileError) as caught:
        run_on_cpu(narrow.lowered, bound, Backend.CPU, check=True)
    assert caught.value.code == "TD0802"


def test_a_size_that_is_no_int32_is_refused_before_the_launch() -> None:
    size = 1 << 31

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((n,), "int8")):
        with T.Kernel(1, threads=32):
            for i in T.Parallel(32):
                A[i] = 1

    kept = np.zeros(16, np.int8)
    whole = np.lib.stride_tricks.as_strided(kept, (size,), (1,))
    for backend in ("tile", "simt", "cpu"):
        with pytest.raises(TileError, match="n") as caught:
            kernel(whole, backend=backend)
        assert caught.value.code == "TD0604"
    assert not kept.any()
