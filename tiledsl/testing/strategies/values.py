"""Well-typed scalar expressions over every dtype, operator and conversion that the emitter knows."""

from __future__ import annotations

import random
from collections.abc import Callable

from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import BOOL, DTYPES, FLOAT16, FLOAT32, FLOAT64, INDEX, INT32, TFLOAT32, UINT32, DType, Kind
from tiledsl.ir.nodes import Binary, Buffer, Call, Cast, Const, Expr, Load, Reinterpret, Rounding, Select, Unary, Var
from tiledsl.ir.ops import FUNCTIONS
from tiledsl.ir.types import dtype_of
from tiledsl.testing.thread_stage import i32

LANES = 64
TYPES = [t for t in DTYPES.values() if t.bits >= 8 and t.kind is not Kind.HANDLE and t is not INDEX]
INTEGERS = [t for t in TYPES if t.kind in (Kind.INT, Kind.UINT)]
FLOATS = [t for t in TYPES if t.is_float]
COMPUTING = [t for t in FLOATS if t in (FLOAT64, FLOAT32, FLOAT16) or t.name == "bfloat16"]
ARITHMETIC = ("+", "-", "*", "min", "max")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
EXACT_FUNCTIONS = ("floor", "ceil", "trunc", "round", "abs", "sqrt", "fma")
DIRECTED = [f for f in FUNCTIONS.values() if f.dtypes and "float32" in f.dtypes]
ROUGH_FUNCTIONS = (
    *("exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh"),
    *("asin", "acos", "atan", "erf", "sigmoid", "rsqrt", "fast_exp", "fast_rcp"),
)


def can_saturate(target: DType) -> bool:
    """Whether the IR says what saturation means: for integers and floats of at most 8 bits."""
    return target in INTEGERS or (target.is_float and target.bits <= 8)


class ValueMaker:
    """Random well-typed expressions over one input buffer for each dtype."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.inputs = {t: Buffer(f"in_{t}", (LANES,), t) for t in TYPES}
        self.thread = Var("t", INT32)

    def leaf(self, dtype: DType) -> Expr:
        if self.random.random() < 0.2:
            return self.constant(dtype)
        shift = Binary("%", Binary("+", self.thread, i32(self.random.randrange(LANES))), i32(LANES))
        return Load(self.inputs[dtype], (shift,))

    def constant(self, dtype: DType) -> Const:
        if dtype is BOOL:
            return Const(self.random.random() < 0.5, BOOL)
        if dtype.is_float:
            holder = numpy_dtype(dtype).type
            return Const(float(holder(self.random.choice([0.0, 1.0, 0.5, 3.0, 100.0, 1e-3, 7.25]))), dtype)
        low, high = dtype.int_range
        return Const(self.random.choice([low, high, max(low, -1), 0, 1, 2, 7, self.random.randint(low, high)]), dtype)

    def expr(self, dtype: DType, depth: int) -> Expr:
        if depth == 0:
            return self.leaf(dtype)
        rules: list[Callable[[DType, int], Expr]] = [self.cast, self.select, self.reinterpret]
        if dtype is BOOL:
            rules += [self.comparison, self.logic]
        elif dtype.is_integer:
            rules += [self.integer, self.integer]
        elif dtype in COMPUTING:
            rules += [self.floating, self.floating]
        return self.random.choice(rules)(dtype, depth - 1)

    def cast(self, dtype: DType, depth: int) -> Expr:
        source = self.random.choice(TYPES)
        value = self.expr(source, depth)
        rounding, saturate = Rounding.NEAREST_EVEN, self.random.random() < 0.4
        if dtype.is_float and source.is_float and self.random.random() < 0.5:
            rounding = self.random.choice(list(Rounding))
        return Cast(dtype, value, rounding, saturate and can_saturate(dtype))

    def select(self, dtype: DType, depth: int) -> Expr:
        return Select(self.expr(BOOL, depth), self.expr(dtype, depth), self.expr(dtype, depth))

    def reinterpret(self, dtype: DType, depth: int) -> Expr:
        if dtype is BOOL or dtype is TFLOAT32 or "float6" in dtype.name:  # not every pattern of bits is a value
            return self.expr(dtype, depth)
        same = [t for t in INTEGERS if t.bits == dtype.bits]
        return Reinterpret(dtype, self.expr(self.random.choice(same), depth)) if same else self.expr(dtype, depth)

    def comparison(self, _: DType, depth: int) -> Expr:
        dtype = self.random.choice([*INTEGERS, *COMPUTING])
        if dtype.is_float and self.random.random() < 0.3:
            return Call(self.random.choice(["isnan", "isinf", "isfinite"]), (self.expr(dtype, depth),))
        return Binary(self.random.choice(COMPARISONS), self.expr(dtype, depth), self.expr(dtype, depth))

    def logic(self, _: DType, depth: int) -> Expr:
        if self.random.random() < 0.3:
            return Unary("not", self.expr(BOOL, depth))
        return Binary(self.random.choice(["and", "or"]), self.expr(BOOL, depth), self.expr(BOOL, depth))

    def integer(self, dtype: DType, depth: int) -> Expr:
        a = self.expr(dtype, depth)
        match self.random.randrange(8):
            case 0:
                return Unary(self.random.choice(["-", "~"]), a)
            case 1:
                amount = Const(self.random.randrange(dtype.bits), dtype)
                return Binary(self.random.choice(["<<", ">>"]), a, amount)
            case 2:
                return Call("abs", (a,))
            case 3 if dtype is INT32:
                return Call(self.random.choice(["popcount", "clz"]), (self.expr(self.random.choice(INTEGERS), depth),))
            case 4 if dtype is UINT32:
                return Call("prmt", (a, self.expr(dtype, depth), self.expr(dtype, depth)))
            case 6 if paired := [f for f in FUNCTIONS.values() if dtype.name in f.dtypes]:
                row = self.random.choice(paired)
                return Call(row.name, (a, *(self.expr(dtype, depth) for _ in range(row.arity - 1))))
            case 5 if dtype in (INT32, UINT32):
                return Call("dp4a", (a, self.expr(dtype, depth), self.expr(dtype, depth)))
        op = self.random.choice([*ARITHMETIC, "|", "^", "&", "//", "%", "div", "rem"])
        b = self.expr(dtype, depth)
        return Binary(op, a, self.nonzero(b) if op in ("//", "%", "div", "rem") else b)

    @staticmethod
    def nonzero(b: Expr) -> Expr:
        """A divisor that is not 0, nor -1 (whose quotient with the least number NumPy does not define)."""
        dtype = dtype_of(b)
        return Binary("max", Binary("&", b, Const(dtype.int_range[1], dtype)), Const(1, dtype))

    def floating(self, dtype: DType, depth: int) -> Expr:
        a = self.expr(dtype, depth)
        match self.random.randrange(5):
            case 0:
                return Unary("-", a)
            case 2 if directed := [f for f in DIRECTED if dtype.name in f.dtypes]:
                row = self.random.choice(directed)
                return Call(row.name, (a, *(self.expr(dtype, depth) for _ in range(row.arity - 1))))
            case 1:
                fn = self.random.choice(EXACT_FUNCTIONS)
                return Call(fn, (a, self.expr(dtype, depth), self.expr(dtype, depth)) if fn == "fma" else (a,))
        return Binary(self.random.choice([*ARITHMETIC, "/"]), a, self.expr(dtype, depth))
