"""`with_source`: edited CUDA text in the place of the emitted one; TILEDSL_RACE; where calls run."""

from __future__ import annotations

import importlib.machinery
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl import TileError, backends
from tiledsl.cpu import toolchain
from tiledsl.decorator import CompiledKernel

N = 64
A = np.arange(N, dtype=np.float32)


@tiledsl.kernel(out_idx=-1)
def turned(A: T.Tensor((N,), T.float32), C: T.Tensor((N,), T.float32)):
    with T.Kernel(1, threads=N):
        tile = T.alloc_shared((N,), T.float32)
        T.copy(A, tile)
        for i in T.Parallel(N):
            C[i] = tile[N - 1 - i] * 2.0


@pytest.fixture
def compiled() -> CompiledKernel:
    return turned.compile(target="sm_80")


def edited(compiled: CompiledKernel, old: str, new: str, text: str | None = None) -> CompiledKernel:
    text = text or compiled.source
    assert old in text
    return compiled.with_source(text.replace(old, new))


# ---- edited text


@pytest.mark.cxx
@pytest.mark.parametrize("alone", [False, True], ids=["with device functions", "kernels alone"])
def test_edited_text_runs_on_the_cpu_device(compiled: CompiledKernel, alone: bool) -> None:
    text = compiled.lowered.source.text if alone else compiled.source
    tripled = edited(compiled, "2.0f", "3.0f", text)
    assert (tripled(A, backend="cpu") == 3 * A[::-1]).all()
    assert (compiled(A, backend="cpu") == 2 * A[::-1]).all(), "the kernel itself is as it was"
    assert "3.0f" in tripled.source and tripled.source.startswith(compiled.source[:1000])


def test_a_kernel_that_waits_for_the_one_before_may_start_early(compiled: CompiledKernel) -> None:
    assert not compiled.lowered.signature.entries[0].dependent
    waiting = edited(compiled, "tds::barrier();", "tds::grid_wait();\n  tds::barrier();")
    assert waiting.lowered.signature.entries[0].dependent


@pytest.mark.cxx
def test_helpers_and_further_device_functions(compiled: CompiledKernel) -> None:
    kernel = "TDS_KERNEL("
    helper = "TDS_DEVICE float thrice(float x) { return tds::bitcast<float>(tds::bitcast<tds::u32>(3.0f * x)); }\n"
    made = compiled.with_source(
        compiled.source.replace(kernel + "64", helper + kernel + "64").replace("* 2.0f", "* thrice(1.0f)")
    )
    assert (made(A, backend="cpu") == 3 * A[::-1]).all()


def test_edited_text_is_compiled_for_the_gpu(compiled: CompiledKernel) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    tripled = edited(compiled, "2.0f", "3.0f")
    assert tripled.cubin != compiled.cubin
    with pytest.raises(TileError, match="TD0903"):
        _ = edited(compiled, "2.0f", "two").cubin


@pytest.mark.cxx
def test_a_check_compares_edited_text_with_the_ir(compiled: CompiledKernel) -> None:
    assert edited(compiled, "#line", " #line").check(A, schedules=2).ok
    found = edited(compiled, "2.0f", "3.0f").check(A, schedules=2)
    assert [f.code for f in found.findings] == ["TD0891"] and len(found.found_in[0]) == 2, found
    assert not edited(compiled, "  tds::barrier();\n", "").check(A, schedules=2).ok


@pytest.mark.parametrize(
    "old, new, code",
    [
        ("TDS_KERNEL(64, 1) turned(", "TDS_KERNEL(64, 1) other(", "TD0630: the edited text has no kernel 'turned'"),
        ("TDS_EXPORT(turned)", "", "TD0630"),
        ("turned(const float*", "turned(int n, const float*", "TD0631: 'turned' of the edited text has 64 threads"),
        ("TDS_KERNEL(64,", "TDS_KERNEL(128,", "TD0631: 'turned' of the edited text has 128 threads"),
        ("namespace tds {", "namespace sdt {", "TD0632"),
    ],
)
def test_what_cannot_be_edited(compiled: CompiledKernel, old: str, new: str, code: str) -> None:
    with pytest.raises(TileError, match=code):
        edited(compiled, old, new)


def test_numpy_executions_do_not_run_text(compiled: CompiledKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = edited(compiled, "TDS_KERNEL(64, 1)", "TDS_KERNEL(64, 2)")
    for backend in ("simt", "tile"):
        with pytest.raises(TileError, match=f"TD0633: backend '{backend}' executes the IR"):
            kernel(A, backend=backend)
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    monkeypatch.setattr(backends, "find_driver", lambda: None)
    with pytest.raises(TileError, match="TD0633"):
        kernel(A)
    with pytest.raises(TileError, match="TD0911"):
        kernel.check(A)


# ---- TILEDSL_RACE, TILEDSL_BACKEND


@pytest.mark.cxx
def test_race_checks_every_call(compiled: CompiledKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    racing = edited(compiled, "  tds::barrier();\n", "")
    racing(A, backend="cpu")  # nobody looks
    monkeypatch.setenv("TILEDSL_RACE", "1")
    with pytest.raises(TileError, match=r"TD080[345]"):
        racing(A, backend="cpu")
    assert (compiled(A, backend="cpu") == 2 * A[::-1]).all()


@pytest.mark.parametrize("name", ["cpu", "simt", "tile"])
def test_backend_by_environment(name: str, monkeypatch: pytest.MonkeyPatch, compiled: CompiledKernel) -> None:
    ran: list[Any] = []
    monkeypatch.setenv("TILEDSL_BACKEND", name)
    monkeypatch.setattr(backends, "run_on_cpu", lambda lowered, bound, backend, **how: ran.append(backend.value))
    compiled(A)
    assert ran == [name]


# ---- which compiler


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH with nothing on it, no named compiler, no ziglang."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TILEDSL_CXX", raising=False)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    toolchain.find_compiler.cache_clear()
    yield tmp_path
    toolchain.find_compiler.cache_clear()


def command(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    os.chmod(folder / name, stat.S_IRWXU)


def found() -> tuple[str, ...] | None:
    toolchain.find_compiler.cache_clear()
    return toolchain.find_compiler()


@pytest.mark.skipif(sys.platform == "win32", reason="commands are files with a mode here")
def test_the_order_of_compilers(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_driver", lambda: None)
    assert found() is None and toolchain.compiler_name() is None
    assert tiledsl.where() == "the CPU: thread-stage IR in NumPy (no C++ compiler was found)"
    spec = importlib.machinery.ModuleSpec("ziglang", None)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: spec if name == "ziglang" else None)
    assert (found() or ())[1:4] == ("-m", "ziglang", "c++") and toolchain.compiler_name() == "ziglang"
    for name in ("clang++", "g++", "c++"):  # each is preferred to those before it
        command(bare, name)
        assert found() == (str(bare / name),) and toolchain.compiler_name() == name
        assert tiledsl.where() == f"the CPU: emitted C++ on the CPU device ({name})"
    monkeypatch.setenv("TILEDSL_CXX", "ccache my-c++")
    assert found() == ("ccache", "my-c++") and toolchain.compiler_name() == "ccache my-c++"


@pytest.mark.usefixtures("bare")
def test_without_any_compiler_calls_and_checks_run_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_driver", lambda: None)
    assert found() is None
    assert (turned(A) == 2 * A[::-1]).all()
    assert "thread-stage IR in NumPy (no C++ compiler was found)" in turned.check(A, schedules=1).execution


@pytest.mark.slow
def test_ziglang_compiles_the_runtime_and_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="ziglang is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TILEDSL_CXX", raising=False)
    toolchain.find_compiler.cache_clear()
    try:
        assert toolchain.compiler_name() == "ziglang"
        assert (turned(A, backend="cpu") == 2 * A[::-1]).all()
    finally:
        toolchain.find_compiler.cache_clear()
