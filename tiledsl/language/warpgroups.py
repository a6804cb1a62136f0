"""Words that name a product of warpgroups (wgmma): single instructions, on tiles in place in shared memory.

`T.gemm` and `T.wgmma_gemm` choose instructions by themselves.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from tiledsl.frontend.proxies import Scalar, describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, Tile, tile_of
from tiledsl.ir.dtypes import FLOAT32, TFLOAT32, DType
from tiledsl.ir.nodes import Address, Region, Space
from tiledsl.ir.tile import Gemm
from tiledsl.language.instructions import abbreviated
from tiledsl.language.tiles import GemmWarpPolicy, begin, emit_tile

_PREFIX = re.compile(r"m64n(\d+)k(\d+)")


def ptx_wgmma_ss(
    dtype: Any,
    wgmma_prefix: str,
    a_is_k_major: bool,
    b_is_k_major: bool,
    a_dtype_abbrv: Any,
    b_dtype_abbrv: Any,
    accum_dtype_abbrv: Any,
    A_desc: Any,
    A_offset: int,
    B_desc: Any,
    B_offset: int,
    C_data: Any,
    C_offset: int,
    scale_out: bool,
    scale_in_a: int = 1,
    scale_in_b: int = 1,
) -> None:
    """Starts one product by each warpgroup, `C += A @ B`, and does not wait: wgmma of "m64n128k16", ... (sm_90a).

    `T.ptx_wgmma_ss("fp32", "m64n64k16", True, False, "fp16", "fp16", "fp32", A_shared[0, 0], 0, B_shared[0, 0], 0,
    C_local, 0, True)`: `A_desc` is where in a shared tile A begins, 64 rows by k for each warpgroup of the block or
    T.ws block, one below the other: `S[0, 16]`, or the part itself. It is stored as (rows, k) if `a_is_k_major`, else
    as (k, rows). `B_desc` is n columns by k in a shared tile, stored as (n, k) if `b_is_k_major`, else as (k, n).
    `C_data` is a whole T.alloc_fragment of 64 rows a warpgroup by n. The compiler makes the matrix descriptors, so the
    offsets are 0; the layouts of the tiles are inferred. With `scale_out=False` C is overwritten; A and B are never
    negated. Dtypes as in T.ptx_mma, with "tf32" for float32 tiles. T.warpgroup_commit_batch and `T.warpgroup_wait(0)`
    follow before C is used. Targets without this instruction make the same product by warps, and wait. Raises TileError
    TD0219, TD0226, TD0247, TD0270, TD0319. Source: PTX ISA, "wgmma.mma_async".
    """
    types = (a_dtype_abbrv, b_dtype_abbrv, accum_dtype_abbrv, dtype)
    fixed = _Fixed(A_offset, B_offset, C_offset, scale_in_a, scale_in_b)
    tiles = (A_desc, B_desc, C_data)
    _wgmma("T.ptx_wgmma_ss", wgmma_prefix, types, tiles, bool(a_is_k_major), bool(b_is_k_major), scale_out, fixed)


def ptx_wgmma_rs(
    dtype: Any,
    wgmma_prefix: str,
    b_is_k_major: bool,
    a_dtype_abbrv: Any,
    b_dtype_abbrv: Any,
    accum_dtype_abbrv: Any,
    A_buf: Any,
    A_offset: int,
    B_desc: Any,
    B_offset: int,
    C_data: Any,
    C_offset: int,
    scale_out: bool,
    scale_in_a: int = 1,
    scale_in_b: int = 1,
) -> None:
    """T.ptx_wgmma_ss with A in registers: `A_buf` is a whole T.alloc_fragment of 64 rows a warpgroup by k.

    `T.ptx_wgmma_rs("fp32", "m64n64k16", False, "fp16", "fp16", "fp32", A_local, 0, B_shared[0, 0], 0, C_local, 0,
    True)`.
    """
    types = (a_dtype_abbrv, b_dtype_abbrv, accum_dtype_abbrv, dtype)
    fixed = _Fixed(A_offset, B_offset, C_offset, scale_in_a, scale_in_b)
    tiles = (A_buf, B_desc, C_data)
    _wgmma("T.ptx_wgmma_rs", wgmma_prefix, types, tiles, True, bool(b_is_k_major), scale_out, fixed)


class _Fixed(NamedTuple):
    """What has one value here: tiles are named by their place, and nothing is negated."""

    A_offset: Any
    B_offset: Any
    C_offset: Any
    scale_in_a: Any
    scale_in_b: Any


_ALLOWED = _Fixed(*["0: name the place of the tile, S[i, j]"] * 3, *["1: nothing is negated"] * 2)


def _wgmma(
    word: str,
    prefix: str,
    types: tuple[Any, Any, Any, Any],
    tiles: tuple[Any, Any, Any],
    a_along_k: bool,
    b_along_k: bool,
    accumulate: Any,
    fixed: _Fixed,
) -> None:
    """The product as a tile operation of exactly one instruction for each warpgroup."""
    tracer = begin(word)
    a, b, d, same = (abbreviated(t) for t in types)
    n, k = _extents(prefix, d, a, b, word)
    if same is not d:
        raise fail("TD0226", word=word, name="dtype", value=same, allowed=f"{d}, as accum_dtype_abbrv")
    for name, value, allowed in zip(_Fixed._fields, fixed, _ALLOWED):
        if type(value) is not int or value != int(allowed[0]):
            raise fail("TD0226", word=word, name=name, value=describe(value), allowed=allowed)
    if isinstance(accumulate, Scalar):
        allowed = "True or False when the kernel is traced: unroll the loop with a Python list"
        raise fail("TD0226", word=word, name="scale_out", value=describe(accumulate), allowed=allowed)
    role = tracer.role()
    threads = role.threads if role is not None else prod(tracer.launch(word).threads)
    rows = max(threads // 128, 1) * 64
    shapes = ((rows, k) if a_along_k else (k, rows), (n, k) if b_along_k else (k, n), (rows, n))
    spaces = (Space.SHARED if word == "T.ptx_wgmma_ss" else Space.FRAGMENT, Space.SHARED, Space.FRAGMENT)
    x, y, z = (
        _operand(word, name, tile, shape, dtype, space)
        for name, tile, shape, dtype, space in zip("ABC", tiles, shapes, (a, b, d), spaces)
    )
    policy, precision = GemmWarpPolicy.FullRow.value, "tf32" if a is TFLOAT32 else "ieee"
    how = (not a_along_k, b_along_k, not accumulate, policy, precision)
    emit_tile(tracer, word, Gemm(x, y, z, *how, asynchronous=True, span=tracer.here()))


def _extents(prefix: str, d: DType, a: DType, b: DType, word: str) -> tuple[int, int]:
    """n and k of the instruction. Raises TileError TD0270 where there is none."""
    from tiledsl.isa.wgmma import row_name, wgmma_row

    found = _PREFIX.fullmatch(prefix) if isinstance(prefix, str) else None
    n, k = (int(found[1]), int(found[2])) if found else (0, 0)
    try:
        row = wgmma_row(row_name(n, d, a, b, word.endswith("rs"))) if n else None
    except KeyError:
        row = None
    if row is None or f"k{k}_" not in row.name:
        known = (
            "m64, n of 8 to 256 in steps of 8 (8-bit integers: 16 from 32 on), 32 bytes along k; as T.gemm on sm_90a"
        )
        raise fail("TD0270", what=f"wgmma.{prefix} of {a} and {b} into {d}", known=known)
    return n, k


def _operand(word: str, name: str, value: Any, extents: tuple[int, int], dtype: DType, space: Space) -> Region:
    """A matrix of these extents: where it begins in a shared tile, or a whole fragment."""
    if isinstance(value, Scalar) and isinstance(value.expr, Address):
        tile = Tile(Tensor(value.expr.buffer, value.frame), value.expr.indices, (), is_start=True)
    else:
        tile = tile_of(value, word, name)
    if tile.buffer.space is not space:
        allowed = f"T.alloc_{space.value}"
        raise fail("TD0219", parameter=name, word=word, name=tile.name, space=tile.tensor.scope(), allowed=allowed)
    held = FLOAT32 if dtype is TFLOAT32 else dtype
    if tile.buffer.dtype is not held:
        shown = f"'{tile.name}', {tile.buffer.dtype}"
        raise fail("TD0226", word=word, name=name, value=shown, allowed=f"a tile of {held}")
    whole = (1,) * (len(tile.offsets) - 2) + extents
    if len(tile.offsets) < 2 or (tile.extents != whole and (space is Space.FRAGMENT or not tile.is_start)):
        allowed = f"{extents[0]} by {extents[1]} elements"
        raise fail("TD0226", word=word, name=name, value=tile.shown(), allowed=allowed)
    return replace(tile, extents=whole, is_start=False).region(word)
