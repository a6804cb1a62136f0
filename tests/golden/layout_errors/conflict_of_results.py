"""Two products deal their results to the warps differently, and a copy would need both."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float16")
        rows = T.alloc_fragment((64, 64), "float32")
        columns = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, a, rows, policy=T.GemmWarpPolicy.FullRow)
        T.gemm(a, a, columns, policy=T.GemmWarpPolicy.FullCol)
        T.copy(rows, columns)
        T.copy(columns, C)


# ruff: noqa
# expect:
# conflict_of_results.py:13:9: TD0301: layout conflict: this statement reads 'rows' in threads that do not hold it
#   'rows' (thread:register):
#                16       17       18       19       20       21       22       23
#       0:     T0:8     T0:9     T1:8     T1:9     T2:8     T2:9     T3:8     T3:9 ...
#       1:     T4:8     T4:9     T5:8     T5:9     T6:8     T6:9     T7:8     T7:9 ...
#       2:     T8:8     T8:9     T9:8     T9:9    T10:8    T10:9    T11:8    T11:9 ...
#       3:    T12:8    T12:9    T13:8    T13:9    T14:8    T14:9    T15:8    T15:9 ...
#   what the statement needs (thread:register):
#                16       17       18       19       20       21       22       23
#       0:    T32:0    T32:1    T33:0    T33:1    T34:0    T34:1    T35:0    T35:1 ...
#       1:    T36:0    T36:1    T37:0    T37:1    T38:0    T38:1    T39:0    T39:1 ...
#       2:    T40:0    T40:1    T41:0    T41:1    T42:0    T42:1    T43:0    T43:1 ...
#       3:    T44:0    T44:1    T45:0    T45:1    T46:0    T46:1    T47:0    T47:1 ...
#             T.copy(rows, columns)
#             ^^^^^^^^^^^^^^^^^^^^^
#   note: 'rows' got its layout from operand c of T.gemm (conflict_of_results.py:11:9)
#             T.gemm(a, a, rows, policy=T.GemmWarpPolicy.FullRow)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: 'columns' got its layout from operand c of T.gemm (conflict_of_results.py:12:9)
#             T.gemm(a, a, columns, policy=T.GemmWarpPolicy.FullCol)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: copy the tile to a second buffer, through shared memory if the threads differ, or annotate one of the two
