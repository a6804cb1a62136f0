"""`validate=True`, TILEDSL_VALIDATE, and the commands: a wrong pass is named, and its bundle shows it again."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import BUGS, traced
from test_bisect import with_bug

import tiledsl
import tiledsl.language as T
from tiledsl import compile as driver
from tiledsl.cli import main
from tiledsl.compile import lower
from tiledsl.errors import TileError
from tiledsl.ir.printer import text
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import target_named
from tiledsl.validation.bundle import read_bundle
from tiledsl.validation.observer import validate

SM_80 = target_named("sm_80")


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILEDSL_REPRO", str(tmp_path / "bundles"))
    return tmp_path / "bundles"


@pytest.fixture
def wrong_pass(monkeypatch: pytest.MonkeyPatch, bundles: Path) -> str:
    """The pipeline of the driver has a bug in this pass."""
    name = "software-pipeline"
    passes = with_bug(name, BUGS[name]["one version"])
    monkeypatch.setattr(driver, "pipeline", lambda target, options=None: passes)
    return name


@pytest.mark.cxx
def test_right_passes_validate_and_the_text_is_run() -> None:
    found = validate(traced(), pipeline(SM_80), SM_80)
    assert found is not None
    assert found.emitted
    # These have nothing to do here: no blocks exchange anything, and sm_80 has no copy engine.
    idle = {
        "transpose-operands",
        "warp-specialise",
        "fold-clears",
        "bulk-loads",
        "bulk-stores",
        "ping-pong",
        "split-loops",
    }
    assert set(PASSES) - set(found.passes) == {"order-globals"} | idle


def test_TD0730_names_pass_buffer_element_values_and_bundle(wrong_pass: str, bundles: Path) -> None:
    with pytest.raises(TileError) as raised:
        lower(traced(), SM_80, validate=True)
    error = raised.value
    (path,) = bundles.iterdir()
    assert error.code == "TD0730"
    assert f"'{wrong_pass}' changes what the kernel 'everything' computes" in error.message
    assert str(path) in error.hint
    bundle = read_bundle(path)
    assert bundle.what == wrong_pass
    assert bundle.message in error.message
    assert sorted(p.name for p in path.iterdir()) == sorted(
        ["README.md", "after.tir", "before.tir", "inputs.npz", "meta.json"]
    )


def test_without_validation_nobody_sees_it(wrong_pass: str, bundles: Path) -> None:
    lower(traced(), SM_80)
    assert not bundles.exists()


def test_the_argument_beats_the_variable(wrong_pass: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_VALIDATE", "1")
    lower(traced(), SM_80, validate=False)
    with pytest.raises(TileError, match="TD0730"):
        lower(traced(), SM_80)
    monkeypatch.setenv("TILEDSL_VALIDATE", "0")
    lower(traced(), SM_80)
    with pytest.raises(TileError, match="TD0730"):
        lower(traced(), SM_80, validate=True)


def kernel(validate: bool | None) -> tiledsl.TileKernel:
    @tiledsl.kernel(out_idx=-1, validate=validate)
    def twice(A: T.Tensor((32, 32), T.float16), B: T.Tensor((32, 32), T.float16)):
        with T.Kernel(1, threads=32):
            a = T.alloc_shared((32, 32), T.float16)
            for _ in T.Pipelined(3, num_stages=2):
                T.copy(A, a)
                for i, j in T.Parallel(32, 32):
                    B[i, j] = a[i, j] * T.float16(2.0)

    return twice


@pytest.mark.parametrize(
    ("argument", "variable", "raises"), [(True, "0", True), (False, "1", False), (None, "1", True)]
)
def test_the_decorator_takes_it(
    argument: bool | None, variable: str, raises: bool, monkeypatch: pytest.MonkeyPatch, bundles: Path
) -> None:
    def dead(p: Pass) -> Pass:
        return replace(p, run=lambda k, **_: replace(k, launches=(replace(k.launches[0], body=()),)), ensures=())

    passes = tuple(dead(p) if p.name == "normalise" else p for p in pipeline(SM_80))
    monkeypatch.setattr(driver, "pipeline", lambda target, options=None: passes)
    monkeypatch.setenv("TILEDSL_VALIDATE", variable)
    if raises:
        with pytest.raises(TileError, match=r"TD0730: 'normalise' .*: B\[0, 0\] is "):
            kernel(argument).compile(target="sm_80")
    else:
        kernel(argument).compile(target="sm_80")


def test_TD0731_a_kernel_that_is_wrong_itself() -> None:
    @tiledsl.kernel
    def reads_what_nobody_wrote(B: T.Tensor((32,), T.float32)):
        with T.Kernel(1, threads=32):
            a = T.alloc_shared((32,), T.float32)
            T.copy(a, B)

    with pytest.raises(TileError, match=r"TD0731.*TD0803: 'a' is read before") as raised:
        lower(reads_what_nobody_wrote.trace(), SM_80, validate=True)
    assert raised.value.span.file == __file__


def test_foreign_functions_are_not_validated_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    @tiledsl.kernel
    def foreign(B: T.Tensor((32,), T.float32)):
        T.import_source('extern "C" __device__ float f(float x) { return x; }')
        with T.Kernel(1, threads=32):
            for i in T.Parallel(32):
                B[i] = T.call_extern("float32", "f", T.float32(1.0))

    with caplog.at_level(logging.WARNING, "tiledsl"):
        assert validate(foreign.trace(), pipeline(SM_80), SM_80) is None
    assert "'foreign' is not validated: " in caplog.text


def test_a_kernel_of_many_tiles_is_validated_in_part() -> None:
    """1024 blocks of 128 iterations: a few of each run."""

    @tiledsl.kernel(out_idx=-1)
    def gemm(
        A: T.Tensor((2048, 2048), T.float16), B: T.Tensor((2048, 2048), T.float16), C: T.Tensor((2048, 2048), T.float16)
    ):
        with T.Kernel(64, 64, threads=32) as (bx, by):
            a = T.alloc_shared((32, 16), T.float16)
            b = T.alloc_shared((16, 32), T.float16)
            acc = T.alloc_fragment((32, 32), T.float32)
            T.clear(acc)
            for k in T.Pipelined(128, num_stages=2):
                T.copy(A[by * 32, k * 16], a)
                T.copy(B[k * 16, bx * 32], b)
                T.gemm(a, b, acc)
            T.copy(acc, C[by * 32, bx * 32])

    assert validate(gemm.trace(), pipeline(SM_80), SM_80) is not None


# --------------------------------------------------------------------------------------------------------- commands


def test_repro_shows_the_difference_again(wrong_pass: str, bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TileError):
        lower(traced(), SM_80, validate=True)
    (path,) = bundles.iterdir()
    bundle = read_bundle(path)
    assert main(["repro", str(path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{wrong_pass}: {bundle.message}")
    assert "  A: float16[40, 72]" in said
    assert "again: " in said
    assert said.endswith(f"with this version's {wrong_pass}: no difference\n")
    (path / "after.tir").write_text((path / "before.tir").read_text())
    assert main(["repro", str(path)]) == 0


@pytest.mark.cxx
def test_bisect_of_text_that_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "k.tir").write_text(text(traced()))
    assert main(["bisect", str(tmp_path / "k.tir"), "--target", "sm_80"]) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()[:-1]] == [[name, "same"] for name in (*PASSES, "emit")]
    assert said.splitlines()[-1] == "everything: every pass keeps what the kernel computes"


def test_bisect_of_a_dump_names_the_file_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILEDSL_DUMP", "all")
    monkeypatch.setenv("TILEDSL_DUMP_DIR", str(tmp_path / "dump"))
    lower(traced(), SM_80)
    (edited,) = (tmp_path / "dump").glob("*-lower-tiles.tir")
    right = edited.read_text()
    edited.write_text(right.replace("cast<float16>(acc[r_", "cast<float16>(acc[0 * r_"))
    assert edited.read_text() != right
    assert main(["bisect", "--from", str(tmp_path / "dump"), "--target", "sm_80"]) == 1
    said = capsys.readouterr().out
    (path,) = bundles.iterdir()
    assert "everything: 'lower-tiles' is the first that is wrong\n  C[" in said
    assert f"bundle: {path}" in said
    assert main(["bisect", "--from", str(tmp_path / "dump"), "--target", "sm_80", "--no-bundle"]) == 1
    assert "bundle" not in capsys.readouterr().out
    assert [path] == list(bundles.iterdir())
    assert main(["bisect", "--from", str(tmp_path)]) == 2
    assert "TD0733" in capsys.readouterr().err


def test_inputs_do_not_depend_on_the_run() -> None:
    from tiledsl.validation.inputs import candidates

    one, other = (next(candidates(traced())) for _ in range(2))
    assert all(np.array_equal(one.values[n], other.values[n], equal_nan=True) for n in ("A", "B", "bias"))
