"""What the parameters of a kernel are taken for, and how its specialisations differ."""

# ruff: noqa: UP037  (a quoted annotation is what one test is about)
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.signature import Kind, signature_of
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir.nodes import Buffer, Const, Store, Var
from tiledsl.ir.printer import text

if TYPE_CHECKING:
    from collections import OrderedDict


def described(fn: Callable[..., Any]) -> dict[str, str]:
    return {p.name: p.kind.value for p in signature_of(fn).parameters}


def test_kinds_of_parameters() -> None:
    def kernel(
        A: T.Tensor((4,), "int8"), n: T.int32, x: "T.float32", block: int = 4, table: OrderedDict | None = None, z=1
    ):
        pass

    assert described(kernel) == {
        "A": "tensor",
        "n": "scalar",
        "x": "scalar",
        "block": "static",
        "table": "static",
        "z": "static",
    }
    assert not signature_of(kernel).constant_style


def test_names_that_occur_only_in_string_annotations_are_found() -> None:
    def factory(shape: tuple[int, int], dtype: Any) -> Any:
        @tiledsl.kernel
        def kernel(A: T.Tensor(shape, dtype), scale: T.float32):
            with T.Kernel(1):
                A[0, 0] = scale

        return kernel

    (tensor, _) = factory((3, 5), T.float16).signature.parameters
    assert tensor.tensor is not None and tensor.tensor.shape == (3, 5) and tensor.tensor.dtype.name == "float16"
    assert "float64[7, 8]" in text(factory((7, 8), "float64").trace())


def test_names_that_occur_only_in_annotations_of_the_body_are_found() -> None:
    def factory(dtype: Any) -> Any:
        @tiledsl.kernel
        def kernel(A):
            M = T.const("M")
            A: T.Tensor((M,), dtype)
            with T.Kernel(M):
                A[0] = 0

        return kernel

    kernel = factory("int16")
    assert kernel.signature.constant_style
    assert "int16[9]" in text(kernel.trace({"A": TensorSpec((9,), "int16")}))
    assert "int16[5]" in text(kernel.trace(M=5)), "sizes may be given by name"


def test_sizes_can_be_computed_with_before_all_tensors_are_declared() -> None:
    def kernel(A, B):
        M, N = T.const("M, N")
        A: T.Tensor((M, N), "float32")
        half = N // 2
        B: T.Tensor((half,), "float32")
        with T.Kernel(half):
            B[0] = A[0, 0]

    traced = trace_kernel(kernel, {}, {"A": TensorSpec((4, 10), "float32"), "B": TensorSpec((5,), "float32")})
    assert [p.shape for p in traced.params if isinstance(p, Buffer)] == [(4, 10), (5,)]
    assert traced.launches[0].grid == (Const(5),)


def test_compile_time_parameters_specialise() -> None:
    def kernel(A: T.Tensor((8,), "int32"), mode: str, values: tuple = (1, 2)):
        with T.Kernel(1):
            if mode == "sum":
                A[0] = sum(values)
            else:
                for v in values:
                    A[v] = v

    def stored(**static: object) -> list[Any]:
        body = trace_kernel(kernel, static, {}).launches[0].body
        return [s.value.value for s in body if isinstance(s, Store) and isinstance(s.value, Const)]

    assert stored(mode="sum") == [3]
    assert stored(mode="each", values=(5, 6, 7)) == [5, 6, 7]


def test_dynamic_sizes_are_shared_by_name_and_strides_count() -> None:
    def kernel(
        A: T.StridedTensor((T.dynamic("m"), 4), (T.dynamic("stride"), 1), "float32"),
        B: T.Tensor((T.dynamic("m"),), "float32"),
    ):
        with T.Kernel(1):
            B[0] = A[0, 0]

    traced = trace_kernel(kernel, {}, {})
    assert [v.name for v in traced.sizes] == ["m", "stride"]
    a, b = traced.params
    assert isinstance(a, Buffer) and isinstance(b, Buffer) and a.shape[0] is b.shape[0]
    assert a.strides is not None and a.strides[0] is traced.sizes[1]


def test_results_are_the_last_parameters_and_other_empties_are_scratch() -> None:
    def kernel(n: T.int32):
        C = T.empty((4,), "float32")
        D = T.empty((8,), "float32")
        with T.Kernel(1):
            D[0] = n
            C[0] = D[0]
        return C

    traced = trace_kernel(kernel, {}, {})
    assert isinstance(traced.params[0], Var)
    assert [p.name for p in traced.params] == ["n", "C"]
    assert [r.name for r in traced.results] == ["C"] and [s.name for s in traced.scratch] == ["D"]


def test_tracing_again_gives_the_same_text() -> None:
    def kernel(A: T.Tensor((8,), "int32"), k: int):
        with T.Kernel(k) as b:
            x = A[b] + k
            A[b] = x

    assert text(trace_kernel(kernel, {"k": 2}, {})) == text(trace_kernel(kernel, {"k": 2}, {}))
    assert text(trace_kernel(kernel, {"k": 2}, {})) != text(trace_kernel(kernel, {"k": 3}, {}))


def test_a_wrapped_function_reports_its_own_place() -> None:
    @functools.lru_cache
    def size() -> int:
        return 8

    def kernel(A: T.Tensor((8,), "int32")):
        with T.Kernel(1):
            A[size()] = 0

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    assert caught.value.span.file == __file__ and "A[size()]" in str(caught.value)


def test_positions_survive_indentation_and_strings_over_lines() -> None:
    def kernel(A: T.Tensor((8,), "int32")):
        note = """
a string at column 0"""
        with T.Kernel(1):
            assert note
            A[8] = 0

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    assert caught.value.span.excerpt().splitlines()[0].strip() == "A[8] = 0"
    assert signature_of(kernel).of_kind(Kind.TENSOR)[0].name == "A"


def test_a_macro_may_name_itself_and_keep_globals() -> None:
    def kernel(A: T.Tensor((8,), "int32")):
        with T.Kernel(1):
            countdown(A, 3)

    body = trace_kernel(kernel, {}, {}).launches[0].body
    assert len([s for s in body if isinstance(s, Store)]) == 3


@T.macro
def countdown(tensor, n):
    if n > 0:
        tensor[n] = n
        countdown(tensor, n - 1)
