"""Accesses of memory beyond a single element, as calls of the device API."""

from __future__ import annotations

from tiledsl.codegen.expr import Expressions
from tiledsl.codegen.spelling import type_name
from tiledsl.ir.nodes import AtomicUpdate, Move, Space

_MOVES = {
    (Space.LOCAL, Space.GLOBAL): "load_vector",
    (Space.LOCAL, Space.SHARED): "load_shared_vector",
    (Space.GLOBAL, Space.LOCAL): "store_vector",
    (Space.SHARED, Space.LOCAL): "store_shared_vector",
}
# Memory orders of an atomic update, as fences before and after it.
_FENCE_BEFORE = ("release", "acq_rel", "seq_cst")
_FENCE_AFTER = ("acquire", "consume", "acq_rel", "seq_cst")


def move(s: Move, e: Expressions) -> str:
    size = s.lanes * s.dst.buffer.dtype.bits // 8
    spaces = (s.dst.buffer.space, s.src.buffer.space)
    if spaces not in _MOVES:
        raise TypeError(f"a move between {spaces[0].value} and {spaces[1].value} memory must be lowered")
    e.written.add(s.dst.buffer)
    return f"tds::{_MOVES[spaces]}<{size}>({e.bare(s.dst)}, {e.bare(s.src)});"


def atomic(s: AtomicUpdate, e: Expressions) -> list[str]:
    """The update between the fences of its memory order."""
    dtype = type_name(s.buffer.dtype)
    e.written.add(s.buffer)
    address = e.address(s.buffer, s.indices)
    pointer = f"tds::shared_pointer<{dtype}>({address})" if s.buffer.space is Space.SHARED else address
    if s.result is not None:
        e.data.add(s.result)
    result = f"const {dtype} {e.name(s.result)} = " if s.result is not None else ""
    arguments = pointer if s.op == "load" else f"{pointer}, {e.bare(s.value)}"
    update = f"{result}tds::atomic_{s.op}({arguments});"
    before = ["tds::fence();"] if s.order in _FENCE_BEFORE else []
    return [*before, update, *(["tds::fence();"] if s.order in _FENCE_AFTER else [])]
