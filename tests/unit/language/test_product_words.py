"""T.mma_store, T.ptx_wgmma_ss, T.ptx_wgmma_rs: products land where they are said to; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiledsl
import tiledsl.language as T
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.frontend.typenames import dtype_named

# ---------------------------------------------------------------------------------------------------- mma_store


def storing(shape: tuple[int, ...], at: tuple[int, ...], n: int, stride: int, dtype: str) -> Any:
    @tiledsl.kernel
    def kernel(A: T.Tensor((16, 16), "float16"), B: T.Tensor((8, 16), "float16"), C: T.Tensor(shape, dtype)):  # type: ignore[no-untyped-def]
        with T.Kernel(1, threads=32):
            lane = T.get_lane_idx()
            a, b, c = T.alloc_local((8,), "float16"), T.alloc_local((4,), "float16"), T.alloc_local((12,), "float32")
            T.clear(c)
            A_shared, B_shared = T.alloc_shared((16, 16), "float16"), T.alloc_shared((8, 16), "float16")
            T.copy(A, A_shared)
            T.copy(B, B_shared)
            T.ptx_ldmatrix("float16", False, 4, ".b16", a, 0, A_shared[lane % 16, lane // 16 * 8])
            T.ptx_ldmatrix("float16", False, 2, ".b16", b, 0, B_shared[lane % 8, lane // 8 % 2 * 8])
            T.ptx_mma("float32", "m16n8k16", "row", "col", "fp16", "fp16", "fp32", a, 0, b, 0, c, 4)
            T.mma_store(dtype, 16, n, C[at], c, 4, stride)

    return kernel


@given(
    st.sampled_from(["float32", "float16", "int32"]), st.sampled_from([8, 16]), st.integers(0, 3), st.integers(0, 9),
    st.integers(0, 5), st.booleans(), st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=20)
def test_results_land_in_their_rows(
    dtype: str, n: int, more: int, row: int, column: int, by_stride: bool, lead: int
) -> None:
    """Rows are those of the tensor, or `stride` elements of it taken row by row."""
    width = column + n + more
    stride = n + more if by_stride else width
    shape = (lead, row + 16 + 2, width)
    at = (lead - 1, row, column) if not by_stride else (0, 0, column)
    rng = np.random.default_rng(0)
    a, b = rng.integers(-2, 3, (16, 16)).astype(np.float16), rng.integers(-2, 3, (8, 16)).astype(np.float16)
    c = np.full(shape, 77, numpy_dtype(dtype_named(dtype)))
    expected = c.copy()
    product = np.zeros((16, n))
    product[:, :8] = a.astype(np.float64) @ b.astype(np.float64).T
    start = int(np.ravel_multi_index(at, shape))
    for y in range(16):
        for x in range(n):
            where = start + y * stride + x
            if where < expected.size:
                expected.reshape(-1)[where] = product[y, x]
    storing(shape, at, n, stride, dtype)(a, b, c, backend="tile")
    np.testing.assert_array_equal(c, expected)


def storing_wrong(call: Callable[..., None]) -> None:
    def kernel(C: T.Tensor((32, T.dynamic("n")), "float32"), D: T.Tensor((32, 8), "float16")) -> None:
        with T.Kernel(1, threads=32):
            c, f = T.alloc_local((8,), "float32"), T.alloc_fragment((16, 16), "float32")
            call(C, D, c, f)

    trace_kernel(kernel, {}, {})


WRONG_STORES: dict[str, tuple[Callable[..., None], str]] = {
    "8 rows": (lambda C, D, c, f: T.mma_store("float32", 8, 8, C[0, 0], c, 0, 16), "TD0270"),
    "rows that overlap": (lambda C, D, c, f: T.mma_store("float16", 16, 16, D[0, 0], c, 0, 12), "TD0226"),
    "another length of dynamic rows": (lambda C, D, c, f: T.mma_store("float32", 16, 8, C[0, 0], c, 0, 8), "TD0226"),
    "another dtype": (lambda C, D, c, f: T.mma_store("float32", 16, 8, D[0, 0], c, 0, 8), "TD0226"),
    "to registers": (lambda C, D, c, f: T.mma_store("float32", 16, 8, c[0], c, 0, 8), "TD0219"),
    "from a fragment": (lambda C, D, c, f: T.mma_store("float16", 16, 8, D[0, 0], f, 0, 8), "TD0219"),
    "no place": (lambda C, D, c, f: T.mma_store("float16", 16, 8, D, c, 0, 8), "TD0235"),
    "no registers": (lambda C, D, c, f: T.mma_store("float16", 16, 8, D[0, 0], 3, 0, 8), "TD0235"),
}


@pytest.mark.parametrize(("call", "code"), WRONG_STORES.values(), ids=WRONG_STORES)
def test_stores_that_are_refused(call: Callable[..., None], code: str) -> None:
    with pytest.raises(TileError) as caught:
        storing_wrong(call)
    assert caught.value.code == code and caught.value.span.file == __file__


def test_rows_as_long_as_the_call_says() -> None:
    def body(C: Any, D: Any, c: Any, f: Any) -> None:
        T.mma_store("float32", 16, 8, C[0, 8], c, 0, C.shape[1])

    storing_wrong(body)


# ------------------------------------------------------------------------------------------------------- wgmma

NAMES = {"float16": "fp16", "bfloat16": "bf16", "tfloat32": "tf32", "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2"}


def place(tile: Any, k: int, along_k: bool) -> tuple[Any]:
    return (tile[0, k] if along_k else T.address_of(tile[k, 0]),)


def products(a: str, b: str, d: str, n: int, groups: int, majors: tuple[bool, bool], registers: bool) -> Any:
    """Two steps along k, of which the first overwrites the sums; B lies in the lower right of its tile."""
    held = {t: "float32" if t == "tfloat32" else t for t in (a, b)}
    k = 256 // dtype_named(held[a]).bits
    m = 64 * groups
    a_shape = (m, 2 * k) if majors[0] else (2 * k, m)
    b_shape = (n + 8, 4 * k) if majors[1] else (4 * k, n + 8 if n % 16 == 8 else n + 64)
    prefix, short = f"m64n{n}k{k}", (NAMES.get(a, a), NAMES.get(b, b), d)

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor(a_shape, held[a]), B: T.Tensor(b_shape, held[b]), C: T.Tensor((m, n), d)):  # type: ignore[no-untyped-def]
        with T.Kernel(1, threads=128 * groups):
            A_shared, B_shared = T.alloc_shared(a_shape, held[a]), T.alloc_shared(b_shape, held[b])
            c = T.alloc_fragment((m, n), d)
            T.copy(A, A_shared)
            T.copy(B, B_shared)
            parts = []
            for step in [0, 1] if registers else []:
                part = T.alloc_fragment((m, k), held[a])
                T.copy(A_shared[:, step * k : (step + 1) * k], part)
                parts.append(part)
            T.clear(c)
            for step in [0, 1]:
                y = place(B_shared, (step + 2) * k, majors[1])
                if registers:
                    T.ptx_wgmma_rs(d, prefix, majors[1], *short, parts[step], 0, *y, 0, c, 0, step > 0)
                else:
                    x = place(A_shared, step * k, majors[0])
                    T.ptx_wgmma_ss(d, prefix, *majors, *short, *x, 0, *y, 0, c, 0, step > 0)
            T.warpgroup_commit_batch()
            T.warpgroup_wait(0)
            T.copy(c, C)

    return kernel, a_shape, b_shape, (m, n, k)


KINDS: dict[str, tuple[Any, ...]] = {
    "float16": ("float16", "float16", "float32", 64, 1, (True, True), False),
    "float16-of-either-order": ("float16", "float16", "float16", 64, 1, (False, False), False),
    "two-warpgroups": ("bfloat16", "bfloat16", "float32", 24, 2, (True, True), False),
    "from-registers": ("float16", "float16", "float32", 128, 1, (True, True), True),
    "tf32": ("tfloat32", "tfloat32", "float32", 16, 1, (True, True), False),
    "bytes": ("int8", "uint8", "int32", 32, 1, (True, True), True),
    "eight-bits": ("float8_e4m3fn", "float8_e5m2", "float32", 8, 1, (True, True), False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_warpgroup_multiplies_by_single_instructions(kind: str) -> None:
    kernel, a_shape, b_shape, (m, n, k) = products(*KINDS[kind])
    a_name, b_name, d, _, _, majors, registers = KINDS[kind]
    compiled = kernel.compile()
    call = f"wgmma_m64n{n}k{k}"
    used = [line for line in compiled.ir(after="lower-tiles").splitlines() if call in line]
    assert len(used) == 2 and all(("_rs(" if registers else "_ss(") in line for line in used)
    rng = np.random.default_rng(0)
    low = {"uint8": 0}
    types = ["float32" if t == "tfloat32" else t for t in (a_name, b_name)]
    arrays = [
        rng.integers(low.get(t, -2), 3, shape).astype(numpy_dtype(dtype_named(t)))
        for t, shape in zip(types, (a_shape, b_shape))
    ]
    x, y = (v.astype(np.float64) for v in arrays)
    x, y = (x if majors[0] else x.T), (y.T if majors[1] else y)
    expected = x @ y[2 * k : 4 * k, :n]
    for backend in ("tile", "simt"):
        found = np.zeros((m, n), numpy_dtype(dtype_named(d)))
        compiled(*arrays, found, backend=backend)
        np.testing.assert_array_equal(found.astype(np.float64), expected, backend)


def refused(call: Callable[..., None]) -> TileError:
    def kernel(A: T.Tensor((64, 64), "float16")) -> None:
        with T.Kernel(1, threads=128):
            S, F = T.alloc_shared((64, 64), "float16"), T.alloc_fragment((64, 16), "float16")
            c, half = T.alloc_fragment((64, 64), "float32"), T.alloc_fragment((64, 64), "float16")
            T.copy(A, S)
            call(S, F, c, half)

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    return caught.value


def ss(
    prefix: str = "m64n64k16",
    types: tuple[str, ...] = ("fp16", "fp16", "fp32"),
    dtype: str = "float32",
    a: str = "S",
    c: str = "c",
    offset: int = 0,
    scale: Any = True,
    sign: int = 1,
) -> Callable[..., None]:
    def call(S: Any, F: Any, c_: Any, half: Any) -> None:
        known = {"S": S[0, 0], "all": S, "F": F, "c": c_, "half": half, "part": S[0:32, 0:16]}
        at = T.alloc_var("int32", 1) if scale == "traced" else scale
        tiles = (known[a], offset, S[0, 0], 0, known[c], 0)
        T.ptx_wgmma_ss(dtype, prefix, True, True, *types, *tiles, at, 1, sign)

    return call


def rs(S: Any, F: Any, c: Any, half: Any) -> None:
    T.ptx_wgmma_rs("float32", "m64n64k16", True, "fp16", "fp16", "fp32", S[0, 0], 0, S[0, 0], 0, c, 0, True)


WRONG: dict[str, tuple[Callable[..., None], str]] = {
    "no instruction": (ss("m64n63k16"), "TD0270"),
    "another k": (ss("m64n64k32"), "TD0270"),
    "no prefix": (ss("n64"), "TD0270"),
    "other types": (ss(types=("fp16", "bf16", "fp32")), "TD0270"),
    "sums of another type": (ss(dtype="float16"), "TD0226"),
    "another dtype of a tile": (ss(types=("bf16", "bf16", "fp32")), "TD0226"),
    "another dtype of the sums": (ss(c="half"), "TD0226"),
    "the whole tile": (ss(a="all"), "TD0226"),
    "a part that is too small": (ss(a="part"), "TD0226"),
    "beyond the tile": (ss("m64n72k16"), "TD0247"),
    "A in registers": (ss(a="F"), "TD0219"),
    "sums in shared memory": (ss(c="S"), "TD0219"),
    "an offset": (ss(offset=4), "TD0226"),
    "negated": (ss(sign=-1), "TD0226"),
    "a sign that the kernel computes": (ss(scale="traced"), "TD0226"),
    "A in shared memory": (rs, "TD0219"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "code"), WRONG.values(), ids=WRONG)
def test_misuse_is_refused(call: Callable[..., None], code: str) -> None:
    found = refused(call)
    assert found.code == code and found.span.file == __file__


def test_other_targets_make_the_product_by_warps() -> None:
    kernel, a_shape, b_shape, (m, n, k) = products(*KINDS["float16"])
    compiled = kernel.compile(target="sm_80")
    assert "mma_m16n8k16" in compiled.source and "wgmma" not in compiled.source
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, shape).astype(np.float16) for shape in (a_shape, b_shape))
    c = np.zeros((m, n), np.float32)
    compiled(a, b, c, backend="simt")
    np.testing.assert_array_equal(c, a.astype(np.float32) @ b[:n, 2 * k : 4 * k].astype(np.float32).T)
