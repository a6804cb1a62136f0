"""Functions of the user's own CUDA text without a reference in Python, or with a wrong one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Reference

SOURCE = "__device__ float twice(float x) { return 2 * x; }"


def twice(x: Any) -> Any:
    return 2 * x


def calling(references: dict[str, Callable[..., Any]] | None) -> Any:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((32,), "float32")):
        T.import_source(SOURCE, references)
        with T.Kernel(1, threads=32):
            for i in T.Parallel(32):
                A[i] = T.call_extern("float32", "twice", A[i])

    return kernel


@pytest.mark.parametrize("backend", ["tile", "simt"])
@pytest.mark.parametrize(
    ("references", "code"),
    [(None, "TD0820"), ({"trice": twice}, "TD0820"), ({"twice": lambda x: None}, "TD0821")],
    ids=["none", "another", "no result"],
)
def test_who_has_no_reference(references: Any, code: str, backend: str) -> None:
    with pytest.raises(TileError, match="twice") as caught:
        calling(references)(np.ones(32, np.float32), backend=backend)
    assert caught.value.code == code and caught.value.span.file == __file__


@pytest.mark.parametrize("references", [{"twice": 2}, {3: twice}, {"": 1}])
def test_references_are_functions(references: Any) -> None:
    with pytest.raises(TileError, match="references of T") as caught:
        calling(references).compile()
    assert caught.value.code == "TD0226"


def test_references_travel_if_a_module_has_them() -> None:
    assert pickle.loads(pickle.dumps(Reference("twice", twice))).function is twice
    lost = pickle.loads(pickle.dumps(Reference("twice", lambda x: 2 * x)))
    with pytest.raises(RuntimeError, match="does not travel"):
        lost.function(1)


@pytest.mark.parametrize(
    ("use", "code"),
    [
        (lambda A: T.access_ptr(A[0], "x"), "TD0226"), (lambda A: T.access_ptr(3), "TD0235"),
        (lambda A: T.tvm_access_ptr("int32", A, 0, 1), "TD0226"),
        (lambda A: T.tvm_access_ptr("float32", 3, 0, 1), "TD0235"),
        (lambda A: T.tvm_access_ptr("float32", A, 0, 1, 4), "TD0226"),
    ],
)  # fmt: skip
def test_wrong_pointers(use: Callable[..., Any], code: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((32,), "float32")):
        with T.Kernel(1, threads=32):
            use(A)

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == code
