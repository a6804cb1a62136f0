"""Products that are written out: the words of instructions, and the emitter over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiledsl
import tiledsl.language as T
from tiledsl.cpu import tile_interp
from tiledsl.cpu.toolchain import find_compiler
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import DTYPES
from tiledsl.isa.mma import MMA
from tiledsl.runtime.arguments import numpy_dtype


@dataclass(frozen=True)
class Product:
    """A GEMM of the emitter: blocks of `rows` x `columns` warps, each of `height` x `width` elements."""

    a: str = "float16"
    b: str = "float16"
    d: str = "float32"
    a_transposed: bool = False
    b_transposed: bool = True
    rows: int = 2
    columns: int = 1
    height: int = 16
    width: int = 16
    chunk: int = 32
    stages: int = 2
    m_first: bool = False
    swizzled: bool = False
    target: str = "sm_80"
    steps: int = 3


def kernel_of(p: Product) -> Any:
    how = (p.a, p.b, p.d, p.a_transposed, p.b_transposed, p.rows, p.columns, p.height, p.width, p.chunk)
    emitter = T.TensorCoreIntrinEmitter(*how, is_m_first=p.m_first)
    M, N, K = p.rows * p.height, p.columns * p.width, p.chunk
    a_tile, b_tile = (K, M) if p.a_transposed else (M, K), (N, K) if p.b_transposed else (K, N)
    along = p.steps * K
    a_shape = (along, 2 * M) if p.a_transposed else (2 * M, along)
    b_shape = (N, along) if p.b_transposed else (along, N)
    pieces = (M // emitter.micro_size_x, N // emitter.micro_size_y, emitter.micro_size_x, emitter.micro_size_y)

    @tiledsl.kernel(out_idx=-1, target=p.target)
    def product(A: T.Tensor(a_shape, p.a), B: T.Tensor(b_shape, p.b), C: T.Tensor((2 * M, N), p.d)):
        with T.Kernel(1, 2, threads=emitter.threads) as (_, by):
            A_shared, B_shared = T.alloc_shared(a_tile, p.a), T.alloc_shared(b_tile, p.b)
            C_shared = T.alloc_shared(pieces, p.d)
            A_local = T.alloc_local((emitter.warp_rows * emitter.local_size_a), p.a)
            B_local = T.alloc_local((emitter.warp_cols * emitter.local_size_b), p.b)
            C_local = T.alloc_local((emitter.warp_rows * emitter.warp_cols * emitter.local_size_out), p.d)
            if p.swizzled:
                layout = T.make_swizzled_layout
                T.annotate_layout({A_shared: layout(A_shared), B_shared: layout(B_shared)})
            T.clear(C_local)
            for ko in T.Pipelined(p.steps, num_stages=p.stages):
                row, k = (ko * K, by * M) if p.a_transposed else (by * M, ko * K)
                T.copy(A[row, k], A_shared)
                T.copy(B[0, ko * K] if p.b_transposed else B[ko * K, 0], B_shared)
                for ki in T.serial(K // emitter.micro_size_k):
                    emitter.ldmatrix_a(A_local, A_shared, ki)
                    emitter.ldmatrix_b(B_local, B_shared, ki)
                    emitter.mma(A_local, B_local, C_local)
            emitter.stmatrix(C_local, C_shared)
            x, y = emitter.micro_size_x, emitter.micro_size_y
            for i, j in T.Parallel(M, N):
                C[by * M + i, j] = C_shared[i // x, j // y, i % x, j % y]

    return product


def operands(p: Product, compiled: Any, seed: int = 0) -> tuple[Any, Any, Any]:
    """Small integers, whose sums every type holds exactly, and their product."""
    rng = np.random.default_rng(seed)
    shapes = [t.shape for t in compiled.lowered.signature.parameters[:2]]
    low = {t: 0 if t.startswith("u") else -2 for t in (p.a, p.b)}
    a, b = (rng.integers(low[t], 3, s).astype(numpy_dtype(t)) for t, s in zip((p.a, p.b), shapes))
    x, y = a.astype(np.float64), b.astype(np.float64)
    return a, b, (x.T if p.a_transposed else x) @ (y.T if p.b_transposed else y)


def check(p: Product, *backends: str) -> Any:
    compiled = kernel_of(p).compile()
    a, b, expected = operands(p, compiled)
    for backend in backends:
        np.testing.assert_array_equal(compiled(a, b, backend=backend).astype(np.float64), expected, backend)
    return compiled


SHOWN = {
    "float16": Product(swizzled=True),
    "bfloat16-TT": Product("bfloat16", "bfloat16", a_transposed=True, swizzled=True),
    "float16-sums-NN": Product(d="float16", b_transposed=False, width=24),
    "int8": Product("int8", "int8", "int32", columns=2, m_first=True),
    "int8-by-uint8-TN": Product("int8", "uint8", "int32", a_transposed=True, b_transposed=False, chunk=64),
    "e4m3": Product("float8_e4m3fn", "float8_e4m3fn", target="sm_89", height=32),
    "e5m2-on-hopper": Product("float8_e5m2", "float8_e4m3fn", target="sm_90a", width=32, chunk=64),
}


@pytest.mark.parametrize("name", SHOWN)
def test_products_are_the_product_in_every_execution(name: str) -> None:
    if find_compiler() is None:
        pytest.skip("no C++ compiler")
    compiled = check(SHOWN[name], "tile", "simt", "cpu")
    assert "ldmatrix" in compiled.source or SHOWN[name].a_transposed
    assert compiled.source.count("mma_m16n8k") >= 1


@st.composite
def products(draw: st.DrawFn) -> Product:
    rows = [row for row in MMA if row.name.split("_")[1] in ("m16n8k16", "m16n8k32")]
    d, a, b = (op.dtype.name for op in draw(st.sampled_from(rows)).operands)
    step = 256 // DTYPES[a].bits
    return Product(
        **{"a": a, "b": b, "d": d, "a_transposed": draw(st.booleans()), "b_transposed": draw(st.booleans())},
        **{"rows": draw(st.integers(1, 2)), "columns": draw(st.integers(1, 2)), "m_first": draw(st.booleans())},
        **{"height": draw(st.sampled_from([16, 32])), "width": draw(st.sampled_from([8, 16, 24, 32]))},
        **{"chunk": step * draw(st.integers(1, 2)), "stages": draw(st.integers(0, 2)), "target": "sm_89"},
        **{"swizzled": draw(st.booleans())},
    )


@settings(max_examples=12, deadline=None)
@given(products())
def test_products_of_any_shape_are_the_product(p: Product) -> None:
    check(p, "tile", "simt")


def test_no_bank_conflicts_with_a_swizzle() -> None:
    report = kernel_of(replace(SHOWN["float16"], chunk=64)).compile().report()
    loads = [a for e in report.entries for a in e.accesses if a.op.startswith("ldmatrix")]
    assert loads and all(a.transactions == a.ideal for a in loads)


def test_results_go_to_matrices_and_to_global_memory() -> None:
    emitter = T.TensorCoreIntrinEmitter("float16", "float16", "float32", False, True, 1, 2, 16, 16, 16)

    @tiledsl.kernel(out_idx=[-2, -1])
    def product(
        A: T.Tensor((32, 16), "float16"),
        B: T.Tensor((32, 16), "float16"),
        C: T.Tensor((32, 32), "float32"),
        D: T.Tensor((32, 32), "float16"),
    ):
        with T.Kernel(2, threads=64) as by:
            A_shared, B_shared = T.alloc_shared((2, 16, 16), "float16"), T.alloc_shared((32, 16), "float16")
            D_shared = T.alloc_shared((16, 32), "float16")
            a, b = T.alloc_local((8,), "float16"), T.alloc_local((8,), "float16")
            c = T.alloc_local((8,), "float32")
            T.copy(A[by * 16, 0], A_shared[1, :, :])
            T.copy(B, B_shared)
            T.clear(c)
            emitter.ldmatrix_a(a, A_shared[1, :, :], 0)
            emitter.ldmatrix_b(b, B_shared, 0, thread_binding=T.get_thread_binding())
            emitter.mma(a, b, c)
            emitter.stmatrix(c, C, pid_m=by, pid_n=0)
            emitter.stmatrix(c, D_shared)
            T.copy(D_shared, D[by * 16, 0])

    rng = np.random.default_rng(1)
    a, b = (rng.integers(-3, 4, (32, 16)).astype(np.float16) for _ in range(2))
    for backend in ("tile", "simt"):
        c, d = product(a, b, backend=backend)
        expected = a.astype(np.float64) @ b.T.astype(np.float64)
        np.testing.assert_array_equal(c, expected)
        np.testing.assert_array_equal(d, expected)


def test_rows_by_an_offset_are_those_of_the_element() -> None:
    """A row `n` elements further, row by row, is where it says; with .trans lanes get columns."""

    def loaded(offset: int, trans: bool) -> Any:
        @tiledsl.kernel(out_idx=-1)
        def load(A: T.Tensor((16, 16), "float16"), R: T.Tensor((32, 2), "float16")):
            with T.Kernel(1, threads=32):
                S, held = T.alloc_shared((16, 16), "float16"), T.alloc_local((4,), "float16")
                T.copy(A, S)
                lane = T.get_lane_idx()
                T.ptx_ldmatrix("float16", trans, 1, ".b16", held, 2, T.address_of(S[lane % 8, 0]), offset)
                for i in T.unroll(2):
                    R[lane, i] = held[2 + i]

        a = np.arange(256, dtype=np.float16).reshape(16, 16)
        tile, simt = (load(a, backend=b) for b in ("tile", "simt"))
        np.testing.assert_array_equal(tile, simt)
        return a, tile

    a, straight = loaded(8 * 16 + 8, trans=False)
    np.testing.assert_array_equal(straight.reshape(8, 8), a[8:, 8:])
    a, columns = loaded(8, trans=True)
    np.testing.assert_array_equal(columns.reshape(8, 8), a[:8, 8:].T)


@pytest.mark.parametrize("size", [8, 24])
def test_filling_private_memory_is_each_threads_own_affair(size: int) -> None:
    @tiledsl.kernel(out_idx=-1)
    def fill(R: T.Tensor((64, size), "float32")):
        with T.Kernel(1, threads=64):
            held = T.alloc_local((2, size), "float32")
            T.clear(held)
            T.fill(held[1, :], 3)
            for i in T.unroll(size):
                R[T.get_thread_binding(), i] = held[0, i] + held[1, i]

    for backend in ("tile", "simt"):
        np.testing.assert_array_equal(fill(backend=backend), np.full((64, size), 3))


def wrong(error: str, body: Any) -> None:
    @tiledsl.kernel
    def broken(A: T.Tensor((16, 16), "float16")):
        with T.Kernel(1, threads=48):
            S, held = T.alloc_shared((16, 16), "float16"), T.alloc_local((8,), "float16")
            T.copy(A, S)
            body(S, held, T.get_thread_binding())

    with pytest.raises(TileError) as found:
        broken(np.zeros((16, 16), np.float16), backend="tile")
    assert found.value.code == error


def test_the_tile_stage_reports_what_no_warp_can_do() -> None:
    def load(S: Any, held: Any, row: Any, column: Any = 0) -> None:
        T.ptx_ldmatrix("float16", False, 1, ".b16", held, 0, S[row, column])

    wrong("TD0811", lambda S, held, t: load(S, held, t % 8))  # a warp and a half

    @tiledsl.kernel
    def outside(A: T.Tensor((16, 16), "float16"), column: int = 0, row: int = 0):
        with T.Kernel(1, threads=32):
            S, held = T.alloc_shared((16, 16), "float16"), T.alloc_local((8,), "float16")
            T.fill(S[0:8, :], 0)
            load(S, held, T.get_lane_idx() % 8 + row, column)

    a = np.zeros((16, 16), np.float16)
    for code, how in {"TD0806": {"column": 4}, "TD0802": {"row": 12}, "TD0803": {"row": 4}}.items():
        kernel = outside.trace(**how)
        with pytest.raises(TileError) as found:
            tile_interp.run(kernel, {"A": a})
        assert found.value.code == code
