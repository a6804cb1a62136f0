"""C = A + B: a tile of each in registers, added element by element."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def add(M, N, block=(32, 32), threads=128, through_shared=False):
    """Registers are the shorter way; `through_shared` has the tiles brought to shared memory first."""
    block_M, block_N = block

    @tiledsl.kernel(out_idx=-1)
    def add(A: T.Tensor((M, N), T.float32), B: T.Tensor((M, N), T.float32), C: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            alloc = T.alloc_shared if through_shared else T.alloc_fragment
            a = alloc(block, T.float32)
            b = alloc(block, T.float32)
            c = T.alloc_fragment(block, T.float32)
            T.copy(A[by * block_M, bx * block_N], a)
            T.copy(B[by * block_M, bx * block_N], b)
            for i, j in T.Parallel(block_M, block_N):
                c[i, j] = a[i, j] + b[i, j]
            T.copy(c, C[by * block_M, bx * block_N])

    return add


def reference(A, B):
    return {"C": A + B}


def rows():
    def case(M, N, **options):
        return Case(
            f"example-elementwise-add-{M}x{N}" + "".join(f"-{name.replace('_', '-')}" for name in options),
            add(M, N, **options),
            lambda draw: {"A": draw(M, N, dtype=np.float32), "B": draw(M, N, dtype=np.float32)},
            reference,
            rtol=0,
            atol=0,
        )

    yield Row(
        "example_elementwise_add",
        "C = A + B, float32, 1024 x 1024",
        timed=(case(1024, 1024),),
        reduced=(case(64, 96), case(33, 71), case(64, 96, through_shared=True), case(33, 71, through_shared=True)),
        tilelang=(0.0222,),
    )


if __name__ == "__main__":
    main(rows())
