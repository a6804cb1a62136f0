"""Options, targets, errors and inputs of `tiledsl.compat.tilelang`: tables of cases."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T
from tiledsl.compat.tilelang.intrinsics import get_mma_micro_size, get_swizzle_layout, mma_store_index_map
from tiledsl.compat.tilelang.jit import is_eager
from tiledsl.compat.tilelang.options import chosen, target_of, warn_once
from tiledsl.compat.tilelang.pass_config import PassConfigKey
from tiledsl.compat.tilelang.supply import KernelParam, TensorSupplyType, argument
from tiledsl.errors import TileError
from tiledsl.ir.layout import linear_at
from tiledsl.isa.mma import FRAGMENTS
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named


def copying(N: int) -> Any:
    @T.prim_func
    def main(A: T.Tensor((N,), "float32"), B: T.Tensor((N,), "float32")):
        with T.Kernel(1, threads=32):
            T.copy(A, B)

    return main


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says."""
    warn_once.cache_clear()
    heard = Heard()
    logging.getLogger("tiledsl").addHandler(heard)
    yield heard.messages
    logging.getLogger("tiledsl").removeHandler(heard)


TARGETS = {
    "auto": (None, None),
    "cuda": (None, None),
    "cuda -arch=sm_90": ("sm_90a", None),
    "cuda -arch=sm_80": ("sm_80", None),
    "sm_89": ("sm_89", None),
    "cpu": (None, "cpu"),
    "llvm": (None, "cpu"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_targets(target: str) -> None:
    assert target_of(target) == TARGETS[target]


def test_targets_as_dicts_and_objects() -> None:
    assert target_of({"kind": "cuda", "arch": "sm_90"}) == ("sm_90a", None)
    assert target_of(type("Target", (), {"kind": "cuda", "arch": "sm_86"})()) == ("sm_86", None)
    for unknown in ("hip", "metal", {"kind": "webgpu"}):
        with pytest.raises(ValueError, match="TD0641"):
            target_of(unknown)


def test_every_key_is_accepted_and_its_options_exist(said: list[str]) -> None:
    """A key changes an option that the passes have, or is harmless, or is named in a warning."""
    for key in PassConfigKey:
        value = "-O3" if key is PassConfigKey.TL_DEVICE_COMPILE_FLAGS else True
        made = chosen(pass_configs={key: value})
        pipeline(target_named("sm_90a"), made.options)
        assert chosen(pass_configs={key.value: value}) == made
    named = {message.split("'")[1] for message in said}
    assert {"tl.disable_wgmma", "tl.disable_thread_storage_sync"} <= named
    assert not {"tl.enable_fast_math", "tl.disable_warp_specialized", "tl.disable_tma_lower"} & named
    assert len(said) == len(named), "each is named once"


def test_options_mean_what_they_say(said: list[str]) -> None:
    key = tilelang.PassConfigKey
    assert chosen(pass_configs={key.TL_ENABLE_FAST_MATH: True}).fast_math
    assert not chosen(pass_configs={key.TL_ENABLE_FAST_MATH: False}).fast_math
    assert chosen(compile_flags="-O3 --use_fast_math").fast_math
    assert chosen(pass_configs={key.TL_DEVICE_COMPILE_FLAGS: ["--use_fast_math"]}).fast_math
    off = {"warp-specialise": {"enabled": False}}
    assert chosen(pass_configs={key.TL_DISABLE_WARP_SPECIALIZED: True}).options == off
    assert chosen(pass_configs={key.TL_DISABLE_WARP_SPECIALIZED: False}).options == {}
    assert not said
    chosen(pass_configs={"tl.made_up": 1, "tirx.disable_vectorize": True}, compile_flags=["-DX=1"])
    chosen(pass_configs={"tl.made_up": 2})
    assert [m.split("'")[1] for m in said] == ["tl.made_up", "tir.disable_vectorize", "-DX=1"]


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_without_the_copy_engine_threads_copy(arch: str) -> None:
    def source(**configs: Any) -> str:
        @tilelang.jit(out_idx=-1, target=f"cuda -arch={arch}", pass_configs=configs)
        def product():
            @T.prim_func
            def main(
                A: T.Tensor((64, 256), "float16"), B: T.Tensor((256, 64), "float16"), C: T.Tensor((64, 64), "float32")
            ):
                with T.Kernel(1, threads=128):
                    a, b = T.alloc_shared((64, 64), "float16"), T.alloc_shared((64, 64), "float16")
                    c = T.alloc_fragment((64, 64), "float32")
                    T.clear(c)
                    for k in T.Pipelined(4, num_stages=2):
                        T.copy(A[0, k * 64], a)
                        T.copy(B[k * 64, 0], b)
                        T.gemm(a, b, c)
                    T.copy(c, C)

            return main

        return product().get_kernel_source()

    usual, without = source(), source(**{"tl.disable_tma_lower": True})
    assert ("tensor_load" in usual or "tma" in usual) == (arch == "sm_90a")
    assert "cp_async_16" in without


def test_options_may_be_said_in_the_kernel(said: list[str]) -> None:
    @T.prim_func
    def main(A: T.Tensor((64,), "float32"), B: T.Tensor((64,), "float32")):
        T.annotate_pass_configs({PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True, "tl.enable_fast_math": True})
        T.annotate_compile_flags("-O3 --ptxas-options=-v")
        with T.Kernel(1, threads=32):
            T.copy(A, B)

    kernel = tilelang.compile(main, target="cuda -arch=sm_80").compiled.lowered
    assert kernel.flags == ("--use_fast_math",)
    assert kernel.final.options == (("warp-specialise", "enabled", False),)
    assert [s for s in said if "ptxas" in s] and not [s for s in said if "-O3" in s]


def test_errors_are_those_that_programs_expect() -> None:
    @tilelang.jit
    def nothing():
        return None

    with pytest.raises(ValueError, match="TD0642"):
        nothing()
    with pytest.raises(ValueError, match="TD0641"):
        tilelang.jit(execution_backend="fortran")
    with pytest.raises(ValueError, match="TD0642"):
        tilelang.compile(lambda: None)
    with pytest.raises(ValueError, match="TD0642"):
        tilelang.autotune(configs=[])(copying)
    with pytest.raises(TileError, match="TD0620"):
        tilelang.compile(copying(32), out_idx=7)
    with pytest.raises(AttributeError, match="made_up"):
        T.made_up  # noqa: B018
    with pytest.raises(AttributeError, match="carver"):
        tilelang.carver  # noqa: B018
    assert not hasattr(tilelang, "made_up") and hasattr(T, "gemm")


def test_results_have_one_order() -> None:
    @T.prim_func
    def main(A: T.Tensor((32,), "float32")):
        B = T.empty((32,), "float32")
        with T.Kernel(1, threads=32):
            T.copy(A, B)
        return B

    a = np.arange(32, dtype=np.float32)
    np.testing.assert_array_equal(tilelang.compile(main)(a), a)
    with pytest.raises(ValueError, match="TD0640"):
        tilelang.compile(main, out_idx=[-1])


def test_profilers_notice_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_BACKEND", "simt")
    profiler = tilelang.compile(copying(64), out_idx=-1).get_profiler()
    profiler.assert_allclose(lambda a: a)
    with pytest.raises(AssertionError, match="B: "):
        profiler.assert_allclose(lambda a: a + 1)
    with pytest.raises(AssertionError, match="shape"):
        profiler.assert_allclose(lambda a: a[:32])
    with pytest.raises(ValueError, match="TD0644"):
        profiler.assert_allclose(lambda a: (a, a))

    def one_wrong(a: Any) -> Any:
        b = a.copy()
        b[3] += 1
        return b

    with pytest.raises(AssertionError, match=r"\[3\]"):
        profiler.assert_allclose(one_wrong)
    profiler.assert_allclose(one_wrong, max_mismatched_ratio=1 / 64)
    in_place = tilelang.compile(copying(64)).get_profiler(TensorSupplyType.Randn)
    with pytest.raises(AssertionError, match="B: "):
        in_place.assert_allclose(lambda a, b: None)
    seen: list[Any] = []
    profiler.manual_assert_close(lambda a: -a, manual_check_prog=lambda found, wanted: seen.extend([found, wanted]))
    np.testing.assert_array_equal(seen[0][0], -seen[1][0])


def test_measuring_says_what_it_times(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.setenv("TILEDSL_BACKEND", "simt")
    profiler = tilelang.compile(copying(32), out_idx=-1).get_profiler()
    quantiles = profiler.do_bench(n_warmup=1, n_repeat=3, quantiles=[0.2, 0.8])
    assert len(quantiles) == 2 and quantiles[0] <= quantiles[1]
    assert profiler.do_bench(lambda a: a, n_warmup=1, n_repeat=3, return_mode="min") >= 0
    assert tilelang.do_bench(lambda: None, _n_warmup=1, _n_repeat=3) >= 0
    assert any("says nothing about a GPU" in message for message in said)
    with pytest.raises(ValueError, match="TD0641"):
        profiler.do_bench(n_repeat=1, return_mode="mode")


def test_sizes_of_a_call_need_inputs() -> None:
    n = T.dynamic("n")

    @T.prim_func
    def main(A: T.Tensor((n,), "float32"), B: T.Tensor((n,), "float32")):
        with T.Kernel(T.ceildiv(n, 32), threads=32) as bx:
            T.copy(A[bx * 32 : bx * 32 + 32], B[bx * 32 : bx * 32 + 32])

    kernel = tilelang.compile(main, out_idx=-1)
    assert kernel.params[0].shape == ("n",)
    with pytest.raises(ValueError, match="TD0643"):
        kernel.get_profiler().run_once()


@given(st.sampled_from(sorted(TensorSupplyType, key=lambda t: t.value)), st.integers(0, 3), st.sampled_from(
    ["float16", "bfloat16", "float32", "float8_e4m3fn", "int8", "uint8", "int32", "bool"]
))  # fmt: skip
def test_supplied_numbers_are_of_their_kind(kind: TensorSupplyType, seed: int, dtype: str) -> None:
    made = argument(np.random.default_rng(seed), KernelParam("A", dtype, (5, 7)), kind)
    values = made.astype(np.float64)
    assert made.shape == (5, 7) and made.dtype.name == dtype and np.isfinite(values).all()
    small = kind is TensorSupplyType.Integer or (kind is TensorSupplyType.Auto and "float8" in dtype)
    if kind in (TensorSupplyType.Zero, TensorSupplyType.One):
        assert (values == (kind is TensorSupplyType.One)).all()
    elif "float" in dtype and kind in (TensorSupplyType.Uniform, TensorSupplyType.Auto) and not small:
        assert (np.abs(values) <= 1).all() and len(np.unique(values)) > 5
    elif small or "float" not in dtype:
        assert set(np.unique(values)) <= {-2.0, -1.0, 0.0, 1.0, 2.0}
        assert (values >= 0).all() or not dtype.startswith(("uint", "bool"))


def test_kernels_and_their_makers_are_told_apart() -> None:
    def kernel(A):
        with T.Kernel(1) as _:
            pass

    def maker(N):
        def inner(A):
            with T.Kernel(1):
                pass

        with open(N):
            pass
        return inner

    assert is_eager(kernel) and not is_eager(maker) and not is_eager(copying)


def test_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    kernels = tilelang.par_compile([copying(32), copying(64)], out_idx=[-1], num_workers=2)
    assert [k.params[0].shape for k in kernels if k] == [(32,), (64,)]
    lazy = tilelang.jit(out_idx=-1)(copying)
    assert lazy.par_compile([{"N": 32}, (64,)])[0] is lazy(32)
    with pytest.raises(TileError):
        tilelang.par_compile([copying(32)], out_idx=[5])
    assert tilelang.par_compile([copying(32)], out_idx=[5], ignore_error=True) == [None]


def test_sources_are_written(tmp_path: Path) -> None:
    kernel = tilelang.jit(out_idx=-1, debug_root_path=str(tmp_path / "dump"))(copying)(32)
    assert (tmp_path / "dump" / "main.cu").read_text() == kernel.get_kernel_source()
    kernel.export_sources(tmp_path / "k.cu")
    assert (tmp_path / "k.cu").read_text() == kernel.get_kernel_source()


@pytest.mark.parametrize(
    ("row", "dtype"), [(64, "float16"), (32, "float16"), (16, "float16"), (128, "int8"), (32, "float32")]
)
def test_swizzles_are_bijections_that_keep_pieces_of_16_bytes(row: int, dtype: str) -> None:
    width = 128 // T.dtype(dtype).bits
    places = [get_swizzle_layout(i, j, row, dtype) for i in range(16) for j in range(row)]
    assert len(set(places)) == 16 * row and all(p[0] == n // row for n, p in enumerate(places))
    assert all(places[n + 1][1] == p[1] + 1 for n, p in enumerate(places) if n % width != width - 1)
    # 8 rows of one column of pieces lie in 8 different groups of banks, or in as many as the rows reach.
    groups = {(i * row + get_swizzle_layout(i, 0, row, dtype)[1]) // width % 8 for i in range(8)}
    assert len(groups) == 8


def test_index_maps_are_those_of_the_instruction() -> None:
    d = FRAGMENTS["m16n8k16"][0]
    for lane in range(32):
        for r in range(8):
            row, column = divmod(int(linear_at(d, lane, r % 4)), 8)
            assert mma_store_index_map(lane, r) == (row, column + r // 4 * 8)
    assert get_mma_micro_size("int8") == (16, 16, 32) and get_mma_micro_size(T.float16) == (16, 16, 16)


def test_small_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_NO_CACHE", "0")
    monkeypatch.setenv("TILEDSL_LOG", "warning")
    assert tilelang.cdiv(7, 2) == 4 and tilelang.next_power_of_2(5) == 8 and tilelang.next_power_of_2(8) == 8
    tilelang.disable_cache()
    assert not tilelang.is_cache_enabled()
    tilelang.enable_cache()
    assert tilelang.is_cache_enabled()
    assert tilelang.DataType("float16").bits == 16 and T.dtype(np.dtype(ml_dtypes.bfloat16)) == T.bfloat16
    tilelang.testing.set_random_seed(0)
    tilelang.testing.torch_assert_close(np.ones(3), np.ones(3))


def test_torch_tensors_in_and_out() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a = torch.arange(32, dtype=torch.float32)
    assert torch.equal(tilelang.compile(copying(32), out_idx=-1, target="cpu")(a), a)


def test_nothing_loads_this_room_unasked() -> None:
    modules = "[m for m in sys.modules if 'tiledsl.compat' in m]"
    code = f"import sys, tiledsl, tiledsl.language, tiledsl.tuning; print({modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_pictures_of_layouts(tmp_path: Path) -> None:
    from tiledsl.compat.tilelang.tools import plot_layout

    swizzled = tilelang.Layout((8, 8), lambda i, j: i * 8 + (j ^ i))
    (path,) = plot_layout(swizzled, save_directory=str(tmp_path), name="picture", colormap="RdPu")
    assert path == str(tmp_path / "picture.svg") and Path(path).read_text().count("<rect") == 64
    with pytest.raises(TileError, match="TD0226"):
        tilelang.tools.plot_layout(swizzled, save_directory=str(tmp_path), formats="pdf")
