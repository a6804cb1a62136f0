"""Only what is in shared memory goes to one other block."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 32, 64), "float16")):
    with T.ClusterKernel(4, cluster_dims=2) as b:
        S = T.alloc_shared((32, 64), "float16")
        T.copy_cluster(A[b, 0, 0], S, dst_block=1)


# ruff: noqa
# expect:
# send_from_global.py:9:9: TD0254: T.copy_cluster cannot move 'A' (1, 1, 1) in global to 'S' (32, 64) in shared
#             T.copy_cluster(A[b, 0, 0], S, dst_block=1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it copies from shared to shared memory
