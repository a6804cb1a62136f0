"""The emitter: golden text that is also executed, every statement, names, lines, and what it refuses."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiledsl.codegen.cuda import cuda_text, emit
from tiledsl.cpu import interp
from tiledsl.errors import Span
from tiledsl.ir.dtypes import BOOL, FLOAT16, FLOAT32, INT32, INT64, UINT32
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Barrier,
    Binary,
    Block,
    Break,
    Buffer,
    Call,
    Cast,
    Const,
    Continue,
    Evaluate,
    Expr,
    Extern,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Pipelined,
    Print,
    Region,
    Select,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    View,
    While,
)
from tiledsl.ir.tile import Gemm
from tiledsl.testing.thread_stage import compile_for, i32, one_launch, placed, run_on_device

GOLDEN = Path(__file__).parents[2] / "golden" / "cuda"


def add(a: Expr, b: Expr) -> Expr:
    return Binary("+", a, b)


def at(line: int) -> Span:
    return Span("/home/user/kernel.py", line, 4, line, 20)


def neighbours() -> Kernel:
    """out[i] = in[i] + in[i ^ 1] within blocks of 32, in float32, through shared memory; `n` elements."""
    source, out = Buffer("A", (64,), FLOAT16), Buffer("B", (64,), FLOAT32)
    n, bx, t, g = Var("n", INT32), Var("bx", INT32), Var("t", INT32), Var("g", INT32)
    tile = Buffer("tile", (32,), FLOAT32, Space.SHARED, versions=2)
    pair, v = Buffer("pair", (2,), FLOAT32, Space.LOCAL), Var("v", INT32)
    loaded = Select(Binary("<", g, n), Load(source, (g,)), Const(0.0, FLOAT16))
    body: Block = (
        Alloc(tile, span=at(3)),
        Alloc(pair, span=at(3)),
        Let(g, add(Binary("*", bx, i32(32)), t), span=at(4)),
        Store(tile, (t,), Cast(FLOAT32, loaded), i32(1), span=at(5)),
        Barrier(span=at(5)),
        For(
            v,
            i32(2),
            (Store(pair, (v,), Load(tile, (Binary("^", t, v),), i32(1)), span=at(6)),),
            Unrolled(),
            span=at(6),
        ),
        If(
            Binary("<", g, n),
            (Store(out, (g,), add(Load(pair, (i32(0),)), Load(pair, (i32(1),))), span=at(7)),),
            span=at(7),
        ),
    )
    return one_launch([source, out, n], body, t, grid=(i32(2),), blocks=(bx,))


def check_golden(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / name
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.cxx
def test_golden_text_is_stable_and_computes(request: pytest.FixtureRequest) -> None:
    kernel = neighbours()
    check_golden("neighbours.cu", emit(kernel).text, request)
    a = np.arange(64, dtype=np.float16)
    device, numpy = np.zeros(64, np.float32), np.zeros(64, np.float32)
    run_on_device(kernel, {"A": a, "B": device, "n": np.int32(60)})
    interp.run(kernel, {"A": a, "B": numpy, "n": 60})
    known = np.where(np.arange(64) < 60, a, 0).astype(np.float32)
    expected = np.where(np.arange(64) < 60, known + known[np.arange(64) ^ 1], 0)
    np.testing.assert_array_equal(device, expected)
    np.testing.assert_array_equal(numpy, expected)


def test_the_same_bytes_in_every_process() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\nfrom test_emit import neighbours, everything\n"
        "from tiledsl.codegen.cuda import cuda_text, emit\nimport hashlib\n"
        "print(hashlib.sha256((cuda_text(emit(neighbours())) + cuda_text(emit(everything()))).encode()).hexdigest())"
    )
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, *paths],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    here = cuda_text(emit(neighbours())) + cuda_text(emit(everything()))
    assert digests == {hashlib.sha256(here.encode()).hexdigest() + "\n"}


# ------------------------------------------------------------------------------------------------ every statement


def everything() -> Kernel:
    """One thread block that uses every statement, both index widths, strides, views and names that C++ reserves."""
    a = Buffer("float", (4, Var("n", INT32)), FLOAT32)
    n = a.shape[1]
    assert isinstance(n, Var)
    out = Buffer("out", (64, 8), FLOAT32, strides=(i32(16), 2))
    counts = Buffer("counts", (4,), INT32)
    t, i, j, old = Var("t", INT32), Var("int", INT32), Var("int", INT64), Var("old", INT32)
    seen = Var("seen", UINT32)
    total, flag = Buffer("total", (), FLOAT32, Space.VAR), Buffer("flag", (), INT32, Space.VAR)
    regs, bits = Buffer("regs", (4,), FLOAT32, Space.LOCAL), Buffer("bits", (4,), UINT32, Space.LOCAL)
    wide = Buffer("wide", (8,), FLOAT32, Space.LOCAL)
    shared = Buffer("new", (192,), FLOAT32, Space.SHARED)
    alias = Buffer("alias", (192,), UINT32, Space.SHARED)
    one = Const(1.0, FLOAT32)
    zero_based = Binary("%", t, i32(4))
    lane0 = Binary("==", t, i32(0))
    body: list[Stmt] = [
        *(Alloc(b) for b in (regs, wide, shared)),
        Alloc(total, Const(0.0, FLOAT32)),
        Alloc(flag, i32(0)),
        View(bits, regs),
        View(alias, shared),
        Store(shared, (t,), Load(a, (zero_based, i32(1)))),
        Store(shared, (add(t, i32(32)),), Load(a, (zero_based, i32(2))), asynchronous=True),
        AsyncCommit(),
        AsyncWait(0),
        Barrier(),
        Barrier(1, 32),
        Move(Address(regs, (i32(0),)), Address(shared, (Binary("*", Binary("//", t, i32(4)), i32(4)),)), 4),
        Move(Address(shared, (add(i32(64), Binary("*", t, i32(4))),)), Address(regs, (i32(0),)), 4),
        For(i, i32(4), (Store(total, (), add(Load(total, ()), Load(regs, (i,)))),), Vectorized()),
        For(i := Var("int", INT32), n, (If(Binary(">", i, i32(5)), (Break(),), (Continue(),)),)),
        For(j, Const(2, INT64), (Store(wide, (j,), one),), Unrolled(2)),
        While(Binary("<", Load(flag, ()), i32(3)), (Store(flag, (), add(Load(flag, ()), i32(1))),)),
        AtomicUpdate("add", counts, (i32(0),), i32(1), result=old),
        AtomicUpdate("max", counts, (i32(1),), old, order="acq_rel"),
        Assert(Binary(">=", old, i32(0)), 'a "quoted" %'),
        Assume(Binary("<", t, i32(32))),
        Store(total, (), add(Load(total, ()), Binary("-", Load(wide, (i32(1),)), one))),
        Let(seen, Load(alias, (t,))),
        If(lane0, (Print("old %", (Load(total, ()), Const(True, BOOL))),)),
        Evaluate(Call("warp_any", (lane0,))),
        Store(out, (t, i32(3)), Select(Binary("==", Load(bits, (i32(0),)), seen), one, Load(total, ()))),
    ]
    return one_launch([a, out, counts], tuple(body), t)


def everything_arguments() -> dict[str, Any]:
    a = np.arange(28, dtype=np.float32).reshape(4, 7) + 1
    return {"float": a, "out": np.zeros((64, 16), np.float32), "counts": np.zeros(4, np.int32), "n": np.int32(7)}


@pytest.mark.cxx
def test_every_statement_computes(capsys: pytest.CaptureFixture[str]) -> None:
    kernel = everything()
    kernel = Kernel(kernel.name, kernel.params, kernel.launches, sizes=(kernel.params[0].shape[1],))  # type: ignore[union-attr,arg-type]
    for checked in (False, True):
        given = everything_arguments()
        run_on_device(kernel, given, checked=checked)
        first = given["float"][np.arange(32) % 4, 1]
        totals = first.reshape(8, 4).sum(1).repeat(4)
        same_bits = np.arange(32) % 4 == 0  # register 0 holds the lane's own element there
        np.testing.assert_array_equal(given["out"][:32, 6], np.where(same_bits, 1, totals))
        assert given["counts"].tolist()[:2] == [32, 31]
        assert capsys.readouterr().out == f"old % {totals[0]:g} 1\n"


@pytest.mark.parametrize("arch", ["sm_80", "sm_89", "sm_90a"])
def test_every_statement_compiles_for_the_gpu(arch: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    kernel = everything()
    kernel = Kernel(kernel.name, kernel.params, kernel.launches, sizes=(kernel.params[0].shape[1],))  # type: ignore[union-attr,arg-type]
    compiled = compile_for(emit(kernel), arch)
    assert "warning" not in compiled.log, compiled.log
    assert [r.name for r in compiled.resources] == ["k"]


def test_reserved_words_become_other_names() -> None:
    text = emit(everything()).text
    assert "float_1" in text and "new_1" in text and "int_1" in text and "int_2" in text


def test_entries_name_the_parameters_in_the_order_of_the_text() -> None:
    (entry,) = emit(neighbours()).entries
    assert (entry.name, entry.threads, entry.shared_bytes, entry.params) == ("k", 32, 256, ("A", "B", "n"))


def test_read_only_tensors_are_const() -> None:
    head = emit(neighbours()).text.splitlines()[0]
    assert "const tds::f16* TDS_RESTRICT A" in head and ", float* TDS_RESTRICT B" in head


# ---------------------------------------------------------------------------------------------------------- lines


def lines_as_a_compiler_sees_them(text: str) -> list[tuple[str, int, str]]:
    """(file, line, text) of every line after the directives."""
    out, file, line = [], "<text>", 1
    for raw in text.splitlines():
        if raw.startswith("#line"):
            parts = raw.split(maxsplit=2)
            line = int(parts[1])
            file = parts[2].strip('"') if len(parts) > 2 else file
        else:
            out.append((file, line, raw.strip()))
            line += 1
    return out


def test_every_statement_stands_at_its_line() -> None:
    seen = {t: (f, n) for f, n, t in lines_as_a_compiler_sees_them(emit(neighbours()).text)}
    file = "/home/user/kernel.py"
    assert seen["tds::barrier();"] == (file, 5)
    assert seen["const tds::i32 g = (bx * 32) + t;"] == (file, 4)
    assert next(v for k, v in seen.items() if k.startswith("tds::store(B")) == (file, 7)
    assert next(v for k, v in seen.items() if k.startswith("pair[v]")) == (file, 6)


def test_lines_that_follow_each_other_need_no_directive() -> None:
    t = Var("t", INT32)
    x = Buffer("x", (), INT32, Space.VAR)
    body = (Alloc(x, i32(0), span=at(10)), *(Store(x, (), i32(i), span=at(11 + i)) for i in range(5)))
    assert emit(one_launch([], body, t)).text.count("#line") == 1


# ------------------------------------------------------------------------------------------------------- refusals


def test_tile_statements_must_be_lowered() -> None:
    a = Buffer("a", (16, 16), FLOAT16, Space.SHARED)
    region = Region(a, (i32(0), i32(0)), (16, 16))
    with pytest.raises(TypeError, match="'Gemm' must be lowered before emission"):
        emit(one_launch([], (Gemm(region, region, region),), Var("t", INT32)))


def test_pipelined_loops_must_be_lowered() -> None:
    with pytest.raises(TypeError, match="'Pipelined' loop must be lowered"):
        emit(one_launch([], (For(Var("i", INT32), i32(2), (), Pipelined(2)),), Var("t", INT32)))


def test_shared_memory_must_be_planned() -> None:
    tile = Buffer("tile", (4,), FLOAT32, Space.SHARED)
    kernel = one_launch([], (), Var("t", INT32))
    launch = kernel.launches[0]
    unplanned = replace(kernel, launches=(replace(launch, body=(Alloc(tile),)),))
    with pytest.raises(TypeError, match="'tile' must be lowered"):
        emit(unplanned)
    assert placed(unplanned).launches[0].shared


@pytest.mark.cxx
def test_source_of_the_users_own() -> None:
    out, t = Buffer("out", (32,), FLOAT32), Var("t", INT32)
    pointer = Address(out, (t,))
    kernel = one_launch([out], (Evaluate(Extern("put", (pointer, Cast(FLOAT32, t)), FLOAT32)),), t)
    kernel = Kernel(
        "k", kernel.params, kernel.launches, source="__device__ float put(float* p, float x) { return *p = x; }"
    )
    result = np.zeros(32, np.float32)
    run_on_device(kernel, {"out": result})
    np.testing.assert_array_equal(result, np.arange(32))
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert compile_for(emit(kernel), "sm_80").cubin


def test_a_kernel_may_have_any_name() -> None:
    """`main` and C++'s words are no names of C++ functions."""
    for hint in ("main", "double", "tds", "größe"):
        kernel = Kernel("k", (), (Launch(hint, (Const(1),), (Var("bx"),), (32,), Var("t"), ()),))
        (entry,) = emit(kernel).entries
        assert entry.name.isascii() and entry.name not in ("main", "double", "tds")
        assert f"TDS_EXPORT({entry.name})" in emit(kernel).text
