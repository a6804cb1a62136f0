"""Everything that rewritten functions call, under one name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from tiledsl.frontend.binding import (
    and_,
    annotated,
    assign,
    chain,
    check,
    conditional,
    declare,
    names,
    not_,
    or_,
    set_attribute,
    set_item,
    unpack,
    update_attribute,
    update_item,
)
from tiledsl.frontend.control import Branch, Loop, WhileLoop, context, leave, returned
from tiledsl.frontend.loopspecs import iterator

__all__ = [
    "INPLACE",
    "Branch",
    "Loop",
    "WhileLoop",
    "and_",
    "annotated",
    "assign",
    "chain",
    "check",
    "conditional",
    "context",
    "declare",
    "iterator",
    "leave",
    "names",
    "not_",
    "or_",
    "returned",
    "set_attribute",
    "set_item",
    "unpack",
    "update_attribute",
    "update_item",
]

# By the name of the syntax-tree operator.
INPLACE: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": operator.iadd,
    "Sub": operator.isub,
    "Mult": operator.imul,
    "MatMult": operator.imatmul,
    "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod,
    "Pow": operator.ipow,
    "LShift": operator.ilshift,
    "RShift": operator.irshift,
    "BitAnd": operator.iand,
    "BitOr": operator.ior,
    "BitXor": operator.ixor,
}
