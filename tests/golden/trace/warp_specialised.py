# ruff: noqa
# expect:
# kernel kernel(A: global float16[256, 256], B: global float16[256, 256], C: global float16[256, 256]) {
#   launch kernel(bx in 2, by in 2) threads(thread in 384) registers(40, 232) {
#     alloc A_shared: shared float16[2, 128, 64]
#     alloc B_shared: shared float16[2, 64, 128]
#     alloc C_shared: shared float16[128, 128]
#     alloc loaded: barrier uint64[2] = 128
#     alloc consumed: barrier uint64[2] = 256
#     roles {
#       role ws0(first=0, threads=128, registers=40) t0 {
#         for k in 4 {
#           await consumed[k % 2], (k // 2 + 1) % 2
#           expect loaded[k % 2], 16384
#           bulk copy A[by * 128 : 128, k * 64 : 64] -> A_shared[k % 2, 0 : 128, 0 : 64] on loaded[k % 2]
#           copy(engine=threads) B[k * 64 : 64, bx * 128 : 128] -> B_shared[k % 2, 0 : 64, 0 : 128]
#           arrive loaded[k % 2]
#         }
#       }
#       role ws1_2(first=128, threads=256) t1 {
#         alloc C_local: fragment float32[128, 128]
#         for k_1 in 4 {
#           await loaded[k_1 % 2], k_1 // 2 % 2
#           async gemm A_shared[k_1 % 2, 0 : 128, 0 : 64], B_shared[k_1 % 2, 0 : 64, 0 : 128], C_local
#           async_commit(queue=product)
#           async_wait(pending=0, queue=product)
#           arrive consumed[k_1 % 2]
#         }
#         copy C_local -> C_shared
#         fence(kind=async_proxy)
#         barrier
#         bulk copy C_shared -> C[by * 128 : 128, bx * 128 : 128]
#         async_commit(queue=store)
#         async_wait(pending=0, queue=store, sources)
#       }
#     }
#   }
# }
