"""The user gave the two tiles different layouts, and no bytes follow on in both."""

import tiledsl
import tiledsl.language as T


@tiledsl.kernel
def kernel(A: T.Tensor((2, 32, 64), "float16")):
    with T.ClusterKernel(2, cluster_dims=2, threads=128) as b:
        S = T.alloc_shared((32, 64), "float16")
        R = T.alloc_shared((32, 64), "float16")
        T.annotate_layout({S: T.make_swizzled_layout(S)})
        T.annotate_layout({R: T.make_linear_layout(R)})
        T.copy(A[b, 0, 0], S)
        T.copy_cluster(S, R, dst_block=1 - b)
        T.copy(R, A[b, 0, 0])


def trigger():
    kernel.compile(target="sm_90a")


# ruff: noqa
# expect:
# send_layouts.py:15:9: TD0262: T.copy_cluster cannot move 'S' to 'R' of another block: 'S' and 'R' have different layouts
#             T.copy_cluster(S, R, dst_block=1 - b)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: 'S' got its layout from user (send_layouts.py:9:10)
#         with T.ClusterKernel(2, cluster_dims=2, threads=128) as b:
#              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: 'R' got its layout from user (send_layouts.py:9:10)
#         with T.ClusterKernel(2, cluster_dims=2, threads=128) as b:
#              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: copy whole tiles of one shape, or rows of multiples of 16 bytes, and let the compiler choose the layouts of both, or give both the same by T.annotate_layout
