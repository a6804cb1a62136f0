"""Kernels and errors travel between processes: what comes out there is what went in."""

from __future__ import annotations

import copy
import pickle

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import NOWHERE, Span, TileError, VerifyError, error
from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same

m = T.dynamic("m")


@tiledsl.kernel(target="sm_90a")
def product(A: T.Tensor((m, 64), T.bfloat16), B: T.Tensor((64, 64), T.bfloat16), C: T.Tensor((m, 64), T.bfloat16)):
    with T.Kernel(T.ceildiv(m, 64), threads=128) as bx:
        a, b = T.alloc_shared((64, 32), T.bfloat16), T.alloc_shared((32, 64), T.bfloat16)
        c = T.alloc_fragment((64, 64), T.float32)
        T.clear(c)
        for k in T.Pipelined(2, num_stages=2):
            T.copy(A[bx * 64, k * 32], a)
            T.copy(B[k * 32, 0], b)
            T.gemm(a, b, c)
        T.copy(c, C[bx * 64, 0])


@pytest.mark.parametrize("again", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_lowered_kernel(again: object) -> None:
    lowered = product.compile().lowered
    there = again(lowered.portable())  # type: ignore[operator]
    assert [s.name for s in there.stages] == ["trace", lowered.stages[-1].name]
    for here, other in ((lowered.stages[0].kernel, there.stages[0].kernel), (lowered.final, there.final)):
        assert isinstance(other, Kernel)
        assert text(here) == text(other)
        assert same(here, other)
    assert (there.cuda, there.signature, there.target) == (lowered.cuda, lowered.signature, lowered.target)


def test_dtypes_are_the_rows_of_the_table() -> None:
    for row in DTYPES.values():
        assert pickle.loads(pickle.dumps(row)) is row


def test_places() -> None:
    assert pickle.loads(pickle.dumps(NOWHERE)) is NOWHERE
    place = Span("f.py", 3, 1, 3, 9)
    assert pickle.loads(pickle.dumps(place)) == place


def test_errors() -> None:
    place = Span("f.py", 3, 1, 3, 9)
    made = error("TD0607", place, (("made here", NOWHERE),), name="A", expected="float16", given=object)
    there = pickle.loads(pickle.dumps(made))
    assert type(there) is TileError
    assert (str(there), there.to_json(), there.args) == (str(made), made.to_json(), made.args)
    assert there.facts == {"name": "A", "expected": "float16", "given": "<class 'object'>"}
    broken = pickle.loads(pickle.dumps(VerifyError("a bind twice", place)))
    assert type(broken) is VerifyError and broken.code == "TD0001" and str(broken).startswith("f.py:3:2: TD0001")
