"""The CPU device: barriers, collectives, asynchronous copies, atomics, output; results independent of the schedule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from handwritten_gemm import Parts, Tiles, gemm

from tiledsl.codegen.cuda import emit
from tiledsl.cpu import interp
from tiledsl.cpu.device import compile_source
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT8,
    INT32,
    INT64,
    UINT32,
    UINT64,
    DType,
)
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Binary,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Load,
    Print,
    Space,
    Store,
    Var,
)
from tiledsl.isa.execute import scatter
from tiledsl.isa.table import ATOMS
from tiledsl.testing.thread_stage import compile_for, i32, one_launch, placed, run_on_device

pytestmark = pytest.mark.cxx


# ------------------------------------------------------------------------------------------- the GEMM, all modes


TILES = Tiles(64, 64, 32, 32)


def product(k: int = 128) -> tuple[Kernel, dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-1, 2, (64, k)).astype(np.float16) for _ in range(2))
    kernel = placed(gemm(64, 64, k, TILES))
    return kernel, {"A": a, "B": b, "C": np.zeros((64, 64), np.float32)}, a.astype(np.float32) @ b.T


@pytest.mark.parametrize("mode", ["early", "late", "random"])
@pytest.mark.parametrize("checked", [False, True])
def test_gemm_in_every_mode(mode: str, checked: bool) -> None:
    kernel, given, expected = product()
    run_on_device(kernel, given, checked=checked, mode=mode, seed=5)
    np.testing.assert_array_equal(given["C"], expected)


def test_agrees_with_the_lockstep_interpreter_on_random_numbers() -> None:
    """Not exact inputs: both use the tensor core's model of the same rows."""
    kernel, given, _ = product(64)
    rng = np.random.default_rng(1)
    given |= {n: rng.standard_normal(given[n].shape).astype(np.float16) for n in ("A", "B")}
    other = {**given, "C": np.zeros((64, 64), np.float32)}
    run_on_device(kernel, given)
    interp.run(kernel, other, check=False)
    np.testing.assert_allclose(given["C"], other["C"], rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize(
    "parts", [Parts(wait=False, final_wait=False), Parts(pending=2), Parts(commit=False)], ids=repr
)
def test_a_missing_wait_is_reported_whenever_the_data_arrives(parts: Parts) -> None:
    kernel = placed(gemm(64, 64, 128, TILES, parts))
    for mode in ("early", "late", "random"):
        _, given, _ = product()
        with pytest.raises(TileError, match=r"asynchronous copy into it is in flight|copies into .* are in flight"):
            run_on_device(kernel, given, checked=True, mode=mode)


def test_a_missing_wait_gives_nan_in_late_mode_unchecked() -> None:
    _, given, expected = product()
    kernel = placed(gemm(64, 64, 128, TILES, Parts(wait=False, final_wait=False)))
    run_on_device(kernel, given, checked=False, mode="late")
    assert np.isnan(given["C"]).any()
    assert not np.array_equal(given["C"], expected)


# --------------------------------------------------------------------------------------------- instruction rows


def each_lane_holds(op: Any, rng: np.random.Generator) -> Any:
    """Registers (lane, register) of one operand: small integers, exact in every type."""
    low = 0 if op.dtype.name.startswith("uint") else -3
    return rng.integers(low, 4, (32, op.fragment.num_regs)).astype(numpy_dtype(op.dtype))


def call_of(atom: Any) -> Kernel:
    """One instruction: each lane loads its registers and stores the result."""
    t, i = Var("t", INT32), Var("i", INT32)
    body: Block = ()
    stores: Block = ()
    params, addresses = [], []
    for op in atom.operands:
        n = op.fragment.num_regs
        memory, regs = Buffer(op.name, (32, n), op.dtype), Buffer(f"{op.name}_regs", (n,), op.dtype, Space.LOCAL)
        params.append(memory)
        addresses.append(Address(regs, (i32(0),)))
        i = Var("i", INT32)
        body += (Alloc(regs), For(i, i32(n), (Store(regs, (i,), Load(memory, (t, i))),)))
        if op.written:
            stores += (For(i := Var("i", INT32), i32(n), (Store(memory, (t, i), Load(regs, (i,))),)),)
    return one_launch(params, (*body, AtomCall(atom.name, tuple(addresses)), *stores), t)


def sparse_call(words: Any) -> tuple[Kernel, dict[str, Any]]:
    atom = ATOMS["mma_sp_m16n8k32_f32_f16"]
    rng = np.random.default_rng(4)
    arrays = {op.name: each_lane_holds(op, rng) for op in atom.operands}
    return call_of(atom), arrays | {"e": scatter(atom.operands[3].fragment, words)}


def each_lane_chooses(atom: Any, rng: np.random.Generator) -> Any:
    """Metadata of a sparse matrix: any two of four neighbours, in order."""
    nibbles = rng.choice([0x4, 0x8, 0x9, 0xC, 0xD, 0xE], (16, 2, 4)).astype(np.uint16)
    words = (nibbles << np.arange(0, 16, 4, dtype=np.uint16)).sum(-1).astype(np.uint16)
    return scatter(atom.operands[3].fragment, words)


@pytest.mark.parametrize("word", [0x0000, 0x5555, 0x4442, 0x1444])
def test_metadata_that_no_instruction_defines_is_found(word: int) -> None:
    """By both executions: the same element twice, or the later one first."""
    kernel, arrays = sparse_call(np.full((16, 2), word, np.uint16))
    for run in (run_on_device, interp.run):
        with pytest.raises(TileError) as caught:
            run(kernel, {n: v.copy() for n, v in arrays.items()})
        assert caught.value.code == "TD0864"


@pytest.mark.parametrize("name", [a.name for a in ATOMS.values() if a.kind in ("mma", "mma_sp")])
def test_every_row_of_mma_computes_its_semantics(name: str) -> None:
    atom = ATOMS[name]
    kernel = call_of(atom)
    rng = np.random.default_rng(3)
    device = {op.name: each_lane_holds(op, rng) for op in atom.operands}
    if "e" in device:
        device["e"] = each_lane_chooses(atom, rng)
    numpy = {n: v.copy() for n, v in device.items()}
    run_on_device(kernel, device)
    interp.run(kernel, numpy)
    np.testing.assert_array_equal(device["d"].astype(np.float64), numpy["d"].astype(np.float64))


@pytest.mark.parametrize("name", [a.name for a in ATOMS.values() if a.kind in ("ldmatrix", "stmatrix")])
def test_every_matrix_move(name: str) -> None:
    """Through shared memory with rows in a scattered order, there and back by single elements."""
    atom = ATOMS[name]
    n = atom.operands[0].fragment.num_regs
    out = Buffer("out", (32, n) if atom.kind == "ldmatrix" else (256,), FLOAT16)
    t, i = Var("t", INT32), Var("i", INT32)
    tile = Buffer("tile", (256,), FLOAT16, Space.SHARED)
    regs = Buffer("regs", (n,), FLOAT16, Space.LOCAL)
    row = Binary("*", Binary("^", t, i32(5)), i32(8))
    number: Expr = Cast(FLOAT16, Binary("+", Binary("*", t, i32(8)), i))
    fill = For(i, i32(8), (Store(tile, (Binary("+", Binary("*", t, i32(8)), i),), number),))
    pointers = (Address(regs, (i32(0),)), Address(tile, (row,)))
    head: Block = (Alloc(tile), Alloc(regs), fill, Barrier())
    j = Var("j", INT32)
    if atom.kind == "ldmatrix":
        tail: Block = (
            AtomCall(name, pointers),
            For(j, i32(n), (Store(out, (t, j), Load(regs, (j,))),)),
        )
    else:
        value = Cast(FLOAT16, Binary("+", Binary("*", t, i32(n)), j))
        k = Var("k", INT32)
        at = Binary("+", Binary("*", t, i32(8)), k)
        tail = (
            For(j, i32(n), (Store(regs, (j,), value),)),
            AtomCall(name, pointers[::-1]),
            Barrier(),
            For(k, i32(8), (Store(out, (at,), Load(tile, (at,))),)),
        )
    kernel = one_launch([out], (*head, *tail), t)
    shape = (32, n) if atom.kind == "ldmatrix" else (256,)
    device, numpy = np.zeros(shape, np.float16), np.zeros(shape, np.float16)
    run_on_device(kernel, {"out": device})
    interp.run(kernel, {"out": numpy})
    np.testing.assert_array_equal(device, numpy)
    assert np.unique(device).size == device.size


# ------------------------------------------------------------------------------------- shuffles, votes, atomics


def test_named_barriers_hold_back_their_own_threads() -> None:
    """Two warps exchange through shared memory in opposite directions, each pair on a barrier of its own."""
    t = Var("t", INT32)
    out, tile = Buffer("out", (128,), INT32), Buffer("tile", (128,), INT32, Space.SHARED)
    half = Binary("<", t, i32(64))
    exchange = Store(out, (t,), Load(tile, (Binary("^", t, i32(32)),)))
    body: Block = (Alloc(tile), Store(tile, (t,), t), If(half, (Barrier(1, 64),), (Barrier(2, 64),)), exchange)
    for mode in ("early", "random"):
        result = np.zeros(128, np.int32)
        run_on_device(one_launch([out], body, t, 128), {"out": result}, mode=mode)
        np.testing.assert_array_equal(result, np.arange(128) ^ 32)


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, FLOAT64, INT8, INT32, INT64], ids=str)
def test_shuffles_and_votes(dtype: DType) -> None:
    t = Var("t", INT32)
    source = Buffer("source", (64,), dtype)
    value = Load(source, (t,))
    calls = [Call(f"shfl_{kind}", (value, i32(n))) for kind in ("xor", "up", "down", "idx") for n in (1, 5, 16)]
    votes = [Call(f"warp_{kind}", (Binary("<", t, i32(n)),)) for kind in ("any", "all") for n in (0, 40, 64)]
    votes += [Call("warp_ballot", (Binary("<", t, i32(40)),)), Call("warp_match", (Binary("%", t, i32(5)),))]
    outs = [Buffer(f"out{i}", (64,), dtype) for i in range(len(calls))]
    bits = [Buffer(f"vote{i}", (64,), INT32) for i in range(len(votes))]
    body = [Store(o, (t,), c) for o, c in zip(outs, calls)] + [
        Store(o, (t,), Cast(INT32, c)) for o, c in zip(bits, votes)
    ]
    kernel = one_launch([source, *outs, *bits], tuple(body), t, 64)
    holder = numpy_dtype(dtype)
    given = {"source": np.arange(64).astype(holder), **{o.name: np.zeros(64, holder) for o in outs}}
    given |= {o.name: np.zeros(64, np.int32) for o in bits}
    other = {n: v.copy() for n, v in given.items()}
    run_on_device(kernel, given)
    interp.run(kernel, other)
    for n in given:
        np.testing.assert_array_equal(given[n], other[n], err_msg=n)
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert compile_for(emit(kernel), "sm_80").cubin


_NUMERIC = (FLOAT16, BFLOAT16, FLOAT32, FLOAT64, INT32, UINT32, INT64, UINT64)


@pytest.mark.parametrize("space", [Space.GLOBAL, Space.SHARED], ids=["global", "shared"])
def test_atomic_updates_of_every_dtype(space: Space) -> None:
    """Many blocks at once; each operation on each dtype, on global and on shared memory."""
    t, bx = Var("t", INT32), Var("bx", INT32)
    outs: list[Buffer] = []
    body: Block = ()
    expected: list[Any] = []
    for dtype in _NUMERIC:
        ops = ("add", "max", "min") if dtype.is_float else ("add", "max", "min", "and", "or", "xor", "exch")
        for op in ops:
            out = Buffer(f"out_{dtype}_{op}", (1,), dtype)
            value: Expr = i32(1) if op in ("add", "exch") else Binary("+", Binary("%", t, i32(7)), i32(1))
            outs.append(out)
            cast = Cast(dtype, value)
            seven = Const(7.0 if dtype.is_float else 7, dtype)
            reduced = {"add": 7 + 64, "max": 7, "min": 1, "and": 0, "or": 7, "exch": 1}.get(op)
            if op == "xor":
                reduced = int(
                    np.bitwise_xor.reduce(np.concatenate([[7], np.arange(32) % 7 + 1, np.arange(32) % 7 + 1]))
                )
            if space is Space.GLOBAL:
                body += (AtomicUpdate(op, out, (i32(0),), cast),)
                expected.append(reduced)
            else:
                cell = Buffer(f"cell_{dtype}_{op}", (1,), dtype, Space.SHARED)
                first = If(Binary("==", t, i32(0)), (Store(cell, (i32(0),), seven),))
                copy = If(Binary("==", t, i32(0)), (Store(out, (i32(0),), Load(cell, (i32(0),))),))
                body += (Alloc(cell), first, Barrier(), AtomicUpdate(op, cell, (i32(0),), cast), Barrier(), copy)
                expected.append(reduced)
    threads = 32 if space is Space.GLOBAL else 64
    grid = (i32(2),) if space is Space.GLOBAL else (i32(1),)
    kernel = one_launch(outs, body, t, threads, grid, (bx,))
    given = {o.name: np.full(1, 7, numpy_dtype(o.dtype)) for o in outs}
    run_on_device(kernel, given, workers=2)
    for o, value in zip(outs, expected):
        if value is not None and not (space is Space.SHARED and o.name.endswith("xor")):
            assert float(given[o.name][0]) == value, o.name
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    for arch in ("sm_80", "sm_90a"):
        assert compile_for(emit(kernel), arch).cubin


# ---------------------------------------------------------------------------------------------- order and output


def printing(blocks: int) -> Kernel:
    t, bx = Var("t", INT32), Var("bx", INT32)
    body = (If(Binary("==", t, i32(3)), (Print("block", (bx,)),)),)
    return one_launch([], body, t, 32, (i32(blocks),), (bx,))


def test_output_comes_in_the_order_of_the_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    run_on_device(printing(50), {}, workers=2)
    assert capsys.readouterr().out == "".join(f"block {i}\n" for i in range(50))


def test_random_results_depend_on_the_seed_only() -> None:
    """A kernel with a race: what it computes is a function of the seed, not of the number of OS threads."""
    t, bx = Var("t", INT32), Var("bx", INT32)
    out, cell = Buffer("out", (64,), INT32), Buffer("cell", (1,), INT32, Space.SHARED)
    body = (
        Alloc(cell),
        Store(cell, (i32(0),), t),
        Barrier(),
        Store(cell, (i32(0),), t),
        Store(out, (bx,), Load(cell, (i32(0),))),
    )
    source = emit(one_launch([out], body, t, 128, (i32(64),), (bx,)))
    module = compile_source(source.text, ["k"])

    def run(seed: int, workers: int) -> list[int]:
        result = np.zeros(64, np.int32)
        module.launch("k", (64,), 128, 128, [result], mode="random", seed=seed, workers=workers)
        return list(result.tolist())

    assert run(1, 1) == run(1, 2) == run(1, 1)
    assert run(1, 1) != run(2, 1)


def test_shared_memory_holds_nan_before_it_is_written() -> None:
    t = Var("t", INT32)
    out, tile = Buffer("out", (32,), FLOAT32), Buffer("tile", (32,), FLOAT32, Space.SHARED)
    kernel = one_launch([out], (Alloc(tile), Store(out, (t,), Load(tile, (t,)))), t)
    result = np.zeros(32, np.float32)
    run_on_device(kernel, {"out": result}, checked=False)
    assert np.isnan(result).all()
