"""Indices of elements in the dtype that all passes calculate with."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Address, AtomicUpdate, Cast, Expr, Launch, Load, Node, Store
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import rewrite, walk

_Element = Load | Store | AtomicUpdate | Address


def with_wide_indices(launch: Launch) -> Launch:
    """The launch with every index of an element converted to `index`, where it is another integer.

    The frontend writes it so, IR text need not. Regions and sizes of tensors are of dtype `index` already (verify), and
    later passes add and compare these with indices.
    """
    if any(isinstance(n, _Element) and not all(map(_is_wide, n.indices)) for n in walk(launch)):
        wide: Launch = rewrite(launch, _wide)
        return wide
    return launch


def _wide(n: Node) -> Node:
    if not isinstance(n, _Element) or all(map(_is_wide, n.indices)):
        return n
    return replace(n, indices=tuple(i if _is_wide(i) else Cast(INDEX, i) for i in n.indices))


def _is_wide(index: Expr) -> bool:
    return dtype_of(index) is INDEX
