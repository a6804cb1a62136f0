"""A tile goes to a block that the cluster does not have."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 32, 64), "float16")):
    with T.ClusterKernel(4, cluster_dims=4) as b:
        S = T.alloc_shared((32, 64), "float16")
        T.copy(A[b, 0, 0], S)
        T.copy_cluster(S, S, dst_block=4)


# ruff: noqa
# expect:
# send_rank.py:10:9: TD0226: dst_block of T.copy_cluster cannot be 4 (int)
#             T.copy_cluster(S, S, dst_block=4)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: 0 to 3: the cluster has 4 blocks
