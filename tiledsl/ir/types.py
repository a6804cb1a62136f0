"""Type rules that the frontend and `verify` share."""

from __future__ import annotations

from tiledsl.ir.dtypes import BOOL, HANDLE, INT32, DType
from tiledsl.ir.nodes import Address, Binary, Call, Cast, Const, Expr, Extern, Load, Reinterpret, Select, Unary, Var
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY, Effect, Result
from tiledsl.ir.walk import children


def dtype_of(e: Expr) -> DType:
    """The dtype of an expression; operands are assumed to be well-typed."""
    match e:
        case Const(_, dtype) | Var(_, dtype) | Cast(dtype) | Reinterpret(dtype) | Extern(_, _, dtype):
            return dtype
        case Load(buffer):
            return buffer.dtype
        case Binary(op, a):
            return _result(BINARY[op].result, a)
        case Unary(op, a):
            return _result(UNARY[op].result, a)
        case Select(_, a):
            return dtype_of(a)
        case Call(fn, args):
            return _result(FUNCTIONS[fn].result, args[0])
        case Address():
            return HANDLE
    raise TypeError(f"{type(e).__name__} has no dtype")


def _result(rule: Result, operand: Expr) -> DType:
    match rule:
        case Result.SAME:
            return dtype_of(operand)
        case Result.BOOL:
            return BOOL
        case Result.INT32:
            return INT32


_ORDER = (Effect.PURE, Effect.READS, Effect.COLLECTIVE, Effect.EFFECT)


def effect_of(e: Expr) -> Effect:
    """The strongest effect of evaluating `e`."""
    match e:
        case Load():
            own = Effect.READS
        case Call(fn):
            own = FUNCTIONS[fn].effect
        case Extern(pure=pure):
            own = Effect.PURE if pure else Effect.EFFECT
        case _:
            own = Effect.PURE
    below = [effect_of(c) for c in children(e) if isinstance(c, Expr)]
    return max([own, *below], key=_ORDER.index)
