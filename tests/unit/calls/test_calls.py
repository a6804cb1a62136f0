"""Calls as users write them: results, compile-time parameters, constant style, shapes, backends, settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl import TileError, backends
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES
from tiledsl.settings import logger

N = 64


@tiledsl.kernel(backend="tile")
def add(A: T.Tensor((N,), T.float32), B: T.Tensor((N,), T.float32), C: T.Tensor((N,), T.float32)):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            C[i] = A[i] + B[i]


@tiledsl.kernel(out_idx=(-1, 0), backend="tile")
def split(B: T.Tensor((N,), T.float32), A: T.Tensor((N,), T.float32), C: T.Tensor((N,), T.float16)):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            B[i] = A[i] + 1.0
            C[i] = A[i]


def adder(**how: Any) -> tiledsl.TileKernel:
    return tiledsl.kernel(**{"backend": "tile", **how})(add.fn)


@tiledsl.kernel(out_idx=-1, backend="tile")
def scaled(A: T.Tensor((N,), T.float32), s: T.float32, n: T.int32, C: T.Tensor((N,), T.float32), threads=32):
    with T.Kernel(1, threads=threads):
        for i in T.Parallel(N):
            C[i] = A[i] * s + T.cast(n, T.float32)


@tiledsl.kernel(backend="tile")
def copied(A, B, rows=16):
    M, K = T.const("M, K")
    A: T.Tensor((M, K), T.float32)
    B: T.Tensor((M, K), T.float32)
    with T.Kernel(T.ceildiv(M, rows), threads=32) as b:
        T.copy(A[b * rows : b * rows + rows, 0:K], B[b * rows, 0])


@tiledsl.kernel(out_idx=1)
def doubled(A: T.Tensor((T.dynamic("m"), 8), T.float32), B: T.Tensor((T.dynamic("m"), 8), T.float32)):
    with T.Kernel(T.ceildiv(T.dynamic("m"), 16), threads=32) as b:
        for i, j in T.Parallel(16, 8):
            B[b * 16 + i, j] = A[b * 16 + i, j] * 2.0


@tiledsl.kernel(backend="tile")
def column(A: T.StridedTensor((N,), (T.dynamic("s"),), T.float32), B: T.Tensor((N,), T.float32)):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            B[i] = A[i]


def ones(n: int = N, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.ones(n, dtype)


# ---- results


def test_results_by_position_from_either_end() -> None:
    assert adder(out_idx=-1)(ones(), ones()).tolist() == [2.0] * N
    assert adder(out_idx=2)(ones(), ones()).tolist() == [2.0] * N
    c, b = split(ones())  # in the order of out_idx
    assert (b[0], b.dtype, c[0], c.dtype) == (2.0, np.float32, 1.0, np.float16)
    mine = np.zeros(N, np.float32)
    assert adder(out_idx=[-1])(ones(), ones(), mine) is None
    assert mine.tolist() == [2.0] * N


def test_compile_time_parameters_by_position_and_by_name() -> None:
    """out_idx counts what is passed at run time: compile-time parameters behind it do not move it."""
    mine = np.zeros(N, np.float32)
    for got in (scaled(ones(), 2.0, 3), scaled(ones(), 2.0, 3, 64), scaled(ones(), 2.0, 3, threads=64)):
        assert got.tolist() == [5.0] * N
    assert scaled(ones(), 2.0, 3, mine, 64) is None and scaled(ones(), 2.0, n=3, C=mine) is None
    assert {c.lowered.final.launches[0].num_threads for c in scaled._compiled.values()} == {32, 64}


def test_numpy_numbers_are_scalars() -> None:
    assert scaled(ones(), np.float64(0.5), np.int64(-1))[0] == -0.5
    assert scaled(ones(), 2, True)[0] == 3


def test_constant_style_reads_sizes_off_the_tensors() -> None:
    for shape in ((16, 8), (40, 24)):
        a, b = np.random.default_rng(0).random(shape, np.float32), np.zeros(shape, np.float32)
        copied(a, B=b)
        assert np.array_equal(a, b)
    assert copied.compile(M=64, K=8).ir("trace") == copied.compile({"A": np.zeros((64, 8), np.float32)}).ir("trace")


def test_constant_style_returns_what_it_says_in_its_order() -> None:
    @tiledsl.kernel(backend="tile")
    def two(A):
        M = T.const("M")
        A: T.Tensor((M,), T.float32)
        B = T.empty((M,), T.float32)
        C = T.empty((M,), T.float16)
        with T.Kernel(1, threads=32):
            for i in T.Parallel(M):
                B[i] = A[i] + 1.0
                C[i] = A[i]
        return C, B

    c, b = two(ones())
    assert (b[0], b.dtype, c[0], c.dtype) == (2.0, np.float32, 1.0, np.float16)
    table = np.zeros(N, np.float32)
    with pytest.raises(TileError, match="TD0603: 'two' misses: A"):
        two(B=table)


@pytest.mark.parametrize("backend", ["tile", "simt", pytest.param("cpu", marks=pytest.mark.cxx)])
def test_empty_tensors_launch_nothing(backend: str) -> None:
    assert doubled(np.zeros((0, 8), np.float32), backend=backend).shape == (0, 8)
    assert doubled(np.ones((17, 8), np.float32), backend=backend).tolist() == [[2.0] * 8] * 17


def test_strided_tensors_take_views() -> None:
    table, out = np.arange(N * 4, dtype=np.float32).reshape(N, 4), np.zeros(N, np.float32)
    column(table[:, 0], out)
    assert np.array_equal(out, table[:, 0])


def test_specialisations_are_compiled_once() -> None:
    kernel = adder()
    assert kernel.compile() is kernel.compile() and kernel.compile(target="sm_90a") is not kernel.compile()


# ---- what goes wrong: the code, and a part of the message


class NoFunction:
    def __call__(self) -> None: ...


def _method() -> None:
    class Layer:
        @tiledsl.kernel
        def forward(self, A: T.Tensor((N,), T.float32)):
            with T.Kernel(1, threads=32):
                A[0] = 0.0


def read_only() -> np.ndarray[Any, Any]:
    a = ones()
    a.setflags(write=False)
    return a


PIPELINE = "software-pipeline"
WRONG: dict[str, tuple[Any, str]] = {
    "few": (lambda: add(ones(), ones()), "TD0603: 'add' misses: C"),
    "many": (lambda: add(ones(), ones(), ones(), ones()), r"TD0601: 'add' takes \(A, B, C\), but 4"),
    "twice": (lambda: add(ones(), ones(), ones(), A=ones()), "TD0602: 'add' got an unexpected argument 'A'"),
    "unknown": (lambda: add(ones(), ones(), ones(), D=1), "TD0602: .*'D'"),
    "none": (lambda: add(ones(), ones(), None), "TD0606: 'C' is a tensor, but a NoneType"),
    "list": (lambda: add(ones(), [1.0], ones()), "TD0606: 'B'"),
    "dtype": (lambda: add(ones(), ones(dtype=np.float64), ones()), "TD0607: 'B' must have dtype float32"),
    "byte order": (lambda: add(ones(dtype=">f4"), ones(), ones()), "TD0607: 'A' .* but has >f4"),
    "rank": (lambda: add(ones(), ones().reshape(8, 8), ones()), "TD0608: 'B' must have rank 1"),
    "shape": (lambda: add(ones(), ones(), ones(60)), "TD0612: axis 0 of 'C' must have extent 64, but has 60"),
    "stride": (lambda: add(ones(2 * N)[::2], ones(), ones()), "TD0613: axis 0 of 'A' must have stride 1"),
    "reversed": (lambda: add(ones(68)[67:3:-1], ones(), ones()), "TD06(09|13): .*'A'"),
    "alignment": (lambda: add(ones(), ones(N + 1)[1:], ones()), "TD0609: 'B' starts at .* not a multiple of 16"),
    "read-only": (lambda: add(ones(), ones(), read_only()), "TD0626: 'C' is read-only, but 'add' writes it"),
    "scalar text": (lambda: scaled(ones(), "x", 1), "TD0605: 's' is a float32 scalar, but a str"),
    "scalar none": (lambda: scaled(ones(), None, 1), "TD0605: 's'"),
    "scalar complex": (lambda: scaled(ones(), 1j, 1), "TD0605: 's'"),
    "scalar fraction": (lambda: scaled(ones(), 1.0, 0.5), "TD0605: 'n' is a int32 scalar, but a float"),
    "scalar range": (lambda: scaled(ones(), 1.0, 2**40), "TD0604: 'n' is int32, but 1099511627776"),
    "scalar overflow": (lambda: scaled(ones(), 1e300, 1), r"TD0604: 's' is float32, but 1e\+300"),
    "scalar huge": (lambda: scaled(ones(), 10**400, 1), "TD0604: 's' is float32"),
    "stream": (lambda: add(ones(), ones(), ones(), stream="x"), "TD0625: a str is no stream"),
    "backend": (lambda: add(ones(), ones(), ones(), backend="gpu"), "TD0617: unknown backend 'gpu'"),
    "backend of kernel": (lambda: adder(backend="gpu")(ones(), ones(), ones()), "TD0617"),
    "target": (lambda: adder(target="h100").compile(), "TD0901: unknown target 'h100'"),
    "stage": (lambda: add.compile().ir(after="parse"), "TD0621: 'add' has no stage 'parse'; it has: trace, normalise"),
    "out_idx range": (lambda: adder(out_idx=3)(ones(), ones()), "TD0620: out_idx 3 is out of range"),
    "out_idx name": (lambda: adder(out_idx="C"), "TD0624: out_idx .* not 'C'"),
    "out_idx truth": (lambda: adder(out_idx=True), "TD0624: out_idx .* not True"),
    "out_idx twice": (lambda: adder(out_idx=[2, -1])(ones(), ones()), "TD0624: out_idx .* not 'C' twice"),
    "options": (lambda: adder(options=PIPELINE), "TD0624: options .* dict of dicts"),
    "options of pass": (lambda: adder(options={PIPELINE: 3}), "TD0624: options .* dict of dicts"),
    "pass": (lambda: adder(options={"pipeline": {}}).compile(), "TD0761: there is no pass 'pipeline'"),
    "option": (lambda: adder(options={PIPELINE: {"fuse": 1}}).compile(), "TD0762: .* has no option 'fuse'"),
    "option type": (lambda: adder(options={PIPELINE: {"stages": "3"}}).compile(), "TD0763: the option 'stages'"),
    "option target": (lambda: adder(options={"lower-tiles": {"target": "sm_90a"}}).compile(), "TD0762"),
    "static name": (lambda: scaled.compile(block=3), "TD0628: 'scaled' has no compile-time parameter 'block'"),
    "static value": (lambda: scaled(ones(), 1.0, 1, threads="x"), "TD0221: T.Kernel needs positive integers"),
    "no sizes": (lambda: copied.compile(), r"TD0148: the size 'M' .*\n.*\n.*\n.*compile\(M=\.\.\.\)"),
    "no tensor": (lambda: copied.compile({"A": 3}), "TD0606: 'A'"),
    "constant missing": (lambda: copied(ones().reshape(8, 8)), "TD0603: 'copied' misses: B"),
    "constant list": (lambda: copied([1.0], [2.0]), "TD0606: 'A'"),
    "constant sizes": (lambda: copied(ones().reshape(8, 8), ones().reshape(4, 16)), "TD0127: the size 'M' is 4"),
    "class": (lambda: tiledsl.kernel(NoFunction), "TD0623: .* but a type was given"),
    "object": (lambda: tiledsl.kernel(NoFunction()), "TD0623: .* but a NoFunction was given"),
    "text": (lambda: tiledsl.kernel("sm_80"), "TD0623: .* but a str was given"),
    "kernel of kernel": (lambda: tiledsl.kernel(add), "TD0623: .* but a TileKernel was given"),
    "method": (_method, "TD0627: a kernel's parameter cannot be called 'self'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_have_a_code_and_name_the_parameter(name: str) -> None:
    act, message = WRONG[name]
    with pytest.raises(TileError, match=message) as caught:
        act()
    assert caught.value.hint


def test_tensors_on_two_devices() -> None:
    class OnGpu:
        __cuda_array_interface__: ClassVar = {"data": (0x100, False), "typestr": "<f4", "shape": (N,), "version": 3}

    with pytest.raises(TileError, match="TD0610: 'B' is on cuda:0, but 'A' is on cpu"):
        add(ones(), OnGpu(), ones())
    with pytest.raises(TileError, match="TD0618: backend 'tile' cannot take tensors on cuda:0"):
        add(OnGpu(), OnGpu(), OnGpu())
    if backends.find_driver() is None:
        with pytest.raises(TileError, match="TD0619: backend 'cuda' needs a GPU"):
            adder(backend=None)(OnGpu(), OnGpu(), OnGpu())


def test_read_only_inputs_are_welcome() -> None:
    c = ones()
    add(read_only(), read_only(), c)
    assert c.tolist() == [2.0] * N


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e5m2"])
def test_the_largest_scalar_of_every_float_fits(dtype: str) -> None:
    from tiledsl.runtime.arguments import bind, pack
    from tiledsl.runtime.signature import ScalarParameter, Signature

    signature = Signature("k", (ScalarParameter("s", dtype),), (), (), ())
    largest = float(ml_dtypes.finfo(getattr(ml_dtypes, dtype, dtype)).max)
    for value in (largest, -largest, float("inf")):
        assert bind(signature, (value,), {}).scalars["s"] == value
        assert pack(dtype, value) >= 0
    if dtype != "float64":
        with pytest.raises(TileError, match="TD0604"):
            bind(signature, (2 * largest,), {})


# ---- where it runs


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    backends._say_once.cache_clear()
    monkeypatch.delenv("TILEDSL_BACKEND", raising=False)


@pytest.mark.usefixtures("fresh")
def test_the_argument_beats_the_decorator_beats_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TILEDSL_BACKEND", "simt")
    free = adder(backend=None)
    with caplog.at_level(logging.WARNING, "tiledsl"):
        for how in ({}, {"backend": "tile"}, {"backend": backends.Backend.TILE}):
            free(ones(), ones(), ones(), **how)
        adder(backend="tile")(ones(), ones(), ones())
    assert [r.getMessage() for r in caplog.records] == [
        "no GPU in use: running on the CPU: thread-stage IR in NumPy",
        "no GPU in use: running on the CPU: tile-stage IR in NumPy",
    ], "one line for each place, once a process"
    monkeypatch.setenv("TILEDSL_BACKEND", "abacus")
    with pytest.raises(TileError, match="TD0617: unknown backend 'abacus'"):
        free(ones(), ones(), ones())


@pytest.mark.usefixtures("fresh")
def test_without_a_compiler_kernels_run_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_driver", lambda: None)
    monkeypatch.setattr(backends.toolchain, "find_compiler", lambda: None)
    assert tiledsl.where() == "the CPU: thread-stage IR in NumPy (no C++ compiler was found)"
    monkeypatch.setattr(backends.toolchain, "find_compiler", lambda: ("c++",))
    assert tiledsl.where() == "the CPU: emitted C++ on the CPU device (c++)"
    with pytest.raises(TileError, match="TD0619: backend 'cuda' needs a GPU"):
        add(ones(), ones(), ones(), backend="cuda")


# ---- settings, through a call


def test_dump_writes_the_ir_after_every_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILEDSL_DUMP", "all")
    monkeypatch.setenv("TILEDSL_DUMP_DIR", str(tmp_path / "dump"))
    kernel = adder()
    kernel(ones(), ones(), ones())
    names = [p.name for p in sorted((tmp_path / "dump").iterdir())]
    assert names == ["00-input.tir", *(f"{i:02}-{name}.tir" for i, name in enumerate(PASSES, 1))]
    compiled = kernel.compile()
    for i, name in enumerate(PASSES, 1):
        assert (tmp_path / "dump" / f"{i:02}-{name}.tir").read_text() == compiled.ir(after=name)
    assert (tmp_path / "dump" / "00-input.tir").read_text() == compiled.ir(after="trace")


def test_dump_of_some_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILEDSL_DUMP_DIR", str(tmp_path))
    monkeypatch.setenv("TILEDSL_DUMP", "lower-tiles, unroll")
    adder().compile()
    assert [p.name[3:] for p in sorted(tmp_path.iterdir())] == ["lower-tiles.tir", "unroll.tir"]
    monkeypatch.setenv("TILEDSL_DUMP", "lower-tile")
    with pytest.raises(TileError, match="TD0764: TILEDSL_DUMP names 'lower-tile', which is no pass"):
        adder().compile()
    monkeypatch.setenv("TILEDSL_DUMP", "all")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TILEDSL_DUMP_DIR", str(tmp_path / "file"))
    with pytest.raises(TileError, match="TD0715: cannot write"):
        adder().compile()


def test_timing_prints_every_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TILEDSL_TIMING", "1")
    adder()(ones(), ones(), ones())
    shown = [line.split()[0] for line in capsys.readouterr().err.splitlines() if line.endswith(" ms")]
    assert shown == [*PASSES, "emit", "total"]


def test_verify_asks_for_the_independent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(Pass, "check", lambda p, before, after: checked.append(p.name))
    adder().compile()
    assert not checked
    monkeypatch.setenv("TILEDSL_VERIFY", "1")
    adder().compile()
    assert checked == list(PASSES)


def test_options_reach_their_pass() -> None:
    @tiledsl.kernel(options={PIPELINE: {"stages": 0}})
    def loop(A: T.Tensor((64, 32), T.float16), B: T.Tensor((32,), T.float16)):
        with T.Kernel(1, threads=32):
            tile = T.alloc_shared((1, 32), T.float16)
            for k in T.Pipelined(64, num_stages=2):
                T.copy(A[k, 0], tile)
                T.copy(tile, B)

    assert "wait" not in loop.compile().ir(after=PIPELINE)
    again = tiledsl.kernel(loop.fn)
    assert "wait" in again.compile().ir(after=PIPELINE)


def test_the_log_has_a_level(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    for level, shown in (("error", []), ("info", ["add for sm_80: "])):
        monkeypatch.setenv("TILEDSL_LOG", level)
        logger.cache_clear()
        assert adder().compile(target="sm_80").cubin
        assert [r.getMessage()[: len(shown[0])] for r in caplog.records] == shown
    monkeypatch.setenv("TILEDSL_LOG", "loud")
    logger.cache_clear()
    with pytest.raises(TileError, match="TD0904: TILEDSL_LOG is 'loud'"):
        logger()
    monkeypatch.delenv("TILEDSL_LOG")
    logger.cache_clear()
    logger()


@pytest.mark.cxx
def test_a_cache_directory_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(TileError, match=r"TD0913: the cache directory .* cannot be made"):
        adder(backend="cpu", options={PIPELINE: {"stages": 1}})(ones(), ones(), ones())
