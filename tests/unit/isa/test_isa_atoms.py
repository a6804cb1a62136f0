"""Rows of the instruction table against the PTX manual's formulas, typed in here a second time.

The manual writes groupID = laneid >> 2 and threadID_in_group = laneid % 4 (PTX ISA, "Matrix Fragments for mma...").
L25: instruction atoms equal their hardware tables; S22: mma through the fragments is the matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from tiledsl.analysis.layout_tables import is_injective
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, FLOAT64
from tiledsl.ir.layout import linear_at, unravel
from tiledsl.isa.atom import Completion
from tiledsl.isa.execute import gather, interpret, scatter
from tiledsl.isa.sparse import SPARSE
from tiledsl.isa.table import ATOMS, select
from tiledsl.sparse import compress, prune
from tiledsl.target import TARGETS, target_named

Formula = Callable[[int, int, int], tuple[int, int]]  # (groupID, threadID_in_group, i) -> (row, column)


def d_16x8(gid: int, tid: int, i: int) -> tuple[int, int]:
    return (gid if i < 2 else gid + 8), tid * 2 + (i & 1)


def a_16x16(gid: int, tid: int, i: int) -> tuple[int, int]:
    row = gid if 0 <= i < 2 or 4 <= i < 6 else gid + 8
    return row, tid * 2 + (i & 1) + (8 if i >= 4 else 0)


def b_16x8(gid: int, tid: int, i: int) -> tuple[int, int]:
    return tid * 2 + (i & 1) + (8 if i >= 2 else 0), gid


def a_16x8_tf32(gid: int, tid: int, i: int) -> tuple[int, int]:
    return (gid if i in (0, 2) else gid + 8), (tid if i in (0, 1) else tid + 4)


def b_8x8_tf32(gid: int, tid: int, i: int) -> tuple[int, int]:
    return (tid if i == 0 else tid + 4), gid


def a_16x32(gid: int, tid: int, i: int) -> tuple[int, int]:
    row = gid if 0 <= i < 4 or 8 <= i < 12 else gid + 8
    return row, tid * 4 + (i & 3) + (0 if i < 8 else 16)


def b_32x8(gid: int, tid: int, i: int) -> tuple[int, int]:
    return tid * 4 + (i & 3) + (0 if i < 4 else 16), gid


def a_8x4_f64(gid: int, tid: int, i: int) -> tuple[int, int]:
    return gid, tid


def b_4x8_f64(gid: int, tid: int, i: int) -> tuple[int, int]:
    return tid, gid


def d_8x8_f64(gid: int, tid: int, i: int) -> tuple[int, int]:
    return gid, tid * 2 + (i & 1)


FORMULAS: dict[str, tuple[Formula, Formula, Formula]] = {
    "m16n8k16": (d_16x8, a_16x16, b_16x8),
    "m16n8k8": (d_16x8, a_16x8_tf32, b_8x8_tf32),
    "m16n8k32": (d_16x8, a_16x32, b_32x8),
    "m8n8k4": (d_8x8_f64, a_8x4_f64, b_4x8_f64),
}


def b_32x8_16_bits(gid: int, tid: int, i: int) -> tuple[int, int]:
    return tid * 2 + (i & 1) + 8 * (i // 2), gid


def metadata_16x2(gid: int, tid: int, i: int) -> tuple[int, int]:
    """Two words of 16 bits: rows gid and gid + 8, of the columns 16 (tid % 2) on; lanes 2 and 3 repeat 0 and 1."""
    return gid + 8 * i, tid % 2


MMA = [a for a in ATOMS.values() if a.kind == "mma"]
NUMPY = {"bfloat16": ml_dtypes.bfloat16, "float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2}


@pytest.mark.parametrize("atom", MMA, ids=lambda a: a.name)
def test_L25_mma_fragments_follow_the_manual(atom) -> None:
    shape = next(s for s in FORMULAS if f"_{s}_" in atom.name)
    for op, formula in zip(atom.operands, FORMULAS[shape], strict=True):
        for lane in range(32):
            for i in range(op.fragment.num_regs):
                found = unravel(linear_at(op.fragment, lane, i), op.fragment.shape)
                assert found == formula(lane >> 2, lane % 4, i), (op.name, lane, i)


@pytest.mark.parametrize("atom", SPARSE, ids=lambda a: a.name)
def test_L25_sparse_fragments_follow_the_manual(atom) -> None:
    for op, formula in zip(atom.operands, (d_16x8, a_16x16, b_32x8_16_bits, metadata_16x2), strict=True):
        for lane in range(32):
            for i in range(op.fragment.num_regs):
                found = unravel(linear_at(op.fragment, lane, i), op.fragment.shape)
                assert found == formula(lane >> 2, lane % 4, i), (op.name, lane, i)


@pytest.mark.parametrize("atom", SPARSE, ids=lambda a: a.name)
def test_S22_sparse_products_through_their_fragments(atom) -> None:
    draw = np.random.default_rng(0)
    tiles = {op.name: _values(draw, op.dtype.numpy, op.fragment.shape) for op in atom.operands}
    dense = prune(_values(draw, atom.operands[1].dtype.numpy, (16, 32)))
    tiles["a"], tiles["e"] = compress(dense)
    registers = {op.name: scatter(op.fragment, tiles[op.name]) for op in atom.operands}
    result = gather(atom.operands[0].fragment, interpret(atom, registers))
    expected = tiles["d"].astype(np.float64) + dense.astype(np.float64) @ tiles["b"].astype(np.float64)
    np.testing.assert_array_equal(result.astype(np.float64), expected)


@pytest.mark.parametrize("atom", ATOMS.values(), ids=lambda a: a.name)
def test_L1_register_operands_are_bijections_of_a_warp(atom) -> None:
    for op in atom.operands:
        assert op.fragment.num_threads == 32
        assert not op.fragment.is_ragged and op.fragment.replication == (2 if op.name == "e" else 1)
        assert is_injective(op.fragment) or op.name == "e"
        assert op.fragment.num_regs * op.dtype.bits % 32 == 0


def _values(draw: np.random.Generator, name: str, shape: tuple[int, ...]):
    if name.startswith("int"):
        return draw.integers(-8, 8, shape).astype(name)
    if name.startswith("uint"):
        return draw.integers(0, 16, shape).astype(name)
    return draw.integers(-3, 4, shape).astype(NUMPY.get(name, name))


@pytest.mark.parametrize("atom", MMA, ids=lambda a: a.name)
def test_S22_mma_through_its_fragments_is_the_matrix_product(atom) -> None:
    draw = np.random.default_rng(0)
    tiles = {op.name: _values(draw, op.dtype.numpy, op.fragment.shape) for op in atom.operands}
    registers = {op.name: scatter(op.fragment, tiles[op.name]) for op in atom.operands}
    result = gather(atom.operands[0].fragment, interpret(atom, registers))
    expected = tiles["d"].astype(np.float64) + tiles["a"].astype(np.float64) @ tiles["b"].astype(np.float64)
    assert result.dtype == tiles["d"].dtype
    np.testing.assert_array_equal(result.astype(np.float64), expected)
    np.testing.assert_array_equal(result, atom.semantics(**tiles))


def test_mma_of_several_warps_at_once() -> None:
    atom = ATOMS["mma_m16n8k16_f32_f16"]
    draw = np.random.default_rng(1)
    tiles = {op.name: _values(draw, op.dtype.numpy, (3, *op.fragment.shape)) for op in atom.operands}
    registers = {op.name: scatter(op.fragment, tiles[op.name]) for op in atom.operands}
    result = gather(atom.operands[0].fragment, interpret(atom, registers))
    np.testing.assert_array_equal(result, tiles["d"] + tiles["a"].astype(np.float32) @ tiles["b"].astype(np.float32))


def test_tf32_operands_are_truncated_to_ten_bits_of_mantissa() -> None:
    atom = ATOMS["mma_m16n8k8_f32_tf32"]
    a = np.full((16, 8), 1 + 2**-10 + 2**-11, np.float32)
    b, d = np.eye(8, dtype=np.float32), np.zeros((16, 8), np.float32)
    np.testing.assert_array_equal(atom.semantics(d=d, a=a, b=b), np.full((16, 8), 1 + 2**-10, np.float32))


def test_integer_products_wrap_modulo_2_to_the_32() -> None:
    atom = ATOMS["mma_m16n8k32_s32_s8"]
    d = np.full((16, 8), 2**31 - 1, np.int32)
    a, b = np.ones((16, 32), np.int8), np.ones((32, 8), np.int8)
    assert (atom.semantics(d=d, a=a, b=b) == -(2**31) + 31).all()


def test_L25_ldmatrix_gives_lane_t_two_units_of_row_t_div_4() -> None:
    """PTX ISA, ldmatrix: lane t receives units 2*(t%4), 2*(t%4)+1 of row t/4 of each matrix, or of the transpose."""
    for count in (1, 2, 4):
        plain = ATOMS[f"ldmatrix_x{count}"].operands[0].fragment
        trans = ATOMS[f"ldmatrix_x{count}_trans"].operands[0].fragment
        for lane in range(32):
            for q in range(count):
                for e in range(2):
                    at = unravel(linear_at(plain, lane, 2 * q + e), (count, 8, 8))
                    assert at == (q, lane // 4, 2 * (lane % 4) + e)
                    at = unravel(linear_at(trans, lane, 2 * q + e), (count, 8, 8))
                    assert at == (q, 2 * (lane % 4) + e, lane // 4)


LDMATRIX_ADDRESSES = [
    # stored as, transposed, row of lane t, column of lane t: algorithms.md A.3 (from the manual's figures)
    ("a", "mk", False, lambda t: t % 16, lambda t: 8 * (t // 16)),
    ("a", "km", True, lambda t: 8 * (t // 16) + t % 8, lambda t: 8 * (t % 16 // 8)),
]


@pytest.mark.parametrize(("operand", "stored", "trans", "row", "column"), LDMATRIX_ADDRESSES)
def test_L25_ldmatrix_x4_fills_the_mma_operand(operand, stored, trans, row, column) -> None:
    """S17: ldmatrix with the manual's row addresses yields the registers that mma expects."""
    tile = np.arange(256).reshape(16, 16)
    rows = np.array([[tile[row(t), column(t) + e] for e in range(8)] for t in range(32)]).reshape(4, 8, 8)
    atom = ATOMS["ldmatrix_x4_trans" if trans else "ldmatrix_x4"]
    registers = scatter(atom.operands[0].fragment, rows)
    logical = tile if stored == "mk" else tile.T
    op = next(o for o in ATOMS["mma_m16n8k16_f32_f16"].operands if o.name == operand)
    np.testing.assert_array_equal(registers, scatter(op.fragment, logical))


@pytest.mark.parametrize("trans", [False, True])
def test_L25_ldmatrix_x4_fills_two_b_operands(trans: bool) -> None:
    """Two n-blocks of 8: registers (block, k half, pair), as A.3 has them for (n, k) plain and (k, n) .trans."""
    tile = np.arange(256).reshape(16, 16)  # (n, k), or (k, n) for .trans
    lanes = range(32)
    if trans:
        address = [(t % 16, 8 * (t // 16)) for t in lanes]
    else:
        address = [(8 * (t // 16) + t % 8, 8 * (t % 16 // 8)) for t in lanes]
    rows = np.array([[tile[r, c + e] for e in range(8)] for r, c in address]).reshape(4, 8, 8)
    atom = ATOMS["ldmatrix_x4_trans" if trans else "ldmatrix_x4"]
    registers = scatter(atom.operands[0].fragment, rows)
    k_by_n = tile if trans else tile.T
    b = ATOMS["mma_m16n8k16_f32_f16"].operands[2].fragment
    expected = np.concatenate([scatter(b, k_by_n[:, :8]), scatter(b, k_by_n[:, 8:])], axis=1)
    np.testing.assert_array_equal(registers, expected)


def test_rows_are_selected_by_dtypes_and_target() -> None:
    names = [a.name for a in select("mma", (FLOAT32, FLOAT16, FLOAT16), target_named("sm_80"))]
    assert names == ["mma_m16n8k16_f32_f16"]
    assert select("ldmatrix", (), target_named("sm_80"))[0].name == "ldmatrix_x4"
    assert not select("stmatrix", (), target_named("sm_80"))
    assert select("stmatrix", (), target_named("sm_90a"))
    assert select("mma", (FLOAT64, FLOAT64, FLOAT64), target_named("sm_80"))
    e4m3 = ATOMS["mma_m16n8k32_f32_e4m3"]
    assert e4m3 not in select("mma", (), target_named("sm_80"))
    assert e4m3 in select("mma", (), target_named("sm_89"))


def test_every_row_is_complete() -> None:
    features = frozenset().union(*(t.features for t in TARGETS.values()))
    for name, atom in ATOMS.items():
        assert name == atom.name and atom.feature in features and atom.source.startswith("PTX ISA")
        names = {op.name: "{}" for op in atom.operands} | dict.fromkeys(("row", "dst", "src", "size"), "%0")
        assert atom.ptx.format(**names).endswith(";")
        assert (atom.completion is Completion.COMMIT_GROUP) == (atom.kind == "cp_async")
        assert (atom.semantics is not None) == bool(atom.operands)


def test_cp_async_of_16_bytes_alone_bypasses_L1() -> None:
    assert [(a.bytes, ".cg." in a.ptx) for a in select("cp_async", ())] == [(16, True), (8, False), (4, False)]
