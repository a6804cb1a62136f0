"""The smallest programs on which fuzzing found something, each with what is right."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from tiledsl.codegen.cuda import emit
from tiledsl.cpu import device, interp, tile_interp
from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.dtypes import INDEX, INT32
from tiledsl.ir.nodes import Cast, Extern, For, Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import rewrite, statements
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.infer_layouts import infer_layouts
from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.pipeline import pipeline
from tiledsl.passes.warp_specialise import warp_specialise
from tiledsl.target import target_named
from tiledsl.verifiers.roles import verify_roles

TARGET = target_named("sm_80")


def kernel(parameters: str, *body: str) -> Kernel:
    lines = "\n".join(body)
    return parse(f"kernel k({parameters}) {{\nlaunch k(bx in 2) threads(tx in 32) {{\n{lines}\n}}\n}}")


def one_thread(parameters: str, *body: str) -> Kernel:
    k = kernel(parameters, *body)
    return replace(k, launches=tuple(replace(x, threads=(1,)) for x in k.launches))


def lowered(k: Kernel) -> Kernel:
    verify(k)
    return run_pipeline(k, pipeline(TARGET))


REFUSED = {
    "elements of half a byte": (("A: global int4[8]", "A[0] = int4(1)"), "TD0503", 0),
    "registers of half a byte": (("A: global int8[8]", "alloc r: local uint4[2]", "r[0] = uint4(1)"), "TD0503", 3),
    "a view of halves": (("", "alloc S: shared uint8[8]", "view H: shared uint4[16] of S"), "TD0503", 4),
    "a value of half a byte": (("A: global int8[8]", "A[0] = cast<int8>(cast<int4>(A[1]))"), "TD0503", 3),
    "a loop of millions of points": (("A: global int8[8]", "parallel i in 4194305 { A[i] = int8(1) }"), "TD0505", 3),
    "a pipeline of more stages than bytes": (
        ("A: global int8[8]", "alloc S: shared int8[8]", "for k in 2 pipelined(stages=1025) { copy A[0:8] -> S }"),
        "TD0509",
        4,
    ),
    "a stage behind all others": (
        (
            "A: global int8[8]",
            "alloc S: shared int8[8]",
            "for k in 2 pipelined(stage=[1000000000000]) { copy A[0:8] -> S }",
        ),
        "TD0509",
        4,
    ),
    "a tile of millions of points": (("", "alloc S: shared int8[1000000000000]", "fill S, int8(1)"), "TD0505", 3),
    "an index beyond 64 bits": (("A: global int8[8]", "A[bx] = cast<int8>(bx * 9223372036854775807 * 4)"), "TD0504", 3),
    "a number beyond 64 bits": (
        ("A: global float32[8]", "alloc r: fragment float32[64]", f"copy r -> A[{2**70} : 64]"),
        "TD0504",
        4,
    ),
}


@pytest.mark.parametrize("points", ["i in 1, j in 1", "i in 1, j in 3", "i in 3, j in 1"])
@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("space", ["fragment", "shared"])
def test_loops_of_few_points_touch_part_of_a_tile(space: str, target: str, points: str) -> None:
    tile = f"alloc r: {space} int8[8, 16]", "copy A[0:8, 0:16] -> r"
    body = f"parallel {points} {{ r[i, j] = r[i, j] + int8(1) }}", f"parallel {points} {{ A[8 + i, j] = r[i, j] }}"
    k = kernel("A: global int8[16, 16]", *tile, *body)
    arrays, expected = ({"A": np.arange(256).astype(np.int8).reshape(16, 16)} for _ in range(2))
    tile_interp.run(k, expected)
    interp.run(run_pipeline(k, pipeline(target_named(target))), arrays)
    assert (expected["A"][8:] != np.arange(128, 256).astype(np.int8).reshape(8, 16)).any()
    np.testing.assert_array_equal(arrays["A"], expected["A"])


@pytest.mark.parametrize("index", ["i % 64", "(i + j) % 64", "select(i < j, tx, i % 64)"])
def test_loops_of_more_points_than_memory_has_bytes(index: str) -> None:
    loops = f"for i in {10**12} {{ for j in {2**17} {{ S[{index}] = int8(1) }} }}"
    run_pipeline(kernel("", "alloc S: shared int8[64]", loops, "S[tx] = int8(2)"), pipeline(TARGET))


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused_with_a_place(case: tuple[tuple[str, ...], str, int]) -> None:
    (parameters, *body), code, line = case
    with pytest.raises(TileError) as raised:
        emit(lowered(kernel(parameters, *body)))
    assert raised.value.code == code and raised.value.span.line == (line or 1)


def test_a_grid_of_numbers_beyond_64_bits() -> None:
    source = f"kernel k(A: global int8[8]) {{\nlaunch k(bx in {2**40} * {2**40}) threads(tx in 32) {{\n}}\n}}"
    with pytest.raises(TileError) as raised:
        emit(lowered(parse(source)))
    assert raised.value.code == "TD0504" and raised.value.span.line == 2


RULES = {
    "elements of dtype handle": ("A: global handle[8]", "A[0] = handle(0)"),
    "an offset of a region of 'A' is int32": ("A: global int8[8]", "fill A[int32(0) : 8], int8(1)"),
}


@pytest.mark.parametrize("said", RULES)
def test_rules_that_passes_rely_on(said: str) -> None:
    with pytest.raises(VerifyError, match=said):
        verify(kernel(*RULES[said]))


def test_buffers_of_indices_hold_64_bits() -> None:
    """In the IR, an index in memory is a mathematical integer; narrow-indices makes an int64 of it."""
    k = one_thread(
        "A: global index[2], N: global index[2]",
        "alloc x: var index = 3",
        "x = x + bx",
        "A[bx] = x * 2",
        "A[bx] = A[bx] + 1",
        "let old: index = atomic_update(add) N[bx], bx + 1",
        "A[bx] = A[bx] + old",
    )
    results = []
    for run, stage in ((tile_interp.run, k), (interp.run, lowered(k))):
        arrays = {"A": np.zeros(2, np.int64), "N": np.array([10, 20], np.int64)}
        run(stage, arrays)
        results.append({n: a.tolist() for n, a in arrays.items()})
    assert results[0] == results[1] == {"A": [17, 29], "N": [11, 22]}


INDICES = {
    "a load": ("A[tx] = B[{}]",),
    "a store": ("if tx == 3 { A[{}] = 5 }",),
    "an atomic": ("atomic_update(add) A[{}], 2",),
    "an atomic and what was there": ("let old: int32 = atomic_update(add) B[{}], 0", "A[tx] = old"),
    "a row of a shared tile": (
        "alloc S: shared int32[8, 4]",
        "parallel i in 8, j in 4 { S[i, j] = B[i * 4 + j] }",
        "if n[0] < {dtype}(8) { A[tx] = S[{}, tx % 4] }",
    ),
    "a point of a parallel loop": ("parallel i in 64 { A[i] = B[i] + B[{}] }",),
}


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("what", INDICES)
def test_an_index_may_be_of_any_integer_dtype(what: str, dtype: str) -> None:
    """Bounds are compared in one dtype, which is not that of the index: here 6, and then 102, which is outside."""
    for at in (6, 102):
        body = [line.replace("{}", "n[0]").replace("{dtype}", dtype) for line in INDICES[what]]
        held = (f"alloc n: local {dtype}[1]", f"n[0] = {dtype}({at})")
        k = kernel("A: global int32[64], B: global int32[64]", *held, *body)
        results = []
        for run, stage in ((tile_interp.run, k), (interp.run, lowered(k))):
            arrays = {"A": np.zeros(64, np.int32), "B": np.arange(64, dtype=np.int32)}
            run(stage, arrays)
            results.append(arrays["A"].tolist())
        assert results[0] == results[1]
        assert at == 102 or any(results[0])


@pytest.mark.parametrize("source", ["kernel k() {\n}\n}", "kernel k() { ] }", "", "kernel", "kernel k(?) {}"])
def test_wrong_text_has_a_place(source: str) -> None:
    with pytest.raises(TileError) as raised:
        parse(source)
    assert raised.value.code == "TD0701" and raised.value.span.line >= 1


@pytest.mark.parametrize("ahead", [0, 1, 2, 3])
def test_a_loop_may_cycle_through_fewer_versions_than_the_tile_has(ahead: int) -> None:
    """What is two versions apart is the same one in a cycle of two, and another in one of three."""
    k = kernel(
        "out: global float32[2, 32]",
        "alloc S: shared float32[32] versions(3)",
        "alloc r: local float32[1]",
        "r[0] = 0.0",
        *("S@0[tx] = 1.0", "S@1[tx] = 2.0", "S@2[tx] = 3.0", "barrier"),
        f"for k in 4 {{\nr[0] = r[0] + S@((k + {ahead}) % 2)[31 - tx]\nS@(k % 2)[tx] = r[0]\n}}",
        "out[bx, tx] = r[0]",
    )
    interp.run(insert_barriers(k), {"out": np.zeros((2, 32), np.float32)}, mode="late")


def test_what_a_loop_without_iterations_holds_has_layouts() -> None:
    k = kernel(
        "A: global float32[32, 8], out: global float32[32, 8]",
        "alloc where: fragment int32[16]",
        "fill where, 0",
        "alloc row: fragment float32[8, 8]",
        "fill row, 1.0",
        "for i in 0 {",
        "copy A[cast<index>(where[i]) * 8 : 8, 0 : 8] -> row",
        "}",
        "copy row -> out[bx * 8 : 8, 0 : 8]",
    )
    out = np.zeros((32, 8), np.float32)
    interp.run(lowered(k), {"A": np.full((32, 8), 5, np.float32), "out": out})
    assert out.tolist() == [[1.0] * 8] * 16 + [[0.0] * 8] * 16


ORDERS = {
    # Points of a row write one element, so the row belongs to one thread: this is a layout of the loop's own.
    "rows of an element each": (
        "parallel i in 64, j in 64 {\nx0[i, j] = r0[i]\nr1[i] = r0[i]\n}",
        "parallel i in 64, j in 64 { x0[i, j] = r0[i] * c0[j] }",
        "copy G -> x0",
        "copy G -> x1",
        "parallel i in 64, j in 64 { x1[i, j] = r0[i] * c0[j] }",
    ),
    # A reduction whose source has no layout would make one up; loops that can follow what is known come before it.
    "a reduction into what is known": (
        "parallel i in 64, j in 64 {\nx0[i, j] = r0[i]\nr1[i] = r0[i]\n}",
        "parallel i in 64, j in 64 { x0[i, j] = r0[i] * c0[j] }",
        "reduce(sum, dim=0) x1 -> c0",
        "parallel i in 64, j in 64 { x1[i, j] = x0[i, j] + x1[i, j] }",
        "copy G -> x0",
    ),
    # Threads of two warps have a row of x1, those of one warp a row of x0: r1 is what both reductions can give.
    "two reductions into one row": (
        "reduce(sum, dim=1) x0 -> r1",
        "gemm a, b, x0",
        "gemm(policy=full_col) a, b, x1",
        "reduce(sum, dim=1) x1 -> r1",
    ),
    # The same, but the source of one follows from what is known.
    "two reductions, one of what follows": (
        "reduce(sum, dim=1) x2 -> r1",
        "parallel i in 64, j in 64 { x2[i, j] = x0[i, j] }",
        "gemm a, b, x0",
        "gemm(policy=full_col) a, b, x1",
        "reduce(sum, dim=1) x1 -> r1",
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_layouts_are_found_in_every_order_of_the_statements(name: str) -> None:
    allocs = [f"alloc {x}: fragment float32[64, 64]" for x in ("x0", "x1", "x2")]
    allocs += [f"alloc {r}: fragment float32[64]" for r in ("r0", "r1", "c0")]
    allocs += ["alloc a: shared float16[64, 16]", "alloc b: shared float16[16, 64]"]
    for order in permutations(ORDERS[name]):
        k = kernel("G: global float16[64, 64]", *allocs, *order)
        for threads in (32, 64):
            launches = tuple(replace(x, threads=(threads,)) for x in k.launches)
            infer_layouts.run(replace(k, launches=launches), target=TARGET)


def test_loops_that_are_not_entered_have_much_around_them_after_a_pass() -> None:
    """Each turn of the loops around is one statement before, and both roles' counters after."""
    k = kernel(
        "A: global float16[64, 64], out: global float16[64, 64], n",
        "alloc r: fragment float16[8, 8]",
        "fill r, float16(0.0)",
        "for i in 70 {\nfor j in 70 {",
        "for k in n - 70 pipelined(stages=2) {",
        "alloc S: shared float16[8, 8]",
        "copy A[k * 8 : 8, 0 : 8] -> S",
        "copy S -> r",
        "}\n}\n}",
        "copy r -> out[0 : 8, 0 : 8]",
    )
    k = replace(k, launches=tuple(replace(x, threads=(128,)) for x in k.launches))
    specialised = warp_specialise.run(k, target=target_named("sm_90a"))
    assert any(isinstance(s, Roles) for s in statements(specialised))
    verify_roles(k, specialised)


@pytest.mark.cxx
def test_a_loop_counts_its_turns_once() -> None:
    """Its body changes what the extent reads: C++ would look again before each turn."""
    k = one_thread(
        "A: global int32[1], out: global int32[1]",
        "alloc c: var int32 = A[0]",
        "for k in cast<index>(c) % 5 { c = c * int32(3) + int32(1) }",
        "out[0] = c",
    )
    text, found = emit(lowered(k)).text, []
    for a in range(5):
        out = np.zeros(1, np.int32)
        device.compile_source(text, ["k"]).launch("k", (1,), 1, 0, [np.array([a], np.int32), out])
        found.append(int(out[0]))
    assert found == [0, 4, 22, 94, 364]


def test_a_function_of_the_user_that_says_how_often_is_called_once() -> None:
    k = one_thread("A: global int32[1]", "for k in 4 { A[0] = A[0] + int32(1) }")
    asked = Cast(INDEX, Extern("ask", (), INT32))
    asking = rewrite(k, lambda n: replace(n, extent=asked) if isinstance(n, For) else n)
    (line,) = [line for line in emit(asking).text.splitlines() if "ask()" in line]
    assert line.strip() == "for (tds::i64 k = 0, trips = (tds::i64)ask(); k < trips; ++k) {"
