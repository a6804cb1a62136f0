"""A tile goes to another block, but blocks are not in clusters."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 32, 64), "float16")):
    with T.Kernel(4) as b:
        S = T.alloc_shared((32, 64), "float16")
        bar = T.alloc_barrier(1)
        T.copy_cluster(S, S, dst_block=(b + 1) % 4, remote_barrier=bar)


# ruff: noqa
# expect:
# send_without_cluster.py:10:9: TD0226: dst_block of T.copy_cluster cannot be (b + 1) % 4 (index)
#             T.copy_cluster(S, S, dst_block=(b + 1) % 4, remote_barrier=bar)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: nothing: the kernel has no cluster, give T.Kernel cluster_dims=
