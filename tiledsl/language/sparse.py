"""T.gemm_sp: products with a matrix of which two of any four neighbours along k are zero."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import tile_of
from tiledsl.ir.dtypes import UINT16
from tiledsl.ir.nodes import Space
from tiledsl.ir.tile import Gemm
from tiledsl.language.memory import alloc_fragment
from tiledsl.language.tiles import (
    GemmWarpPolicy,
    begin,
    check_dtypes,
    check_operands,
    chosen_policy,
    copy,
    emit_tile,
    matrix_extents,
)

_WORD = "T.gemm_sp"
_PER_WORD = 16  # columns of the matrix that a word of metadata is about


def gemm_sp(
    A_sparse: Any,
    E: Any,
    B: Any,
    C: Any,
    transpose_A: bool = False,
    transpose_B: bool = False,
    policy: Any = GemmWarpPolicy.Square,
    clear_accum: bool = False,
    k_pack: int = 1,
    wg_wait: int = 0,
) -> None:
    """`C += A @ B` on tiles of the block, where of any four neighbours of a row of A two are zero, and not stored.

    `A_sparse` is (M, K / 2), the others in order; `E` is (M, K / 16) of uint16, four bits for each pair of them: which
    of the four they are, the first in the lower two bits. `tiledsl.sparse.compress` makes both. B is (K, N), or (N, K)
    with `transpose_B`; C is a fragment. A_sparse and B lie in shared memory or fragments, E too. float16 and bfloat16
    into float32, float16 into float16; K is a multiple of 32. Where tiles reach over the end of E, its safe value is
    0x4444 (`T.annotate_safe_value`): 0 is no metadata. By mma.sp on every target; the report of sm_90a says so. Raises
    TileError TD0215 to TD0219, TD0226, TD0275, TD0312, TD0313. Source: PTX ISA, "mma.sp".
    `T.gemm_sp(A_sparse, E, B_shared, C_local)`.
    """
    tracer = begin(_WORD)
    for name, value, allowed in (("transpose_A", transpose_A, "False"), ("wg_wait", wg_wait, "0")):
        if value:
            raise fail("TD0226", word=_WORD, name=name, value=describe(value), allowed=allowed)
    a, e, b, c = (tile_of(x, _WORD, n) for x, n in ((A_sparse, "A_sparse"), (E, "E"), (B, "B"), (C, "C")))
    check_operands(_WORD, (a, "A_sparse"), (b, "B"), (e, "E"), c=c)
    rows, kept = matrix_extents(a, "A_sparse")
    inner, columns = matrix_extents(b, "B")[:: -1 if transpose_B else 1]
    wanted = {"B": inner == 2 * kept, "C": matrix_extents(c, "C") == (rows, columns)}
    wanted["E"] = matrix_extents(e, "E") == (rows, inner // _PER_WORD) and e.buffer.dtype is UINT16
    if not all(wanted.values()):
        wrong = next(tile for name, tile in (("B", b), ("C", c), ("E", e)) if not wanted[name])
        shapes = f"A_sparse (M, K / 2), E (M, K / {_PER_WORD}) of uint16, B (K, N), C (M, N)"
        raise fail("TD0275", tile=wrong.shown(), dtype=wrong.buffer.dtype, a=a.shown(), shapes=shapes)
    check_dtypes(a, b, c)
    if e.buffer.space is Space.SHARED:
        held = alloc_fragment((rows, inner // _PER_WORD), UINT16)
        copy(E, held)
        e = tile_of(held, _WORD, "E")
    stmt = Gemm(
        a.region(_WORD),
        b.region(_WORD),
        c.region(_WORD),
        transpose_b=bool(transpose_B),
        clear=bool(clear_accum),
        policy=chosen_policy(_WORD, policy).value,
        e=e.region(_WORD),
        span=tracer.here(),
    )
    emit_tile(tracer, _WORD, stmt)
