"""legalise-dtypes: arithmetic only on types that the machine, or C++, computes with."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.ir.dtypes import FLOAT32, FLOAT64, INT32, DType, Kind
from tiledsl.ir.nodes import Binary, Call, Cast, Expr, Kernel, Node, Unary
from tiledsl.ir.ops import BINARY, FUNCTIONS, Effect, Result
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import rewrite
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage, wide_arithmetic


@kernel_pass(requires=[thread_stage], ensures=[wide_arithmetic])
def legalise_dtypes(kernel: Kernel) -> Kernel:
    """Computes on narrow floats in float32 and on narrow integers in int32, rounding or wrapping after each operation.

    Safe because + - * / and sqrt rounded first to float32 and then to a format of at most half its digits round as if
    once (Figueroa, "When is double rounding innocuous?", 1995: p >= 2q + 2), min, max, negation and comparisons are
    exact, and integer operations of int32 agree with the narrow ones modulo their width. Storage, casts, selects and
    exchanges between lanes keep their dtype.
    """
    return replace(kernel, launches=tuple(rewrite(launch, _widened) for launch in kernel.launches))


def _widened(node: Node) -> Node:
    if not isinstance(node, (Binary, Unary, Call)):
        return node
    match node:
        case Binary(op, a, b) if (wide := wide_dtype(dtype := dtype_of(a))) is not None:
            return _back(Binary(op, Cast(wide, a), Cast(wide, b)), dtype, BINARY[op].result)
        case Unary("-" | "~" as op, a) if (wide := wide_dtype(dtype := dtype_of(a))) is not None:
            return Cast(dtype, Unary(op, Cast(wide, a)))
        case Call(fn, args) if FUNCTIONS[fn].effect is Effect.PURE:
            dtype = dtype_of(args[0])
            wide = FLOAT64 if fn == "fma" and dtype.is_float else wide_dtype(dtype)  # fma rounds once
            if wide is not None and wide_dtype(dtype) is not None and fn not in _WIDTH_MATTERS:
                return _back(Call(fn, tuple(Cast(wide, a) for a in args)), dtype, FUNCTIONS[fn].result)
    return node


# They count bits, so a wider argument gives another result.
_WIDTH_MATTERS = frozenset({"popcount", "clz", "prmt", "dp4a"})


def _back(e: Expr, dtype: DType, result: Result) -> Expr:
    return Cast(dtype, e) if result is Result.SAME else e


def wide_dtype(dtype: DType) -> DType | None:
    """The dtype that stands in for arithmetic on `dtype`; None where the machine has it."""
    match dtype.kind:
        case Kind.FLOAT if dtype not in (FLOAT32, FLOAT64):
            return FLOAT32
        case Kind.INT | Kind.UINT if dtype.bits < 32:
            return INT32
    return None
