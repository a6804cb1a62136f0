"""Kernels of the user's own CUDA text: what is launched, what it is passed, and where it runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.codegen.cuda import emit
from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.dtypes import INT32
from tiledsl.ir.foreign import declared
from tiledsl.ir.nodes import Binary, Const, Evaluate, Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same
from tiledsl.report import report

PLAIN = """
__global__ void other() {}
extern "C" __global__ void scaled(const float* x, float* y, float by, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] * by;
}
"""
PORTABLE = """
TDS_KERNEL(32) scaled(const float* x, float* y, float by, int n) {
  const int i = tds::block_x() * 32 + tds::thread_index();
  if (i < n) tds::store(y + i, tds::load(x + i) * by);
}
TDS_EXPORT(scaled)
"""
X = np.arange(70, dtype=np.float32)


def scaled(x: Any, y: Any, by: Any, n: Any) -> None:
    assert x.shape == (n,) and by.dtype == np.float32
    y[:] = x * by


def launching(source: Any, reference: Any = None, **how: Any) -> Any:
    n = T.dynamic("n")

    @tiledsl.kernel(target="sm_90a")
    def kernel(X: T.Tensor((n,), "float32"), Y: T.Tensor((n,), "float32"), by: T.float32):
        given = {"args": (X, Y, by, n), **how}
        T.CUDASourceCodeKernel(
            T.ceildiv(n, 32), threads=32, source_code_or_path=source, entry_name="scaled", reference=reference, **given
        )

    return kernel


def result(kernel: Any, backend: str) -> Any:
    y = np.zeros_like(X)
    kernel(X, y, 3.0, backend=backend)
    return y


@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
def test_the_reference_stands_for_the_launch(backend: str) -> None:
    assert np.array_equal(result(launching(PLAIN, scaled), backend), X * 3)
    calls: list[int] = []
    launching(PLAIN, lambda x, y, by, n: calls.append(int(n)))(X, X.copy(), 1.0, backend=backend)
    empty = np.zeros(0, np.float32)
    launching(PLAIN, lambda x, y, by, n: calls.append(int(n)))(empty, empty.copy(), 1.0, backend=backend)
    assert calls == [70]  # once, and not at all for a grid without blocks


@pytest.mark.parametrize(("backend", "code"), [("tile", "TD0820"), ("simt", "TD0820"), ("cpu", "TD0822")])
def test_without_a_reference_it_is_an_error(backend: str, code: str) -> None:
    with pytest.raises(TileError, match="scaled") as caught:
        result(launching(PLAIN), backend)
    assert caught.value.code == code
    with pytest.raises(TileError, match="returns a ndarray") as caught:
        result(launching(PLAIN, lambda x, y, by, n: x * by), backend)
    assert caught.value.code == "TD0823"


@pytest.mark.cxx
def test_the_device_api_runs_on_the_cpu_device() -> None:
    kernel = launching(PORTABLE)
    assert np.array_equal(result(kernel, "cpu"), X * 3)
    assert "__CUDACC__" not in kernel.compile().lowered.source.text
    wrong = launching(PORTABLE.replace("i < n", "i <= n")).compile()
    with pytest.raises(TileError, match="'x' is accessed out of bounds"):
        from tiledsl.backends import Backend, bind, run_on_cpu

        bound = bind(wrong.lowered.signature, (X, X.copy(), 1.0), {})
        run_on_cpu(wrong.lowered, bound, Backend.CPU, check=True)


def test_nvrtc_compiles_the_text_as_it_is() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    for source in (PLAIN, PORTABLE, PLAIN.replace('extern "C" ', "")):
        kernel = launching(source).compile()
        assert ".visible .entry scaled(" in kernel.ptx
        assert kernel.source.count('extern "C" __global__ void scaled(') == (source is not PORTABLE)
        (entry,) = report(kernel.lowered).entries
        assert entry.name == "scaled" and entry.threads == 32
    assert "of the user's own" in str(report(kernel.lowered))


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.cu"
    path.write_text(PLAIN)
    for named in (path, str(path)):
        assert f'#line 1 "{path}"' in launching(named).compile().source
    for lost in (tmp_path / "lost.cu", "lost.cu", 3, None):
        with pytest.raises(TileError, match="source_code_or_path") as caught:
            launching(lost).compile()
        assert caught.value.code == "TD0226"


def test_all_parameters_are_passed_by_default() -> None:
    entry = launching(PLAIN, args=None).compile().lowered.signature.entries[0]
    assert entry.arguments == ("X", "Y", "by", "n") and entry.users


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"shared_bytes": -1}, "TD0226"), ({"shared_bytes": 1 << 20}, "TD0510"), ({"args": (3,)}, "TD0226"),
        ({"cluster_dims": 16}, "TD0224"), ({"args": ()}, "TD0281"), ({"reference": 3}, "TD0226"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_launches(how: dict[str, Any], code: str) -> None:
    reference = how.pop("reference", None)
    with pytest.raises(TileError) as caught:
        launching(PLAIN, reference, **how).compile()
    assert caught.value.code == code and caught.value.span.file == __file__


def test_what_is_launched() -> None:
    compiled = launching(PLAIN, shared_bytes=4096, cluster_dims=2).compile()
    (entry,) = compiled.lowered.signature.entries
    assert (entry.shared_bytes, entry.cluster, entry.threads, entry.block) == (4096, (2,), 32, ())
    assert [p.written for p in compiled.lowered.signature.parameters[:2]] == [False, True]  # `const` says what is read


def test_the_text_form() -> None:
    kernel = launching(PLAIN, shared_bytes=64).compile().lowered.final
    assert "shared_bytes(64) entry(scaled) {" in text(kernel)
    assert same(parse(text(kernel)), kernel)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: (*body, *body),
        lambda body: (),
        lambda body: (Evaluate(replace(body[0].value, fn="other")),),
        lambda body: (Evaluate(replace(body[0].value, pure=True)),),
        lambda body: (
            Evaluate(
                replace(
                    body[0].value, args=(*body[0].value.args[:3], Binary("+", body[0].value.args[3], Const(1, INT32)))
                )
            ),
        ),
    ],
    ids=["twice", "nothing", "another", "pure", "computed"],
)
def test_a_launch_of_text_is_one_call_of_it(change: Callable[[Any], Any]) -> None:
    kernel: Kernel = launching(PLAIN).compile().lowered.final
    (launch,) = kernel.launches
    verify(kernel)
    with pytest.raises(VerifyError, match="launch of"):
        verify(replace(kernel, launches=(replace(launch, body=change(launch.body)),)))


def test_names_do_not_collide() -> None:
    n = T.dynamic("n")

    @tiledsl.kernel(target="sm_80")
    def scaled(X: T.Tensor((n,), "float32"), Y: T.Tensor((n,), "float32"), by: T.float32):
        with T.Kernel(T.ceildiv(n, 32), threads=32) as b:
            for i in T.Parallel(32):
                Y[b * 32 + i] = X[b * 32 + i]
        for _ in [1, 2]:
            T.CUDASourceCodeKernel(1, source_code_or_path=PLAIN, entry_name="other", args=())

    lowered = scaled.compile().lowered
    names = [e.name for e in lowered.source.entries]
    assert names[1:] == ["other", "other"] and names[0] not in declared(lowered.final.source)
    assert lowered.source.text.count("void other()") == 1
    assert emit(lowered.final).text == lowered.source.text


SHAPES = """
/* __global__ void commented(int x) { */ // __global__ void too(int x) {
__global__ void declared_only(int x);
__global__ void __launch_bounds__(128, 2) with_bounds(float *__restrict__ a, const Pair<int, 3>* b) { a[0] = 0; }
static __global__
void over_lines(
    int a,  // a number, of (something)
    float const* p) {
}
template <typename T, int N> __global__ void generic(T* a) { }
namespace inner { extern "C" __global__ void within() { if (1) { } } }
"""


def test_what_a_text_declares() -> None:
    found = declared(SHAPES)
    assert list(found) == ["with_bounds", "over_lines", "generic", "within"]
    assert found["with_bounds"].parameters == ("float *__restrict__ a", "const Pair<int, 3>* b")
    assert [found["with_bounds"].writes(i) for i in (0, 1)] == [True, False]
    assert found["over_lines"].parameters == ("int a", "float const* p")
    assert [found["over_lines"].writes(i) for i in (0, 1)] == [False, False]
    assert [k.is_template for k in found.values()] == [False, False, True, False]
    assert [k.is_extern_c for k in found.values()] == [False, False, False, True]
    assert all(re.match(r"__global__", SHAPES[k.at :]) for k in found.values())
