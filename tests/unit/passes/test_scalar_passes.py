"""normalise, guard-bounds, vectorise, narrow-indices and others against NumPy, and what they must not do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.compile import lower
from tiledsl.cpu import interp, tile_interp
from tiledsl.errors import VerifyError
from tiledsl.ir.dtypes import INT32, INT64
from tiledsl.ir.nodes import (
    AtomCall,
    Binary,
    Cast,
    Const,
    Expr,
    Extern,
    For,
    If,
    Kernel,
    Let,
    Load,
    Move,
    Select,
    Store,
    Unrolled,
    Var,
)
from tiledsl.ir.ops import BINARY
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import TILE_OPS
from tiledsl.ir.walk import walk
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named

SM80 = target_named("sm_80")


def the(name: str, **options: object) -> Pass:
    return PASSES[name].bind(SM80, **options)


def kernel(body: str, params: str, sizes: str = "", launch: str = "b in 1", threads: int = 8) -> Kernel:
    return parse(f"kernel k{sizes}({params}) {{\n launch k({launch}) threads(t in {threads}) {{\n{body}\n}}\n}}")


def run(k: Kernel, **arrays: Any) -> Mapping[str, Any]:
    copies = {name: np.array(a) for name, a in arrays.items()}
    interp.run(k, copies)
    return copies


def count(k: Kernel, *kinds: type) -> int:
    return sum(isinstance(n, kinds) for n in walk(k))


# ---------------------------------------------------------------------------------------------------- normalise


def test_an_index_below_zero_is_outside_at_every_stage() -> None:
    """It reads 0 and stores nothing, as a region does: only the frontend counts, negative constants, from the end."""
    traced = kernel("  parallel i in 8 {\n    B[i - 1] = A[i - 3]\n  }", "A: global int32[8], B: global int32[8]")
    a = np.arange(1, 9, dtype=np.int32)
    expected = np.array([0, 0, 1, 2, 3, 4, 5, 99], np.int32)
    for stage in lower(traced, target_named("sm_80")).stages:
        out = np.full(8, 99, np.int32)
        execute = interp.run if is_lowered(stage.kernel) else tile_interp.run
        execute(stage.kernel, {"A": a, "B": out}, check=False)
        np.testing.assert_array_equal(out, expected, err_msg=stage.name)


def is_lowered(k: Kernel) -> bool:
    return not any(isinstance(n, TILE_OPS) for n in walk(k))


def evaluate(e: Expr, env: Mapping[Var, int]) -> int:
    match e:
        case Const(value):
            return int(value)
        case Var():
            return env[e]
        case Binary(op, a, b):
            return int(BINARY[op].eval(evaluate(a, env), evaluate(b, env)))
        case Select(cond, a, b):
            return evaluate(a, env) if evaluate(cond, env) else evaluate(b, env)
    raise TypeError(type(e).__name__)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 8), st.sampled_from(["row", "column"]))
def test_a_raster_is_a_permutation_of_the_grid_in_panels(width: int, height: int, panel: int, order: str) -> None:
    body = f"""
kernel k(A: global int32[8]) {{
  launch k(bx in {width}, by in {height}) threads(t in 1) raster(panel={panel}, order={order}) {{
    A[bx] = cast<int32>(by)
  }}
}}"""
    launch = the("normalise")(parse(body)).launches[0]
    seen: list[tuple[int, int]] = []
    for y, x in itertools.product(range(height), range(width)):
        env = dict(zip(launch.blocks, (x, y)))
        values: list[int] = []
        for s in launch.body:
            if isinstance(s, Let):
                env[s.var] = evaluate(s.value, env)
                values.append(env[s.var])
        seen.append((values[-2], values[-1]))
    assert sorted(seen) == sorted(itertools.product(range(width), range(height)))
    across = [y if order == "row" else x for x, y in seen]
    assert [a // panel for a in across] == sorted(a // panel for a in across), "one panel after the other"


# -------------------------------------------------------------------------------------------------- guard-bounds


def test_loads_outside_yield_zero_or_the_safe_value_and_stores_outside_vanish() -> None:
    body = """
  safe S = float32(9.0)
  B[b * 8 + t] = A[b * 8 + t - 2] + S[b * 8 + t]"""
    params = "A: global float32[11], S: global float32[10], B: global float32[13]"
    k = the("guard-bounds")(kernel(body, params, launch="b in 2"))
    a, s = np.arange(1, 12, dtype=np.float32), np.arange(100, 110, dtype=np.float32)
    out = run(k, A=a, S=s, B=np.zeros(13, np.float32))["B"]
    expected = [(a[i - 2] if 0 <= i - 2 < 11 else 0) + (s[i] if i < 10 else 9) for i in range(13)]
    np.testing.assert_array_equal(out, np.array(expected, np.float32))


def test_what_is_proven_gets_no_condition() -> None:
    body = """
  for i in 4 {
    B[i * 8 + t] = A[i * 8 + t]
  }
  if b * 8 + t < 30 {
    B[b * 8 + t + 2] = select(2 <= b * 8 + t, A[b * 8 + t - 2], float32(0.0))
  }"""
    k = kernel(body, "A: global float32[32], B: global float32[32]", launch="b in 4")
    assert the("guard-bounds")(k) == k


def test_the_condition_of_a_store_is_not_repeated_for_the_loads_in_it() -> None:
    k = kernel(
        "  B[b * 8 + t] = A[b * 8 + t]", "A: global float32[n], B: global float32[n]", "<n>", "b in (n + 7) // 8"
    )
    guarded = the("guard-bounds")(k)
    assert (count(guarded, If), count(guarded, Select)) == (1, 0)


def test_the_old_value_of_an_atomic_outside_is_the_safe_value() -> None:
    body = """
  safe C = int32(-5)
  let old: int32 = atomic_update(op=add) C[t], int32(1)
  B[t] = old"""
    k = the("guard-bounds")(kernel(body, "C: global int32[5], B: global int32[8]"))
    out = run(k, C=np.arange(5, dtype=np.int32), B=np.zeros(8, np.int32))
    np.testing.assert_array_equal(out["B"], [0, 1, 2, 3, 4, -5, -5, -5])
    np.testing.assert_array_equal(out["C"], [1, 2, 3, 4, 5])


def test_a_known_condition_on_memory_is_not_remembered() -> None:
    """The store between may change what the condition read."""
    body = """
  if I[0] < int32(4) {
    I[0] = int32(100)
    B[t] = A[cast<index>(I[0])]
  }"""
    k = the("guard-bounds")(kernel(body, "A: global int32[4], B: global int32[8], I: global int32[1]"))
    assert count(k, Select) == 1


# ----------------------------------------------------------------------------------------------------- vectorise

COPY = """
  for v in {w} vectorized {{
    B[{b}] = A[{a}]
  }}"""


@pytest.mark.parametrize(
    ("dtype", "width", "index", "lanes"),
    [
        ("float32", 4, "t * 4 + v", [4]),
        ("float16", 8, "t * 8 + v", [8]),
        ("float32", 8, "t * 8 + v", [4, 4]),  # 16 bytes at most
        ("int8", 16, "t * 16 + v", [16]),
        ("float16", 8, "t * 8 + v + 4", [4, 4]),  # aligned to 8 bytes only
        ("float16", 8, "t * 8 + v + 1", []),  # aligned to no more than an element
        ("float16", 6, "t * 6 + v", [2]),  # in a loop over 3 groups
        ("float32", 4, "t + v * 8", []),  # not neighbours
        ("float16", 8, "t * 8 + (7 - v)", []),  # backwards
    ],
)
def test_widths(dtype: str, width: int, index: str, lanes: list[int]) -> None:
    """S4: an access is as wide as it is contiguous and aligned for sure."""
    body = COPY.format(w=width, a=index, b=index)
    k = the("vectorise")(kernel(body, f"A: global {dtype}[160], B: global {dtype}[160]"))
    moves = [n.lanes for n in walk(k) if isinstance(n, Move)]
    assert moves == lanes * 2
    a = np.arange(160, dtype=dtype) % 100
    t, v = np.meshgrid(range(8), range(width), indexing="ij")
    touched = eval(index, {"t": t, "v": v}).ravel()
    expected = np.zeros(160, dtype)
    expected[touched] = a[touched]
    np.testing.assert_array_equal(run(k, A=a, B=np.zeros(160, dtype))["B"], expected)


def test_row_strides_must_be_aligned() -> None:
    body = COPY.format(w=4, a="t, v", b="t, v")
    odd = the("vectorise")(kernel(body, "A: global float32[8, 6], B: global float32[8, 6]"))
    assert [n.lanes for n in walk(odd) if isinstance(n, Move)] == [2, 2, 2, 2]
    dynamic = "A: global float32[8, n], B: global float32[8, n]"
    unknown = the("vectorise")(kernel(body, dynamic, "<n>"))
    assert count(unknown, Move) == 0
    assumed = the("vectorise")(kernel("assume n % 4 == 0" + body, dynamic, "<n>"))
    assert [n.lanes for n in walk(assumed) if isinstance(n, Move)] == [4, 4]


def test_a_store_that_is_the_same_for_all_lanes_stays_scalar() -> None:
    body = "  for v in 4 vectorized {\n    B[t] = A[t]\n  }"
    k = the("vectorise")(kernel(body, "A: global float32[8], B: global float32[8]"))
    assert count(k, Move, For) == 0 and count(k, Store) == 1


def test_a_condition_within_a_vector_makes_it_scalar() -> None:
    """S5: the predicate of an access is the same for all of its lanes."""
    body = "  for v in 4 vectorized {\n    if t * 4 + v < 29 {\n      B[t * 4 + v] = A[t * 4 + v]\n    }\n  }"
    k = the("vectorise")(kernel(body, "A: global float32[32], B: global float32[32]"))
    assert count(k, Move) == 0
    a = np.arange(32, dtype=np.float32)
    np.testing.assert_array_equal(run(k, A=a, B=np.zeros(32, np.float32))["B"], np.where(a < 29, a, 0))


def test_a_loop_over_registers_alone_is_only_unrolled() -> None:
    body = "  alloc r: local float32[4]\n  for v in 4 vectorized {\n    r[v] = float32(0.0)\n  }"
    k = the("vectorise")(kernel(body, "A: global float32[8]"))
    loop = k.launches[0].body[1]
    assert isinstance(loop, For) and loop.kind == Unrolled() and len(loop.body) == 1


@pytest.mark.parametrize(
    "body", ["x = A[t * 4 + v]\n      B[t * 4 + v] = x", "x = x + A[t * 4 + v]", "x = x + float32(1.0)"]
)
def test_a_variable_that_the_lanes_share_is_set_lane_by_lane(body: str) -> None:
    loop = f"  alloc x: var float32 = float32(0.0)\n  for v in 4 vectorized {{\n      {body}\n  }}\n  C[t] = x"
    k = kernel(loop, "A: global float32[32], B: global float32[32], C: global float32[8]")
    a, zeros = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    out = run(the("vectorise")(k), A=a, B=zeros, C=zeros[:8])
    rows = a.reshape(8, 4)
    expected = {"x = A": rows[:, 3], "x = x": rows.sum(1)}[body[:5]] if "float32(1" not in body else np.full(8, 4.0)
    np.testing.assert_array_equal(out["C"], expected)
    np.testing.assert_array_equal(out["B"], a if "B[" in body else zeros)


def asynchronous(value: str, source: str = "float16", offset: str = "t * 8 + v") -> Kernel:
    body = f"""
  alloc s: shared float16[64]
  for v in 8 vectorized {{
    async s[{offset}] = {value}
  }}
  async_commit
  async_wait(pending=0)
  B[t] = s[t * 8]"""
    return the("vectorise")(kernel(body, f"A: global {source}[64], B: global float16[8]"))


@pytest.mark.parametrize(
    ("value", "calls"),
    [
        ("A[t * 8 + v]", ["cp_async_16"]),
        ("A[t * 8 + v - t * 4]", ["cp_async_8"] * 2),
        ("A[t * 2 + v]", ["cp_async_4"] * 4),
        ("A[t + v]", []),  # elements of 2 bytes: no cp.async moves them
        ("select(t < 3, A[t * 8 + v], float16(0.0))", ["cp_async_16"]),
        ("select(t < 3, A[t * 8 + v], float16(1.0))", []),  # filled with something else than zero bits
        ("select(t < 3, A[t * 8 + v], float16(-0.0))", []),
        ("select(t * 8 + v < 20, A[t * 8 + v], float16(0.0))", ["cp_async_8"]),  # in a loop over 2 groups
        ("A[t * 8 + v] + A[t * 8 + v]", []),
    ],
)
def test_asynchronous_copies(value: str, calls: list[str]) -> None:
    """S19: the sizes are 4, 8 or 16 bytes, both addresses are aligned, and the fill is the predicate's."""
    k = asynchronous(value)
    found = [n for n in walk(k) if isinstance(n, AtomCall)]
    assert [c.atom for c in found] == calls
    a = np.arange(1, 65, dtype=np.float16)
    t = np.arange(8)
    scope = {"t": t, "v": 0, "A": a, "float16": np.float16, "select": np.where}
    np.testing.assert_array_equal(run(k, A=a, B=np.zeros(8, np.float16))["B"], eval(value, scope))


def test_a_conversion_is_not_copied_asynchronously() -> None:
    k = asynchronous("cast<float16>(A[t * 8 + v])", source="float32")
    assert count(k, AtomCall) == 0 and not any(isinstance(n, Store) and n.asynchronous for n in walk(k))


def test_a_single_element_is_copied_asynchronously_if_it_is_large_enough() -> None:
    body = "  alloc s: shared float32[8]\n  async s[t] = A[t]\n  async_commit\n  async_wait(pending=0)\n  B[t] = s[t]"
    k = the("vectorise")(kernel(body, "A: global float32[8], B: global float32[8]"))
    assert [n.atom for n in walk(k) if isinstance(n, AtomCall)] == ["cp_async_4"]


# ------------------------------------------------------------------------------------------------------- others


def test_a_let_below_a_store_is_not_moved_above_it() -> None:
    body = "  let x: int32 = A[t]\n  A[t] = x + int32(1)\n  let y = cast<index>(A[t])\n  B[t] = x + cast<int32>(y)"
    k = the("expand-lets")(kernel(body, "A: global int32[8], B: global int32[8]"))
    assert count(k, Let) == 2
    a = np.arange(8, dtype=np.int32)
    np.testing.assert_array_equal(run(k, A=a, B=a)["B"], a + a + 1)


def test_large_lets_stay_unless_a_parallel_loop_needs_them() -> None:
    big = " + ".join(f"t // {n}" for n in range(2, 12))
    assert count(the("expand-lets")(kernel(f"  let e = {big}\n  B[e] = int32(1)", "B: global int32[99]")), Let) == 1
    inside = f"  parallel i in 8 {{\n    let e = {big} + i\n    B[e] = int32(1)\n  }}"
    assert count(the("expand-lets")(kernel(inside, "B: global int32[99]")), Let) == 0


def test_a_loop_that_is_left_from_inside_is_not_unrolled_in_the_ir() -> None:
    body = "  for i in 4 unrolled(explicit=true) {\n    if t < i {\n      break\n    }\n    A[t] = float32(1.0)\n  }"
    loop = the("unroll")(kernel(body, "A: global float32[8]")).launches[0].body[0]
    assert isinstance(loop, For) and loop.kind == Unrolled(0, explicit=False)


def test_effects_are_not_dead() -> None:
    body = """
  let x: int32 = extern<int32>("f")
  let y: int32 = extern<int32, pure>("g")
  evaluate extern<int32>("h")"""
    kept = the("remove-dead")(kernel(body, "A: global float32[8]"))
    assert [n.fn for n in walk(kept) if isinstance(n, Extern)] == ["f", "h"]


def test_a_loop_that_is_left_from_inside_is_kept_though_it_runs_once() -> None:
    body = "  for i in 1 {\n    if t < 4 {\n      break\n    }\n    A[t] = float32(1.0)\n  }"
    assert count(the("remove-dead")(kernel(body, "A: global float32[8]")), For) == 1


def narrowed(body: str, params: str, sizes: str = "", launch: str = "b in 1") -> Kernel:
    return the("narrow-indices")(kernel(body, params, sizes, launch))


def test_an_index_beyond_int32_is_int64_from_its_leaves_on() -> None:
    k = narrowed("  A[b * 65536 + t] = int32(1)", "A: global int32[4294967296]", launch="b in 65536")
    store = k.launches[0].body[0]
    assert isinstance(store, Store)
    product = store.indices[0].a  # type: ignore[attr-defined]
    assert isinstance(product, Binary) and product.a == Cast(INT64, k.launches[0].blocks[0])


def test_indices_are_wide_where_only_the_offset_is() -> None:
    small = narrowed("  A[b, t] = int32(1)", "A: global int32[65536, 16]", launch="b in 65536")
    large = narrowed("  A[b, t] = int32(1)", "A: global int32[65536, 65536]", launch="b in 65536")
    strided = narrowed("  A[b, t] = int32(1)", "A: global int32[65536, 16] strides(65536, 1)", launch="b in 65536")
    assert [_widths(k) for k in (small, large, strided)] == [{"int32"}, {"int64"}, {"int64"}]


def _widths(k: Kernel) -> set[str]:
    (store,) = (n for n in walk(k) if isinstance(n, Store))
    return {i.dtype.name for i in store.indices if isinstance(i, Cast | Var)}


def test_intermediate_values_count() -> None:
    """(n + 31) // 32 fits in an int32, n + 31 may not."""
    k = narrowed("  for i in (n + 31) // 32 {\n    A[t] = int32(1)\n  }", "A: global int32[8]", "<n>")
    loop = k.launches[0].body[0]
    assert isinstance(loop, For) and loop.var.dtype is INT32
    assert "cast<int64>(n) + 31 >> 5" in text(k)


def test_division_of_what_may_be_negative_stays_a_floor_division() -> None:
    k = narrowed(
        "  A[(t - 3) // 2 + 2] = int32(1)\n  A[t // 2] = int32(1)\n  A[t % 3] = int32(1)", "A: global int32[8]"
    )
    assert {n.op for n in walk(k) if isinstance(n, Binary)} == {"//", "-", "+", ">>", "rem"}


def test_widths_do_not_change_values() -> None:
    body = "  A[b % 2, t] = A[b % 2, t] + cast<int32>((b * 8 + t - 5) // 3 * (t + n))"
    k = kernel(body, "A: global int32[2, 8]", "<n>", "b in 1")
    with pytest.raises(VerifyError, match="no index left"):
        the("narrow-indices").ensures[0](k)
    assert the("narrow-indices")(k).sizes[0].dtype is INT32


def test_arithmetic_on_narrow_types_is_gone() -> None:
    body = "  A[t] = max(A[t] * A[t], -A[t])\n  B[t] = B[t] * B[t] // int8(3)"
    k = the("legalise-dtypes")(kernel(body, "A: global bfloat16[8], B: global int8[8]"))
    arithmetic = [n for n in walk(k) if isinstance(n, Binary)]
    assert len(arithmetic) == 4 and all(isinstance(n.a, Cast) and n.a.dtype.bits == 32 for n in arithmetic)
    b = np.array([100, -100, 7, -7, 0, 1, 127, -128], np.int8)
    out = run(k, A=np.ones(8, "float32").astype("float16").astype(_bfloat16()), B=b)["B"]
    np.testing.assert_array_equal(out, (b * b) // np.int8(3))


def _bfloat16() -> Any:
    return pytest.importorskip("ml_dtypes").bfloat16


def test_loads_stay_loads_of_their_dtype() -> None:
    k = the("legalise-dtypes")(kernel("  B[t] = A[t]", "A: global bfloat16[8], B: global bfloat16[8]"))
    assert count(k, Cast) == 0 and count(k, Load) == 1
