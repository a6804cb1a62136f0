"""Each sub-command does its work, and tells the user's errors with their place and without a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tiledsl.catalogue import CATALOGUE
from tiledsl.cli import COMMANDS, main
from tiledsl.ir.parser import parse
from tiledsl.isa.table import ATOMS
from tiledsl.report.sass_code import find_nvdisasm
from tiledsl.settings import SETTINGS

ROOT = Path(__file__).parents[3]

ADD = """\
kernel add<m>(A: global float32[m, 64], B: global float32[m, 64], C: global float32[m, 64]) {
  launch add(b in (m + 31) // 32) threads(t in 128) {
    alloc x: fragment float32[32, 64]
    alloc y: fragment float32[32, 64]
    copy A[b * 32 : 32, 0 : 64] -> x
    copy B[b * 32 : 32, 0 : 64] -> y
    parallel i in 32, j in 64 {
      x[i, j] = x[i, j] + y[i, j] * 2.0
    }
    copy x -> C[b * 32 : 32, 0 : 64]
  }
}
"""

KERNEL = """\
import tiledsl
import tiledsl.language as T


def scaled(n, factor=2.0):
    @tiledsl.kernel
    def scale(A: T.Tensor((n,), T.float32), B: T.Tensor((n,), T.float32)):
        with T.Kernel(T.ceildiv(n, 128), threads=128) as b:
            for i in T.Parallel(128):
                B[b * 128 + i] = A[b * 128 + i] * factor

    return scale


scale = scaled(256)
"""


@pytest.fixture
def add(tmp_path: Path) -> str:
    (tmp_path / "add.tir").write_text(ADD)
    return str(tmp_path / "add.tir")


@pytest.fixture
def scale(tmp_path: Path) -> str:
    (tmp_path / "scale_kernel.py").write_text(KERNEL)
    return str(tmp_path / "scale_kernel.py")


def output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that succeeds prints."""
    capsys.readouterr()
    status = main(words)
    shown = capsys.readouterr()
    assert status == 0, shown.err
    return shown.out


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says that cannot do what it is asked for."""
    capsys.readouterr()
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and "Traceback" not in shown
    return shown


# ---- opt


def test_opt_prints_the_text_that_the_passes_make(add: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "opt", add, "-p", "") == ADD
    assert parse(output(capsys, "opt", add, "-p", "normalise,infer-layouts")).launches[0].layouts


def test_opt_prints_after_each_pass(add: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "opt", add, "-p", "normalise,expand-lets", "--print-after-all")
    assert [line for line in shown.splitlines() if line.startswith("# ---- after ")] != []
    assert "after normalise" in shown and "after expand-lets" in shown


def test_opt_reads_standard_input_and_writes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(ADD))
    output(capsys, "opt", "-", "-p", "", "-o", str(tmp_path / "out.tir"))
    assert (tmp_path / "out.tir").read_text() == ADD


def test_all_passes_by_default_and_again_in_steps(add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """IR text can be taken out of the pipeline anywhere and put back."""
    whole = output(capsys, "opt", add)
    half = tmp_path / "half.tir"
    half.write_text(output(capsys, "opt", add, "-p", "normalise,expand-lets,software-pipeline,infer-layouts"))
    passes = output(capsys, "opt", add, "--print-after-all").splitlines()
    names = [line.split()[3] for line in passes if line.startswith("# ---- after ")]
    assert output(capsys, "opt", str(half), "-p", ",".join(names[4:])) == whole


# ---- run


def test_run_executes_every_stage_to_the_same_checksum(
    add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tile = output(capsys, "run", add, "--size", "m=45")
    assert tile.startswith("add on tile:\n  C: float32[45, 64] crc32 ")
    lowered = tmp_path / "lowered.tir"
    lowered.write_text(output(capsys, "opt", add))
    for words in ([str(lowered)], [add, "--backend", "simt"], [str(lowered), "--mode", "late"]):
        assert output(capsys, "run", *words, "--size", "m=45").splitlines()[1:] == tile.splitlines()[1:]


@pytest.mark.cxx
def test_run_on_the_cpu_device(add: str, capsys: pytest.CaptureFixture[str]) -> None:
    tile = output(capsys, "run", add, "--size", "m=45")
    cpu = output(capsys, "run", add, "--size", "m=45", "--backend", "cpu")
    assert cpu.splitlines()[1:] == tile.splitlines()[1:]


def test_run_with_given_and_saved_arrays(add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = np.arange(64 * 3, dtype=np.float32).reshape(3, 64), np.ones((3, 64), np.float32)
    np.savez(tmp_path / "in.npz", A=a, B=b)
    output(capsys, "run", add, "--inputs", str(tmp_path / "in.npz"), "--save", str(tmp_path / "out.npz"))
    assert np.array_equal(np.load(tmp_path / "out.npz")["C"], a + 2)


def test_run_makes_the_same_inputs_from_the_same_seed(add: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", add, "--size", "m=4", "--inputs", "random")
    first = output(capsys, *words)
    assert output(capsys, *words) == first
    assert output(capsys, *words, "--seed", "1") != first


def test_run_says_what_is_missing(add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "TD0718: 'm': expected a value" in failure(capsys, "run", add)
    assert "TD0718" in failure(capsys, "run", add, "--size", "m=4", "--inputs", "zeros")
    assert "TD0711" in failure(capsys, "run", add, "--size", "m:4")
    np.savez(tmp_path / "in.npz", A=np.ones((3, 65), np.float32))
    assert "TD0718: 'A': expected shape" in failure(capsys, "run", add, "--inputs", str(tmp_path / "in.npz"))
    assert "TD0710" in failure(capsys, "run", add, "--inputs", "missing.npz")


# ---- kernels in Python files


def test_dump_each_stage_of_a_python_kernel(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    trace = output(capsys, "dump", f"{scale}:scale", "--after", "trace")
    assert "parallel i in 128" in trace
    assert parse(output(capsys, "dump", f"{scale}:scale", "--after", "infer-layouts")).launches
    assert "parallel" not in output(capsys, "dump", scale)  # the only kernel of the file, after the last pass
    assert "__global__" in output(capsys, "dump", scale, "--cuda")


def test_dump_calls_a_function_that_makes_a_kernel(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "dump", f"{scale}:scaled", "-a", "n=512", "--argument", "factor=3.0", "--after", "trace")
    assert "A: global float32[512]" in shown and "* 3.0" in shown


def test_run_a_python_kernel(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "B: float32[256] crc32" in output(capsys, "run", scale)


def test_errors_about_python_kernels_have_a_place(
    scale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "it has scale" in failure(capsys, "dump", f"{scale}:nothing")
    assert "TD0710" in failure(capsys, "dump", "missing.py:f")
    assert "TD0719: 'scaled' makes a kernel" in failure(capsys, "dump", f"{scale}:scaled", "-a", "size=1")
    broken = tmp_path / "broken_kernel.py"
    broken.write_text("x = 1\ny = x / 0\n")
    assert f"{broken}:2:5: TD0714: running '{broken}' raised ZeroDivisionError" in failure(
        capsys, "dump", f"{broken}:f"
    )
    broken.write_text("def f(:\n")
    assert f"{broken}:1:7: TD0714" in failure(capsys, "dump", f"{broken}:f")


# ---- compile and report


def test_compile_writes_cuda_ptx_and_cubin(add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    for suffix, start in ((".cu", b""), (".ptx", b"//"), (".cubin", b"\x7fELF")):
        made = tmp_path / f"add{suffix}"
        shown = output(capsys, "compile", add, "--target", "sm_80", "-o", str(made))
        assert made.read_bytes().lstrip().startswith(start) and str(made) in shown
    assert "registers, 0 bytes spilled" in shown
    assert "TD0715" in failure(capsys, "compile", add, "-o", str(tmp_path / "no" / "folder.cubin"))
    assert "TD0901" in failure(capsys, "compile", add, "--target", "sm_1")


def test_text_from_the_middle_of_the_pipeline_is_not_compiled(
    add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would compile, and lack what the remaining passes add."""
    shown = output(capsys, "opt", add, "--print-after-all")
    names = [line.split()[3] for line in shown.splitlines() if line.startswith("# ---- after ")]
    middle = tmp_path / "middle.tir"
    first = names.index("lower-tiles") + 1
    for i in range(first, names.index("narrow-indices") + 1):  # what comes after it changes no meaning
        middle.write_text(output(capsys, "opt", add, "-p", ",".join(names[:i])))
        assert "TD0709" in failure(capsys, "compile", str(middle), "-o", str(tmp_path / "x.cu"))
    for i in (1, first - 1, len(names)):
        middle.write_text(output(capsys, "opt", add, "-p", ",".join(names[:i])))
        output(capsys, "compile", str(middle), "-o", str(tmp_path / "x.cu"))


def test_report(add: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert "add for sm_80" in output(capsys, "report", add, "--target", "sm_80")
    assert '"registers"' in output(capsys, "report", add, "--target", "sm_80", "--json")
    assert "roofline of H100" in output(capsys, "report", add, "--target", "sm_90a", "--gpu", "H100")
    assert "TD0914: there is no GPU 'H100' with the target sm_80" in failure(
        capsys, "report", add, "--target", "sm_80", "--gpu", "H100"
    )
    assert "TD0635" in failure(capsys, "report", add, "--target", "sm_80", "--size", "q=3")
    assert "TD0634: the size 'q' must be an integer" in failure(
        capsys, "report", add, "--target", "sm_80", "--size", "q=x"
    )


def test_report_with_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    kernel = str(Path(__file__).parents[3] / "examples" / "gemm.py:gemm_dynamic")
    sizes = [word for n in ("m", "n", "k") for word in ("--size", f"{n}=128")]
    assert "give them as report(k=..., m=..., n=...)" in output(capsys, "report", kernel, "--target", "sm_80")
    assert "4 blocks of 128 threads" in output(capsys, "report", kernel, "--target", "sm_80", *sizes)


def test_report_without_nvdisasm(
    add: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    for module in ("tiledsl.report.report", "tiledsl.tools.sass"):
        monkeypatch.setattr(import_module(module), "find_nvdisasm", lambda: None)
    shown = output(capsys, "report", add, "--target", "sm_80")
    assert "registers" in shown and "nvdisasm is missing (pip install 'tiledsl[sass]')" in shown
    assert json.loads(output(capsys, "report", add, "--target", "sm_80", "--json"))["entries"][0]["main_loop"] is None
    assert "TD0905: nvdisasm was not found" in failure(capsys, "sass", str(tmp_path / "x.cubin"))


def test_sass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    if find_nvdisasm() is None:
        pytest.skip("nvdisasm is not installed")
    cubin = str(tmp_path / "gemm.cubin")
    sizes = [w for name in "MNK" for w in ("-a", f"{name}=512")]
    output(capsys, "compile", str(ROOT / "examples" / "gemm.py") + ":gemm", *sizes, "--target", "sm_80", "-o", cubin)
    shown = output(capsys, "sass", cubin)
    assert "main loop" in shown and "tensor" in shown and "integer instructions per tensor instruction" in shown
    assert "HMMA.16816" in output(capsys, "sass", cubin, "--code")
    (stats,) = json.loads(output(capsys, "sass", cubin, "--json")).values()
    assert stats["main_loop"]["classes"]["tensor"] > 0
    assert "TD0710" in failure(capsys, "sass", str(tmp_path / "none.cubin"))
    (tmp_path / "no.cubin").write_bytes(b"nothing")
    assert "TD0710" in failure(capsys, "sass", str(tmp_path / "no.cubin"))


# ---- explain, isa, env, layout


def test_explain_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    listed = output(capsys, "explain")
    for code in CATALOGUE:
        assert code in listed
        assert CATALOGUE[code].message in output(capsys, "explain", code.lower())
    assert "similar ones" in failure(capsys, "explain", "TD9999")


def test_isa(capsys: pytest.CaptureFixture[str]) -> None:
    everything = output(capsys, "isa")
    assert all(name in everything for name in ATOMS)
    assert len(output(capsys, "isa", "--target", "sm_80").splitlines()) < len(everything.splitlines())
    name = next(iter(ATOMS))
    assert ATOMS[name].source in output(capsys, "isa", name)
    assert "wgmma_m64n64k16_f32_f16_ss: wgmma, executed by 128" in output(capsys, "isa", "wgmma_m64n64k16_f32_f16_ss")
    assert "TD0717" in failure(capsys, "isa", "frobnicate")


def test_env(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_TARGET", "sm_89")
    shown = output(capsys, "env")
    for s in SETTINGS.values():
        assert s.name in shown and s.meaning in shown
    assert "sm_89 (default: empty)" in shown
    assert "NVRTC" in shown and "C++ compiler" in shown and "GPU" in shown


def test_layout_of_a_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = output(capsys, "layout", "fragment[4, 4] threads(4:4, 2:2) regs(2:1)").splitlines()
    assert shown[2].split() == ["T0:0", "T0:1", "T1:0", "T1:1"]
    assert shown[3].split() == ["T2:0", "T2:1", "T3:0", "T3:1"]
    banks = output(capsys, "layout", "shared[2, 4] dims([2:4], [4:1]) size(8)", "--bits", "16").splitlines()
    assert banks[2].split() == ["0/0", "1/0", "2/1", "3/1"]
    picture = tmp_path / "layout.svg"
    output(capsys, "layout", "shared[2, 4] dims([2:4], [4:1]) size(8) swizzle(1, 2, 0)", "--svg", str(picture))
    assert picture.read_text().count("<rect") == 8


def test_layout_of_a_kernel(add: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inferred = tmp_path / "inferred.tir"
    inferred.write_text(output(capsys, "opt", add, "-p", "normalise,infer-layouts"))
    listed = output(capsys, "layout", str(inferred))
    assert listed.startswith("x = fragment[32, 64]")
    assert output(capsys, "layout", add) == listed  # inferred where the text has none
    assert "registers in each of 128 threads" in output(capsys, "layout", str(inferred), "--buffer", "y")
    assert "TD0704: unknown buffer with a layout 'z'" in failure(capsys, "layout", str(inferred), "--buffer", "z")


def test_layout_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert "TD0701" in failure(capsys, "layout", "fragment[4] threads(4:1) regs(")


# ---- the command itself


def test_errors_in_ir_text_have_a_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.tir"
    broken.write_text(ADD.replace("y[i, j] *", "z[i, j] *"))
    assert f"{broken}:8:27: TD0702: no buffer named 'z'" in failure(capsys, "opt", str(broken), "-p", "")
    broken.write_text(ADD.replace("x[i, j] =", "x[i] ="))
    assert f"{broken}:8:7: TD0720: the kernel is not well-formed: 'x' has rank 2" in failure(
        capsys, "opt", str(broken), "-p", ""
    )
    assert "TD0710: cannot read 'missing.tir': No such file" in failure(capsys, "opt", "missing.tir")
    broken.write_text(ADD)
    assert "TD0761" in failure(capsys, "opt", str(broken), "-p", "no-such-pass")


def test_usage_errors_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["frobnicate"], ["opt"], ["run", "x.tir", "--backend", "abacus"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "usage: tiledsl" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[name].split()[0].capitalize() in capsys.readouterr().out


def test_python_m_tiledsl(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tiledsl", "explain", "TD0701"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0 and ran.stdout.startswith("TD0701")
