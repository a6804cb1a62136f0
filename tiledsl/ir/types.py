"""Type rules that the frontend and `verify` share."""

from __future__ import annotations

from tiledsl.ir.dtypes import BOOL, HANDLE, INT32, UINT64, DType
from tiledsl.ir.nodes import (
    Address,
    Binary,
    Call,
    Cast,
    Const,
    Descriptor,
    Expr,
    Extern,
    Load,
    Node,
    Reinterpret,
    Select,
    Unary,
    Var,
)
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY, Effect, Result
from tiledsl.ir.walk import walk


def dtype_of(e: Expr) -> DType:
    """The dtype of an expression; operands are assumed to be well-typed."""
    while True:
        kind = type(e)
        if kind in _TYPED:
            return e.dtype  # type: ignore[attr-defined, no-any-return]
        if isinstance(e, Binary):
            rule, e = BINARY[e.op].result, e.a
        elif isinstance(e, Load):
            return e.buffer.dtype
        elif isinstance(e, Select):
            rule, e = Result.SAME, e.a
        elif isinstance(e, Unary):
            rule, e = UNARY[e.op].result, e.a
        elif isinstance(e, Call):
            rule, e = FUNCTIONS[e.fn].result, e.args[0]
        elif isinstance(e, Address):
            return HANDLE
        elif isinstance(e, Descriptor):
            return UINT64
        else:
            raise TypeError(f"{kind.__name__} has no dtype")
        if rule is not Result.SAME:
            return BOOL if rule is Result.BOOL else INT32


_TYPED = frozenset({Const, Var, Cast, Reinterpret, Extern})  # they carry it
_STRENGTH = {effect: n for n, effect in enumerate((Effect.PURE, Effect.READS, Effect.COLLECTIVE, Effect.EFFECT))}


def effect_of(e: Expr) -> Effect:
    """The strongest effect of evaluating `e`."""
    strongest = Effect.PURE
    for n in walk(e):
        own = _own_effect(n)
        if own is not Effect.PURE and _STRENGTH[own] > _STRENGTH[strongest]:
            strongest = own
    return strongest


def _own_effect(n: Node) -> Effect:
    if isinstance(n, Load):
        return Effect.READS
    if isinstance(n, Call):
        return FUNCTIONS[n.fn].effect
    if isinstance(n, Extern):
        return Effect.PURE if n.pure else Effect.EFFECT
    return Effect.PURE
