"""Row and column reductions of every kind."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

FLOAT_OPS = ("sum", "max", "min", "abssum", "absmax")
BIT_OPS = ("bitand", "bitor", "bitxor")


def reduce(M, N, op, dim, dtype=T.float32, threads=128, clear=True):
    """R = op of X along `dim`; with clear=False combined with what R held."""
    word = getattr(T, f"reduce_{op}")
    length = M if dim == 1 else N

    @tiledsl.kernel
    def reduce(X: T.Tensor((M, N), dtype), R: T.Tensor((length,), dtype)):
        with T.Kernel(1, threads=threads):
            x = T.alloc_fragment((M, N), dtype)
            r = T.alloc_fragment((length,), dtype)
            T.copy(X, x)
            if not clear:
                T.copy(R, r)
            word(x, r, dim=dim, clear=clear)
            T.copy(r, R)

    return reduce


def reference(X, R, op, dim, clear):
    axis = dim
    folds = {
        "sum": np.add.reduce,
        "max": np.maximum.reduce,
        "min": np.minimum.reduce,
        "abssum": lambda x, axis: np.add.reduce(np.abs(x), axis=axis),
        "absmax": lambda x, axis: np.maximum.reduce(np.abs(x), axis=axis),
        "bitand": np.bitwise_and.reduce,
        "bitor": np.bitwise_or.reduce,
        "bitxor": np.bitwise_xor.reduce,
    }
    pairs = {
        "sum": np.add,
        "max": np.maximum,
        "min": np.minimum,
        "abssum": np.add,
        "absmax": np.maximum,
        "bitand": np.bitwise_and,
        "bitor": np.bitwise_or,
        "bitxor": np.bitwise_xor,
    }
    out = folds[op](X, axis=axis)
    return {"R": (out if clear else pairs[op](R, out)).astype(X.dtype)}


def cases():
    for dim in (0, 1):
        for op in FLOAT_OPS + BIT_OPS:
            dtype, numpy = (T.int32, np.int32) if op in BIT_OPS else (T.float32, np.float32)
            for clear in (True, False) if op in ("sum", "max") else (True,):
                M, N = (64, 32) if dim else (32, 64)
                length = M if dim == 1 else N
                yield Case(
                    f"reduce-{op}-dim{dim}" + ("" if clear else "-accumulate"),
                    reduce(M, N, op, dim, dtype, clear=clear),
                    lambda draw, M=M, N=N, n=length, t=numpy: {"X": draw(M, N, dtype=t), "R": draw(n, dtype=t)},
                    lambda X, R, op=op, dim=dim, clear=clear: reference(X, R, op, dim, clear),
                    rtol=1e-4,
                    atol=1e-4,
                )
