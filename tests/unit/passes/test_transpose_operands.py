"""transpose-operands: which products get transposed operands, and which are left as they are."""

from __future__ import annotations

import pytest

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.passes.transpose_operands import transpose_operands
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
TURN = transpose_operands.bind(SM90)


def kernel(a: str, b: str, how: str = "", *, dtype: str = "int8", body: str = "", tail: str = "") -> Kernel:
    """A product of tiles of these shapes in a loop."""
    product = f"gemm({how}) A_shared, B_shared, c" if how else "gemm A_shared, B_shared, c"
    result = "int32" if dtype == "int8" else "float32"
    return parse(
        f"""kernel k(A: global {dtype}[{a}], B: global {dtype}[{b}]) {{
  launch k(x in 1) threads(t in 128) {{
    alloc A_shared: shared {dtype}[{a}]
    alloc B_shared: shared {dtype}[{b}]
    alloc c: fragment {result}[64, 32]
    {tail}
    fill c, {"0" if result == "int32" else "0.0"}
    {body or "for k in 3 pipelined(stages=2) { PRODUCT }".replace("PRODUCT", product)}
  }}
}}
""".replace("PRODUCT", product)
    )


def statements(k: Kernel) -> list[str]:
    """The product, and what has been put before it."""
    verify(k)
    lines = [line.strip() for line in text(k).splitlines()]
    return [line for line in lines if "gemm" in line or line.startswith("transpose")]


TURNED = {
    "b": (("64, 64", "64, 32"), "", ["transpose B_shared -> B_shared_t", "gemm(transpose_b) A_shared, B_shared_t, c"]),
    "a": (
        ("64, 64", "32, 64"), "transpose_a, transpose_b",
        ["transpose A_shared -> A_shared_t", "gemm(transpose_b) A_shared_t, B_shared, c"],
    ),
    "both, and cleared": (
        ("64, 64", "64, 32"), "transpose_a, clear",
        [
            "transpose A_shared -> A_shared_t", "transpose B_shared -> B_shared_t",
            "gemm(transpose_b, clear) A_shared_t, B_shared_t, c",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shapes", "how", "expected"), TURNED.values(), ids=TURNED)
def test_operands_along_m_or_n_are_transposed(shapes: tuple[str, str], how: str, expected: list[str]) -> None:
    made = TURN(kernel(*shapes, how))
    assert statements(made) == expected
    assert len(made.launches[0].notes) == len(expected) - 1
    assert TURN(made) == made


def test_the_note_names_operand_tile_and_cost() -> None:
    (note,) = TURN(kernel("64, 64", "64, 32")).launches[0].notes
    assert (
        "operand b, 'B_shared', is transposed into 'B_shared_t' (2048 bytes), as wgmma reads int8 only along k" in note
    )


def test_in_a_role_by_its_own_threads() -> None:
    roles = """roles {
      role one(first=0, threads=128) u { PRODUCT }
    }"""
    assert statements(TURN(kernel("64, 64", "64, 32", body=roles)))[0] == "transpose B_shared -> B_shared_t"


LEFT = {
    "along k": kernel("64, 64", "32, 64", "transpose_b"),
    "16 bits": kernel("64, 64", "64, 32", dtype="float16"),
    "float32 that is not to be rounded": kernel("64, 64", "64, 32", dtype="float32"),
    "rows that are no multiple of 64": parse(
        text(kernel("64, 64", "64, 32")).replace("[64, 64]", "[48, 64]").replace("int32[64, 32]", "int32[48, 32]")
    ),
    "no room": kernel("64, 64", "64, 32", tail="alloc big: shared int8[225280]"),
    "a schedule by hand": kernel(
        "64, 64", "64, 32", body="for k in 3 pipelined(stages=2, order=[0], stage=[0]) { PRODUCT }"
    ),
}  # fmt: skip


@pytest.mark.parametrize("k", LEFT.values(), ids=LEFT)
def test_others_are_left(k: Kernel) -> None:
    assert TURN(k) is k or TURN(k) == k


def test_only_where_there_is_wgmma_and_it_is_not_forbidden() -> None:
    k = kernel("64, 64", "64, 32")
    assert transpose_operands.bind(target_named("sm_80"))(k) is k
    assert transpose_operands.bind(SM90, enabled=False)(k) is k
