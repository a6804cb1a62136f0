"""Rows of 8 bytes go to another block: the copy engine moves 16 at least."""

import tiledsl
import tiledsl.language as T


@tiledsl.kernel
def kernel(A: T.Tensor((2, 32, 64), "float16")):
    with T.ClusterKernel(2, cluster_dims=2, threads=128) as b:
        S = T.alloc_shared((32, 64), "float16")
        R = T.alloc_shared((32, 64), "float16")
        T.copy(A[b, 0, 0], S)
        T.copy_cluster(S[:, 0:4], R[:, 0:4], dst_block=1 - b)
        T.copy(R, A[b, 0, 0])


def trigger():
    kernel.compile(target="sm_90a")


# ruff: noqa
# expect:
# send_rows.py:13:9: TD0262: T.copy_cluster cannot move 'S' to 'R' of another block: its parts have 8 bytes and begin at multiples of 128, and both must be multiples of 16
#             T.copy_cluster(S[:, 0:4], R[:, 0:4], dst_block=1 - b)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: 'S' got its layout from row-major by default
#   note: 'R' got its layout from row-major by default
#   hint: copy whole tiles of one shape, or rows of multiples of 16 bytes, and let the compiler choose the layouts of both, or give both the same by T.annotate_layout
