"""The result of one product is an operand of another that deals its rows to other warps."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float16")
        p = T.alloc_fragment((64, 64), "float16")
        out = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, a, p, policy=T.GemmWarpPolicy.FullCol)
        T.gemm(p, a, out, policy=T.GemmWarpPolicy.FullRow)
        T.copy(out, C)


# ruff: noqa
# expect:
# conflict_of_roles.py:12:9: TD0301: layout conflict: 'p' would need two layouts, for operand c of T.gemm and for operand a of T.gemm
#   for operand c of T.gemm (thread:register):
#                16       17       18       19       20       21       22       23
#       0:    T32:0    T32:1    T33:0    T33:1    T34:0    T34:1    T35:0    T35:1 ...
#       1:    T36:0    T36:1    T37:0    T37:1    T38:0    T38:1    T39:0    T39:1 ...
#       2:    T40:0    T40:1    T41:0    T41:1    T42:0    T42:1    T43:0    T43:1 ...
#       3:    T44:0    T44:1    T45:0    T45:1    T46:0    T46:1    T47:0    T47:1 ...
#   for operand a of T.gemm (thread:register):
#                16       17       18       19       20       21       22       23
#       0:     T0:8     T0:9     T1:8     T1:9     T2:8     T2:9     T3:8     T3:9 ...
#       1:     T4:8     T4:9     T5:8     T5:9     T6:8     T6:9     T7:8     T7:9 ...
#       2:     T8:8     T8:9     T9:8     T9:9    T10:8    T10:9    T11:8    T11:9 ...
#       3:    T12:8    T12:9    T13:8    T13:9    T14:8    T14:9    T15:8    T15:9 ...
#             T.gemm(p, a, out, policy=T.GemmWarpPolicy.FullRow)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: first demanded by operand c of T.gemm (conflict_of_roles.py:11:9)
#             T.gemm(a, a, p, policy=T.GemmWarpPolicy.FullCol)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: then by operand a of T.gemm (conflict_of_roles.py:12:9)
#             T.gemm(p, a, out, policy=T.GemmWarpPolicy.FullRow)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: copy the tile to a second buffer, through shared memory if the threads differ, or annotate one of the two
