"""What the CPU device reports: the code, the facts, and the line of the user's file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tiledsl.cpu import toolchain
from tiledsl.cpu.device import compile_source
from tiledsl.errors import Span, TileError
from tiledsl.ir.dtypes import FLOAT32, INT32
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AtomCall,
    Barrier,
    Binary,
    Block,
    Buffer,
    Call,
    Evaluate,
    For,
    If,
    Kernel,
    Load,
    Move,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.testing.thread_stage import i32, one_launch, run_on_device

pytestmark = pytest.mark.cxx

FILE = "/home/user/kernel.py"
T = Var("t", INT32)
OUT = Buffer("out", (32,), FLOAT32)
TILE = Buffer("tile", (32,), FLOAT32, Space.SHARED)
REGS = Buffer("regs", (4,), FLOAT32, Space.LOCAL)


def at(line: int) -> Span:
    return Span(FILE, line, 0, line, 1)


def kernel_of(*body: Stmt, threads: int = 32) -> Kernel:
    return one_launch([OUT], (Alloc(TILE), Alloc(REGS), *body), T, threads)


def failure(kernel: Kernel, checked: bool = True, **how: Any) -> TileError:
    with pytest.raises(TileError) as caught:
        run_on_device(kernel, {"out": np.zeros(32, np.float32)}, checked=checked, **how)
    return caught.value


def plus(n: int) -> Binary:
    return Binary("+", T, i32(n))


def if_lane(n: int, *then: Stmt) -> If:
    return If(Binary("==", T, i32(n)), then)


@pytest.mark.parametrize("checked", [False, True])
def test_global_access_out_of_bounds(checked: bool) -> None:
    error = failure(kernel_of(Store(OUT, (plus(1),), Load(OUT, (T,)), span=at(7))), checked)
    assert (error.code, error.span.file, error.span.line) == ("TD0802", FILE, 7)
    assert "'out'" in error.message and "is 128, the extent is 128" in error.message
    assert "block (0, 0, 0), thread 31" in error.message


@pytest.mark.parametrize("checked", [False, True])
def test_shared_access_out_of_bounds(checked: bool) -> None:
    error = failure(kernel_of(Store(TILE, (plus(-1),), Load(OUT, (T,)), span=at(8))), checked)
    assert (error.code, error.span.line) == ("TD0802", 8)
    assert "the byte offset is -4, the extent is 128" in error.message


def test_register_out_of_bounds() -> None:
    error = failure(kernel_of(Store(REGS, (plus(-20),), Load(OUT, (T,)), span=at(9))))
    assert error.code == "TD0802" and "'registers'" in error.message


@pytest.mark.parametrize("checked", [False, True])
def test_misaligned_vector(checked: bool) -> None:
    move = Move(Address(REGS, (i32(0),)), Address(OUT, (i32(1),)), 2, span=at(5))
    error = failure(kernel_of(move), checked)
    assert (error.code, error.span.line) == ("TD0806", 5) and "8 bytes at a time at byte 4" in error.message


def test_uninitialised_shared_memory() -> None:
    error = failure(kernel_of(if_lane(0, Store(OUT, (T,), Load(TILE, (i32(6),)), span=at(11)))))
    assert (error.code, error.span.line) == ("TD0803", 11) and "at byte 24" in error.message


def test_copies_in_flight() -> None:
    copy = AtomCall("cp_async_4", (Address(TILE, (T,)), Address(OUT, (T,)), Binary("<", T, i32(40))), span=at(3))
    error = failure(kernel_of(copy, Store(OUT, (T,), Load(TILE, (T,)), span=at(4))))
    assert (error.code, error.span.line) == ("TD0805", 4)
    assert failure(kernel_of(copy)).code == "TD0808"


@pytest.mark.parametrize("checked", [False, True])
def test_a_barrier_that_some_threads_skip(checked: bool) -> None:
    body = If(Binary("<", T, i32(40)), (Barrier(span=at(21)),))
    error = failure(kernel_of(body, threads=64), checked)
    assert (error.code, error.span.line) == ("TD0830", 21)
    assert "threads 0-39 wait at barrier 0 in line 21" in error.message and "threads 40-63 have ended" in error.message


def test_two_barriers_for_one() -> None:
    body = If(Binary("<", T, i32(32)), (Barrier(span=at(31)),), (Barrier(span=at(41)),))
    error = failure(kernel_of(body, threads=64))
    assert error.code == "TD0831" and "line 31" in error.message and "line 41" in error.message


def test_a_collective_in_a_divergent_branch() -> None:
    vote: Block = (Evaluate(Call("warp_any", (Binary("<", T, i32(1)),)), span=at(14)),)
    error = failure(kernel_of(If(Binary("<", T, i32(7)), vote)))
    assert error.code == "TD0830" and "threads 0-6 wait at a vote in line 14" in error.message
    shuffle: Block = (Evaluate(Call("shfl_xor", (T, i32(1))), span=at(15)),)
    error = failure(kernel_of(If(Binary("<", T, i32(7)), vote, shuffle)))
    assert error.code == "TD0811" and "a vote in line 14" in error.message


def test_a_shuffle_from_a_lane_that_is_not_there() -> None:
    error = failure(kernel_of(Evaluate(Call("shfl_xor", (T, i32(16))), span=at(2)), threads=16))
    assert error.code == "TD0832" and "lane 0 the value of lane 16" in error.message


def test_assertions_and_assumptions() -> None:
    error = failure(kernel_of(Assert(Binary("<", T, i32(5)), "small", span=at(17))), checked=False)
    assert (error.code, error.span.line) == ("TD0809", 17) and "small" in error.message and "thread 5" in error.message
    assert failure(kernel_of(Assume(Binary("<", T, i32(5)), span=at(18)))).code == "TD0810"


def test_the_first_block_is_reported_whatever_the_schedule() -> None:
    bx = Var("bx", INT32)
    body = (If(Binary(">", bx, i32(10)), (Assert(Binary("<", T, i32(5)), span=at(1)),)),)
    kernel = one_launch([], body, T, 32, (i32(200),), (bx,))
    for workers in (1, 2):
        with pytest.raises(TileError, match=r"block \(11, 0, 0\), thread 5"):
            run_on_device(kernel, {}, workers=workers)


def test_the_device_works_after_a_failure() -> None:
    failure(kernel_of(Assert(Binary("<", T, i32(0)))))
    i = Var("i", INT32)
    out = np.zeros(32, np.float32)
    run_on_device(kernel_of(For(i, i32(3), (Store(OUT, (T,), Load(OUT, (T,))),))), {"out": out})


# --------------------------------------------------------------------------------------------------- the toolchain


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    with pytest.raises(TileError) as caught:
        compile_source("// nothing", [])
    assert caught.value.code == "TD0911" and "TILEDSL_CXX" not in caught.value.message


def test_a_compiler_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_compiler", lambda: ("no-such-compiler",))
    with pytest.raises(TileError) as caught:
        compile_source("// nothing", [])
    assert caught.value.code == "TD0910" and "no-such-compiler" in caught.value.message


def test_text_that_the_compiler_rejects_names_the_users_line() -> None:
    with pytest.raises(TileError) as caught:
        compile_source(f'#line 12 "{FILE}"\nint x = nothing_of_that_name;\n', [])
    assert caught.value.code == "TD0912" and f"{FILE}:12" in caught.value.message


def test_the_environment_names_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CXX", "ccache my-c++")
    assert toolchain.find_compiler.__wrapped__() == ("ccache", "my-c++")


def test_what_was_compiled_is_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "TDS_KERNEL(32) again(float* a) { tds::store(a, 1.0f); }\nTDS_EXPORT(again)\n"
    first = toolchain.kernel_library(text, False)
    monkeypatch.setattr(toolchain, "run_compiler", lambda *_: pytest.fail("compiled again"))
    assert toolchain.kernel_library(text, False) == first
