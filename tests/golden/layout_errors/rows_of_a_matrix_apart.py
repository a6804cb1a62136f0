"""A layout that moves single elements leaves ldmatrix no rows."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        a = T.alloc_shared((16, 16), "float16")
        held = T.alloc_local((8,), "float16")
        T.annotate_layout({a: T.Layout((16, 16), lambda i, j: j * 16 + i)})
        T.copy(A, a)
        lane = T.get_lane_idx()
        T.ptx_ldmatrix("float16", False, 4, ".b16", held, 0, a[lane % 16, lane // 16 * 8])


# ruff: noqa
# expect:
# rows_of_a_matrix_apart.py:13:9: TD0343: ldmatrix_x4 reads rows of 16 bytes of 'a', which its layout does not keep together and aligned
#             T.ptx_ldmatrix("float16", False, 4, ".b16", held, 0, a[lane % 16, lane // 16 * 8])
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: annotate a layout that moves whole runs of 16 bytes, such as T.make_swizzled_layout, and begin rows at their multiples
