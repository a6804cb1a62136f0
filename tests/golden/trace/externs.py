# ruff: noqa
# expect:
# kernel kernel(A: global float32[64], M: global bool[64]) {
#   source "\n__device__ float scaled(float x, int n) { return x * n; }\n__device__ void note(float* p) { *p += 1; }\n"
#   launch kernel(bx in 1) threads(thread in 64) {
#     alloc S: shared float32[64]
#     parallel i in 64 {
#       let scaled: float32 = extern<float32>("scaled", A[i], cast<int32>(i))
#       S[i] = scaled + extern<float32, pure>("scaled", scaled, int32(3))
#       M[i] = A[i] != 0.0
#     }
#     evaluate extern<handle>("note", &S[5])
#     alloc counters: var int32 = 0
#     alloc counters_1: var int32 = 0
#     if A[0] > 0.0 {
#       counters_1 = 7
#       counters = counters + 2
#     }
#     A[1] = cast<float32>(counters + counters_1)
#   }
# }
