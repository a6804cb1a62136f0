"""Pointers of the call: what may be passed for them, and what the kernel makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same


@tiledsl.kernel(target="sm_80")
def doubled(p: T.ptr("int32"), q: T.ptr("int32"), n: T.int32, step: T.int32):
    A = T.make_tensor(p, (n, 4), strides=(step, 1))
    B = T.make_tensor(q, (n, 4))
    with T.Kernel(n, threads=32) as b:
        for i in T.Parallel(4):
            B[b, i] = A[b, i] * 2


DATA = np.arange(48, dtype=np.int32)


@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
@pytest.mark.parametrize("shape", [(48,), (6, 8), (2, 3, 8)])
def test_memory_of_any_shape(shape: tuple[int, ...], backend: str) -> None:
    q = np.zeros(shape, np.int32)
    doubled(DATA.reshape(shape), q, 6, 8, backend=backend)
    assert np.array_equal(q.reshape(-1)[:24], DATA.reshape(6, 8)[:, :4].reshape(-1) * 2)
    assert not q.reshape(-1)[24:].any()


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    q = torch.zeros((4, 12), dtype=torch.int32)
    doubled(torch.arange(48, dtype=torch.int32).reshape(12, 4), q, 6, 8, backend="simt")
    assert q.reshape(-1)[:24].tolist() == (DATA.reshape(6, 8)[:, :4].reshape(-1) * 2).tolist()


@pytest.mark.parametrize(
    ("p", "n", "step", "code"),
    [
        (DATA[:44], 6, 8, ""), (DATA[:43], 6, 8, "TD0636"), (DATA, 6, 9, "TD0636"), (DATA, -1, 8, "TD0636"),
        (DATA.astype(np.float32), 6, 8, "TD0607"), (DATA[:45][::-1], 6, 8, "TD0636"), (3, 6, 8, "TD0606"),
        (DATA, 0, 8, ""), (DATA[1:], 5, 8, "TD0609"),
    ],
    ids=lambda v: str(v) if not isinstance(v, np.ndarray) else f"{v.dtype}{v.shape}",
)  # fmt: skip
def test_what_is_enough(p: Any, n: int, step: int, code: str) -> None:
    p = p if not isinstance(p, np.ndarray) or code in ("TD0609",) or p.strides[0] < 0 else p.copy()
    q = np.zeros(24, np.int32)
    if not code:
        doubled(p, q, n, step, backend="simt")
        assert np.array_equal(q[: n * 4], np.lib.stride_tricks.as_strided(p, (n, 4), (step * 4, 4)).reshape(-1) * 2)
        return
    with pytest.raises(TileError) as caught:
        doubled(p, q, n, step, backend="simt")
    assert caught.value.code == code


def test_what_is_read_only_stays_so() -> None:
    q = np.zeros(24, np.int32)
    q.flags.writeable = False
    with pytest.raises(TileError) as caught:
        doubled(DATA, q, 6, 8, backend="simt")
    assert caught.value.code == "TD0626"


def test_the_text_form() -> None:
    for stage in doubled.compile().lowered.stages:
        assert "\n  pointers p, q\n" in text(stage.kernel) and same(parse(text(stage.kernel)), stage.kernel)


def test_sizes_are_not_bound_from_pointers() -> None:
    n = T.dynamic("n")

    @tiledsl.kernel(target="sm_80")
    def kernel(p: T.ptr):
        A = T.make_tensor(p, (n,), "int32")
        with T.Kernel(1, threads=32):
            A[0] = 1

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == "TD0141"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda p, A: T.make_tensor(p, (8,), "int8"), "TD0226"),
        (lambda p, A: T.make_tensor(p, (8, 1), strides=(1,)), "TD0222"),
        (lambda p, A: (T.make_tensor(p, (8,)), T.make_tensor(p, (8,))), "TD0103"), (lambda p, A: None, "TD0151"),
        (lambda p, A: T.make_tensor(A, (8,), strides=(1,)), "TD0226"), (lambda p, A: p + 1, "TD0151"),
        (lambda p, A: T.ptr("int32", "shared"), "TD0226"),
    ],
)  # fmt: skip
def test_wrong_uses(make: Any, code: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(p: T.ptr("float32"), A: T.Tensor((8,), "float32")):
        make(p, A)
        with T.Kernel(1, threads=32):
            A[0] = 1

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == code


def test_a_tensor_is_made_before_the_launch() -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(p: T.ptr("float32")):
        with T.Kernel(1, threads=32):
            T.make_tensor(p, (8,))[0] = 1

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == "TD0143"
