"""What sm_90a has, at the thread stage: roles, mbarriers, the copy engine, wgmma, against NumPy and with mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hopper_helpers import HOLDERS, KERNELS, MODES, descriptor, place, swizzled, values

from tiledsl.cpu import interp
from tiledsl.cpu.turns import ORDERS
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, DType
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.isa.execute import gather, scatter
from tiledsl.isa.wgmma import TYPES, bits_in_memory, extent_k, operand_a, row_name, wgmma_row

Array = np.ndarray[Any, Any]
GEMM = (KERNELS / "ws_gemm_threads.tir").read_text()
SCHEDULES = tuple(product(MODES, ORDERS))


def execute(text: str, mode: str = "late", roles: str = "first", check: bool = True, **arrays: Array) -> str:
    """Runs a kernel; the code of its error, if any."""
    kernel = parse(text)
    verify(kernel)
    try:
        interp.run(kernel, arrays, mode=mode, roles=roles, check=check)  # type: ignore[arg-type]
    except TileError as raised:
        return raised.code
    return ""


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


# --------------------------------------------------------------------------------------------------------- a whole GEMM


def gemm(text: str, mode: str, roles: str, check: bool = True) -> str:
    """The code of its error, or whether it is right."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-1, 2, (n, 256)).astype(np.float16) for n in (128, 64))
    c = np.full((128, 64), np.nan, np.float32)
    code = execute(text, mode, roles, check, A=a, B=b, C=c)
    return code or ("right" if (c == a.astype(float) @ b.astype(float).T).all() else "wrong")


@pytest.mark.parametrize("check", [True, False])
def test_a_gemm_of_a_producer_and_two_consumer_warpgroups(check: bool) -> None:
    assert {gemm(GEMM, mode, roles, check) for mode, roles in SCHEDULES} == {"right"}


FULL, EMPTY = "await full[k % 2], k // 2 % 2 of As, Bs\n", "await empty[k % 2], (k // 2 + 1) % 2 of As, Bs\n"
WAIT, INIT = "async_wait(pending=0, queue=product)\n", "init_barrier(count=1) full[i]\n"
MUTANTS: dict[str, tuple[list[tuple[str, str]], str]] = {
    "data is not waited for": ([(FULL, "")], "TD0803 TD0805"),
    "release is not waited for": ([(EMPTY, "")], "TD0805"),
    "no release": ([("arrive empty[k % 2] of As, Bs\n", "")], "TD0830"),
    "no arrival of the producer": ([("arrive(bytes=24576) full[k % 2]\n", "")], "TD0858"),
    "wrong parity of data": ([("k // 2 % 2 of", "(k // 2 + 1) % 2 of")], "TD0803 TD0830"),
    "the parity of data does not change": ([("k // 2 % 2 of", "0 of")], "TD0804 TD0830"),
    "wrong parity of the release": ([("(k // 2 + 1) % 2", "k // 2 % 2")], "TD0830"),
    "too few bytes": ([("24576", "16384")], "TD0858"),
    "too many bytes": ([("24576", "24592")], "TD0830"),
    "one product too many in flight": ([(WAIT, WAIT.replace("0", "1"))], "TD0861 TD0862"),
    "products are not waited for": ([(WAIT, "")], "TD0861"),
    "products are not committed": ([("async_commit(queue=product)\n", "")], "TD0861"),
    "too many arrivals": ([("c % 128 == 0", "c % 64 == 0")], "TD0841"),
    "a barrier is not initialised": ([(INIT, "")], "TD0840"),
    "a barrier is initialised twice": ([(INIT, INIT * 2)], "TD0844"),
    "rows that are shorter than the swizzle": ([("[64, 64], swizzle", "[64, 32], swizzle")], "TD0652"),
}


@pytest.mark.parametrize("what", MUTANTS)
def test_mistakes_are_found(what: str) -> None:
    changes, allowed = MUTANTS[what]
    text = changed(GEMM, *changes)
    found = {(mode, roles): gemm(text, mode, roles) for mode, roles in SCHEDULES}
    assert set(found.values()) <= set(allowed.split()), found


# ----------------------------------------------------------------------------------------------------- the copy engine


def copier(dtype: str, shape: Sequence[int], elements: int, body: str) -> str:
    """Shared memory `S` of so many elements, a barrier; `Y` is where its image goes or comes from."""
    return f"""
kernel k(X: global {dtype}{list(shape)}, Y: global {dtype}[{elements}]) {{
  launch k(b in 1) threads(t in 64) {{
    alloc S: shared {dtype}[{elements}]
    alloc full: barrier uint64[1]
    if t == 0 {{
      init_barrier(count=1) full[0]
      fence(kind=barrier_init)
    }}
    barrier
    {body}
  }}
}}
"""


def linear(elements: int, statement: str) -> str:
    return f"for i in {elements // 64} {{\nlet e = i * 64 + t\n{statement}\n}}\n"


def bring(statement: str, size: int) -> str:
    return f"if t == 0 {{\narrive(bytes={size}) full[0]\n{statement}\n}}\n"


AWAIT = "await full[0], 0\n"
SEND = "async_commit(queue=store)\nasync_wait(pending=0, queue=store)\n"


def numbers(shape: Sequence[int], dtype: Any) -> Array:
    return (np.arange(int(np.prod(shape))) % 251).reshape(shape).astype(dtype)


def image(box: Array, swizzle: int) -> Array:
    """A box as it lies in shared memory."""
    flat = np.ascontiguousarray(box).reshape(-1)
    at = swizzled(np.arange(flat.size) * flat.itemsize, swizzle) // flat.itemsize
    made = np.empty_like(flat)
    made[at] = flat
    return made


# Element type, tensor, box, its corner.
BOXES = [
    (np.float16, (32, 128), (16, 64), (8, 32)),
    (np.float32, (32, 64), (16, 32), (20, 48)),
    (np.uint8, (32, 256), (8, 128), (-4, -16)),
    (np.float16, (4, 24, 128), (2, 8, 64), (3, -3, 80)),
]


@pytest.mark.parametrize("swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize(("dtype", "shape", "box", "corner"), BOXES)
@pytest.mark.parametrize("mode", MODES)
def test_boxes_to_and_from_shared_memory(
    dtype: Any, shape: tuple[int, ...], box: tuple[int, ...], corner: tuple[int, ...], swizzle: int, mode: str
) -> None:
    size = np.dtype(dtype).itemsize
    box = (*box[:-1], swizzle // size) if swizzle else box
    elements = int(np.prod(box))
    x = numbers(shape, dtype)
    inside = tuple(slice(max(c, 0), min(c + n, e)) for c, n, e in zip(corner, box, shape))
    within = tuple(slice(i.start - c, i.stop - c) for i, c in zip(inside, corner))
    whole = np.zeros(box, dtype)
    whole[within] = x[inside]

    place_in_x = f"X[{', '.join(map(str, corner))}]"
    options = f"box={list(box)}, swizzle={swizzle}"
    load = bring(f"tensor_copy({options}) {place_in_x} -> S[0] on full[0]", elements * size)
    name = np.dtype(dtype).name
    y = np.zeros(elements, dtype)
    assert not execute(copier(name, shape, elements, load + AWAIT + linear(elements, "Y[e] = S[e]")), mode, X=x, Y=y)
    np.testing.assert_array_equal(y, image(whole, swizzle))

    store = linear(elements, "S[e] = Y[e]") + "fence(kind=async_proxy)\nbarrier\nif t == 0 {\n"
    store += f"tensor_copy({options}) S[0] -> {place_in_x}\n{SEND}}}\n"
    tile, expected = numbers(box, dtype) + np.ones((), dtype), x.copy()
    expected[inside] = tile[within]
    assert not execute(copier(name, shape, elements, store), mode, X=x, Y=image(tile, swizzle))
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("channel", [-32, -16, 0, 16, 48, 64])
@pytest.mark.parametrize("tap", [(0, 0), (1, 2)])
@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_images(channel: int, tap: tuple[int, int], mode: str) -> None:
    """What lies before the first or behind the last channel, or in the padding, is 0."""
    x, y = numbers((2, 3, 4, 64), np.float16), np.zeros(16 * 32, np.float16)
    options = "box=[16, 32], window=[3, 1, 1, 1]"
    copy = f"tensor_copy({options}) X[0, -1, -1, {channel}] at {tap[0]}, {tap[1]} -> S[0] on full[0]"
    assert not execute(copier("float16", x.shape, 16 * 32, bring(copy, 1024) + AWAIT + linear(512, "Y[e] = S[e]")),
                       mode, X=x, Y=y)  # fmt: skip
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (32, 32)))[:, tap[0] : tap[0] + 3, tap[1] : tap[1] + 4]
    expected = padded.reshape(-1, 128)[:16, channel + 32 : channel + 64]
    np.testing.assert_array_equal(y.reshape(16, 32), expected)


@pytest.mark.parametrize("op", ["add", "min", "max", "and", "or", "xor"])
@pytest.mark.parametrize("mode", MODES)
def test_stores_that_combine_with_memory(op: str, mode: str) -> None:
    x, y = numbers((16, 32), np.uint32), numbers((512,), np.uint32)[::-1].copy()
    ufunc = {"add": np.add, "min": np.minimum, "max": np.maximum}.get(op) or getattr(np, f"bitwise_{op}")
    expected = ufunc(x, y.reshape(16, 32))
    store = linear(512, "S[e] = Y[e]") + "fence(kind=async_proxy)\nbarrier\nif t == 0 {\n"
    store += f"tensor_copy(box=[16, 32], op={op}) S[0] -> X[0, 0]\n{SEND}}}\n"
    assert not execute(copier("uint32", (16, 32), 512, store), mode, X=x, Y=y)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("mode", MODES)
def test_runs_of_bytes(mode: str) -> None:
    x, y = numbers((8, 64), np.float32), np.zeros(128, np.float32)
    load = bring("bulk_move(lanes=128) X[2, 32] -> S[0] on full[0]", 512) + AWAIT
    assert not execute(copier("float32", (8, 64), 128, load + linear(128, "Y[e] = S[e]")), mode, X=x, Y=y)
    np.testing.assert_array_equal(y, x.reshape(-1)[160:288])
    store = linear(128, "S[e] = Y[e]") + "fence(kind=async_proxy)\nbarrier\nif t == 0 {\n"
    store += f"bulk_move(lanes=128) S[0] -> X[0, 4]\n{SEND}}}\n"
    assert not execute(copier("float32", (8, 64), 128, store), mode, X=x, Y=y)
    np.testing.assert_array_equal(x.reshape(-1)[4:132], y)


LOAD = bring("tensor_copy(box=[16, 32]) X[0, 0] -> S[0] on full[0]", 2048)
READ = linear(512, "Y[e] = S[e]")
FILL = linear(512, "S[e] = Y[e]") + "barrier\n"
STORE = "if t == 0 {\ntensor_copy(box=[16, 32]) S[0] -> X[0, 0]\nasync_commit(queue=store)\n"
COPY_MISTAKES = {
    "not waited for": (LOAD + READ + AWAIT, "TD0805"),
    "overwritten before it came": (LOAD + FILL + AWAIT, "TD0805"),
    "still read by others": (FILL + READ + LOAD + AWAIT, "TD0804"),
    "never waited for": (LOAD + READ.replace("Y[e] = S[e]", "Y[e] = 0.0"), "TD0808"),
    "two copies into the same place": (
        bring("tensor_copy(box=[16, 32]) X[0, 0] -> S[0] on full[0]\n" * 2, 4096) + AWAIT,
        "TD0805",
    ),
    "a phase that does not end": (bring("", 16), "TD0843"),
    "source overwritten": (FILL + STORE + "S[0] = 1.0\nasync_wait(pending=0, queue=store)\n}", "TD0861"),
    "store not waited for": (FILL + STORE + "}", "TD0853"),
    "sources waited for": (FILL + STORE + "async_wait(pending=0, queue=store, sources)\nS[0] = 1.0\n}", ""),
    "misaligned": (LOAD.replace("S[0]", "S[4]") + AWAIT, "TD0806"),
    "misaligned run": (bring("bulk_move(lanes=4) X[0, 1] -> S[0] on full[0]", 16) + AWAIT, "TD0806"),
    "beyond the tensor": (bring("bulk_move(lanes=64) X[15, 0] -> S[0] on full[0]", 256) + AWAIT, "TD0802"),
    "beyond shared memory": (LOAD.replace("S[0]", "S[32]") + AWAIT, "TD0802"),
    "to another block": (LOAD.replace("box=[16, 32]", "box=[16, 32], ranks=2") + AWAIT, "TD0857"),
}


@pytest.mark.parametrize("what", COPY_MISTAKES)
@pytest.mark.parametrize("mode", MODES)
def test_misuse_of_copies(what: str, mode: str) -> None:
    body, code = COPY_MISTAKES[what]
    x, y = numbers((16, 32), np.float32), numbers((512,), np.float32)
    assert execute(copier("float32", (16, 32), 512, body), mode, X=x, Y=y) == code


def test_the_copy_engine_fills_with_zeros_only() -> None:
    x, y = numbers((16, 32), np.float32), numbers((512,), np.float32)
    inside = changed(copier("float32", (16, 32), 512, LOAD + AWAIT), ("alloc S", "safe X = 1.0\nalloc S"))
    assert not execute(inside, X=x, Y=y)
    assert execute(changed(inside, ("X[0, 0] ->", "X[1, 0] ->")), X=x, Y=y) == "TD0863"


def test_what_is_stored_late_is_what_was_there_when_the_wait_came() -> None:
    """Without checks a source that is overwritten too early shows in the result."""
    x, y = np.zeros((16, 32), np.float32), numbers((512,), np.float32)
    body = FILL + STORE + "S[0] = 77.0\nasync_wait(pending=0, queue=store)\n}"
    assert not execute(copier("float32", (16, 32), 512, body), check=False, X=x, Y=y)
    assert x[0, 0] == 77


def test_copies_of_threads_that_a_barrier_tells_of() -> None:
    """cp.async, and an arrival of each thread when it has landed."""
    start = linear(512, "async S[e] = X[e // 32, e % 32]")
    waiting = start + "arrive(copies) full[0]\n" + AWAIT + READ.replace("S[e]", "S[511 - e]")
    x, y = numbers((16, 32), np.float32), np.zeros(512, np.float32)
    text = changed(copier("float32", (16, 32), 512, waiting), ("count=1", "count=64"))
    for mode in MODES:
        assert not execute(text, mode, X=x, Y=y)
        np.testing.assert_array_equal(y, x.reshape(-1)[::-1])
        assert execute(text.replace(AWAIT, ""), mode, X=x, Y=y) == "TD0805"


# --------------------------------------------------------------------------------------------------------------- wgmma

B_AT, SHARED = 16 * 1024, 32 * 1024
F16 = (FLOAT32, FLOAT16, FLOAT16)


def multiplier(types: tuple[DType, DType, DType], n: int, rs: bool, call: str, body: str) -> str:
    """Fills shared memory and registers, executes `body`, in which CALL is the instruction, stores the sums."""
    d, a, b = types
    k, registers = extent_k(a), n // 2
    held = 64 * k // 128
    sizes = [bits_in_memory(x) // 8 for x in (a, b)]
    return f"""
kernel k(X: global uint8[{SHARED}], R: global {a}[128, {held}], D: global {d}[128, {registers}]) {{
  launch k(bx in 1) threads(t in 128) {{
    alloc S: shared uint8[{SHARED}]
    alloc v: local uint8[16]
    view Sa: shared {a}[{SHARED // sizes[0]}] of S
    view Sb: shared {b}[{SHARED // sizes[1]}] of S
    alloc d: local {d}[{registers}]
    alloc r: local {a}[{held}]
    for i in {SHARED // 2048} {{
      move(lanes=16) X[i * 2048 + t * 16] -> v[0]
      move(lanes=16) v[0] -> S[i * 2048 + t * 16]
    }}
    for i in {registers} {{
      d[i] = D[t, i]
    }}
    for i in {held} {{
      r[i] = R[t, i]
    }}
    fence(kind=async_proxy)
    barrier
    hold d
    fence(kind=product)
    {body.replace("CALL", call)}
    for i in {registers} {{
      D[t, i] = d[i]
    }}
  }}
}}
"""


PLAIN = "CALL\nCALL\nasync_commit(queue=product)\nasync_wait(pending=0, queue=product)\nhold d"


def multiply(
    types: tuple[DType, DType, DType],
    n: int,
    *,
    mode: str = "late",
    rs: bool = False,
    a_swizzle: int = 128,
    b_swizzle: int = 128,
    a_k_major: bool = True,
    b_k_major: bool = True,
    add: bool = True,
    body: str = PLAIN,
    changes: Sequence[tuple[str, str]] = (),
) -> tuple[Array, Array, str]:
    """(result, expected if the product is added twice, code of the error)."""
    d_type, a_type, b_type = types
    k, name = extent_k(a_type), row_name(n, *types, rs)
    rng = np.random.default_rng(n + k)
    a, b = values(rng, a_type, (64, k)), values(rng, b_type, (n, k))
    memory = np.zeros(SHARED, np.uint8)
    a_at, b_at = descriptor(0, a_swizzle, a_k_major), descriptor(B_AT, b_swizzle, b_k_major)
    place(memory, a, a_at, a_k_major)
    place(memory, b, b_at, b_k_major)
    row = wgmma_row(name)
    assert row is not None
    fragment = row.operands[0].fragment
    before = rng.integers(-4, 5, (64, n)).astype(HOLDERS.get(d_type.name, d_type.name))
    sums = np.ascontiguousarray(scatter(fragment, before))
    held = np.ascontiguousarray(scatter(operand_a(bits_in_memory(a_type)), a))
    first = "&r[0]" if rs else f"descriptor(Sa[0], {a_at.leading}, {a_at.stride}, {a_swizzle})"
    second = f"descriptor(Sb[{B_AT * 8 // bits_in_memory(b_type)}], {b_at.leading}, {b_at.stride}, {b_swizzle})"
    majors = [*([] if rs else [int(not a_k_major)]), int(not b_k_major)]
    call = f"atom {name}(&d[0], {first}, {second}, {'true' if add else 'false'}, {', '.join(map(str, majors))})"
    text = changed(multiplier(types, n, rs, call, body), *changes)
    code = execute(text, mode, X=memory, R=held, D=sums)
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    return gather(fragment, sums).astype(np.float64), (before.astype(np.float64) + 2 * exact if add else exact), code


@pytest.mark.parametrize("rs", [False, True], ids=["ss", "rs"])
@pytest.mark.parametrize("types", TYPES, ids=lambda t: "-".join(str(x) for x in t))
def test_every_pair_of_types(types: tuple[DType, DType, DType], rs: bool) -> None:
    for mode in MODES:
        for add in (True, False):
            result, expected, code = multiply(types, 32, rs=rs, mode=mode, add=add)
            assert not code
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("a_swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize("b_swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize("majors", ["kk", "kn", "mk", "mn"])
def test_every_pair_of_layouts(a_swizzle: int, b_swizzle: int, majors: str) -> None:
    how = {"a_k_major": majors[0] == "k", "b_k_major": majors[1] == "k"}
    result, expected, code = multiply(F16, 64, a_swizzle=a_swizzle, b_swizzle=b_swizzle, **how)  # type: ignore[arg-type]
    assert not code
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("n", [8, 24, 64])
@pytest.mark.parametrize("types", [(FLOAT16, FLOAT16, FLOAT16), (FLOAT32, BFLOAT16, BFLOAT16)])
def test_every_class_of_n(types: tuple[DType, DType, DType], n: int) -> None:
    result, expected, code = multiply(types, n, rs=True, b_k_major=n < 64, b_swizzle=128 if n == 64 else 32)
    assert not code
    np.testing.assert_array_equal(result, expected)


COMMIT, WAIT_ALL = "async_commit(queue=product)\n", "async_wait(pending=0, queue=product)\n"
MISTAKES = {
    "no commit": (PLAIN.replace(COMMIT, ""), "TD0862"),
    "no wait": (PLAIN.replace(WAIT_ALL, ""), "TD0862"),
    "one group too many in flight": (f"CALL\n{COMMIT}CALL\n{COMMIT}async_wait(pending=1, queue=product)", "TD0862"),
    "sums are written": (f"CALL\nd[1] = cast<float32>(t)\n{COMMIT}{WAIT_ALL}", "TD0862"),
    "a register operand is written": (f"CALL\nr[1] = float16(0.0)\n{COMMIT}{WAIT_ALL}", "TD0861"),
    "a register operand is read": (f"CALL\nCALL\nlet x: float16 = r[1]\n{COMMIT}{WAIT_ALL}", ""),
    "a shared operand is written": (
        f"CALL\nif t == 0 {{\nSb[{B_AT // 2}] = float16(0.0)\n}}\n{COMMIT}{WAIT_ALL}",
        "TD0861",
    ),
    "other registers are written": (f"CALL\nCALL\nv[0] = uint8(0)\n{COMMIT}{WAIT_ALL}", ""),
    "half a warpgroup": (f"if t < 64 {{\nCALL\n{COMMIT}{WAIT_ALL}}}", "TD0849"),
    "other descriptors": (f"let o = select(t == 9, 8, 0)\nCALL\n{COMMIT}{WAIT_ALL}", "TD0849"),
}


@pytest.mark.parametrize("what", MISTAKES)
@pytest.mark.parametrize("mode", MODES)
def test_misuse_of_products(what: str, mode: str) -> None:
    body, code = MISTAKES[what]
    shift = [(f"Sb[{B_AT // 2}], ", f"Sb[{B_AT // 2} + o], ")] if "other descriptors" in what else []
    result, expected, found = multiply(F16, 64, rs=True, mode=mode, body=body, changes=shift)
    assert found == code
    if not code:
        np.testing.assert_array_equal(result, expected)


def test_products_that_nobody_waits_for() -> None:
    text = f"CALL\n{COMMIT}"
    _, _, code = multiply(F16, 8, body=text, changes=[("D[t, i] = d[i]", "D[t, i] = 0.0")])
    assert code == "TD0852"


def test_a_matrix_lies_inside_its_buffer_and_at_a_unit() -> None:
    assert multiply(F16, 64, changes=[(f"Sb[{B_AT // 2}]", f"Sb[{SHARED // 2 - 64}]")])[2] == "TD0802"
    assert multiply(F16, 64, changes=[("Sa[0]", "Sa[4]")])[2] == "TD0806"
