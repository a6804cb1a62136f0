# ruff: noqa
# expect:
# kernel kernel<n>(A: global float32[n, 70], M: global bool[8], I: global int32[8], B: global float32[n, 70]) {
#   launch kernel(bx in 3, by in (n + 8 - 1) // 8) threads(thread in 96) raster(panel=2) {
#     layout S = shared[8, 32] dims([8:32], [32:1]) size(256) swizzle(3, 0, 5)
#     safe A = -7.0
#     alloc S: shared float32[8, 32]
#     alloc F: fragment float32[8, 32]
#     for k in 3 pipelined(stages=2, order=[0, 1], stage=[0, 1]) {
#       copy A[by * 8 + k - 1 : 8, bx * 32 : 32] -> S
#       parallel(width=2) i in 8, j in 32 {
#         F[i, j] = S[i, j] + A[by * 8 + i, bx * 32 + j - 1]
#       }
#     }
#     if M[by % 8] {
#       copy S[0 : 4, 0 : 32] -> F[0 : 4, 0 : 32]
#     }
#     let where: int32 = I[by % 8]
#     parallel i_1 in 8, j_1 in 32 {
#       if cast<index>(where) + i_1 < n and j_1 < 30 {
#         B[cast<index>(where) + i_1, bx * 32 + j_1] = max(F[i_1, j_1], S[i_1, min(j_1 + 1, 31)])
#       }
#     }
#     assert where >= 0
#     print "F" of F
#   }
# }
