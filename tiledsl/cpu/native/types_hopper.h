// What kernels and the runtime share of sm_90a: tensor maps and entry points.
#pragma once

#include "types.h"

namespace tds {

// The layout of tiledsl/tensor_map.py, `packed`. Dimensions are innermost first; strides in bytes.
struct alignas(64) TensorMap {
  u64 address;
  u64 extent[5];
  u64 stride[5];
  u32 box[5];
  u32 step[5];
  i32 lower[3], upper[3];  // corners of the pixels of im2col
  u32 channels, pixels;
  u8 rank, element_bytes, swizzle, data_type, is_im2col, fill_nan;
};
static_assert(sizeof(TensorMap) == 192, "tensor_map.py packs 192 bytes");

// A parameter of a kernel. The map stays where the host has it: a copy on every thread's stack would be 192 bytes, and
// gone when a copy that the thread started reads it after the thread has ended.
struct TensorMapParameter {
  const TensorMap* map;
  operator const TensorMap&() const { return *map; }
};

enum Reduction { REPLACE, REDUCE_ADD, REDUCE_MIN, REDUCE_MAX, REDUCE_AND, REDUCE_OR, REDUCE_XOR };

// A call of wgmma by one thread.
struct WgmmaCall {
  int types;  // row of WGMMA_TYPES
  int n;
  void* d;
  const void* a_registers;  // null: descriptor `a`
  u64 a, b;
  int a_sign, b_sign;
  bool a_along_m, b_along_n, accumulate;
};

}  // namespace tds

extern "C" {
void tds_rt_mbarrier_init(tds::u32 barrier, tds::u32 count, tds::Site at);
void tds_rt_mbarrier_inval(tds::u32 barrier, tds::Site at);
// Expects `bytes` more, then arrives `count` times.
void tds_rt_mbarrier_arrive(tds::u32 barrier, tds::u32 count, tds::u32 bytes, tds::Site at);
int tds_rt_mbarrier_test(tds::u32 barrier, tds::u32 parity, tds::Site at);
void tds_rt_mbarrier_wait(tds::u32 barrier, tds::u32 parity, tds::Site at);
void tds_rt_cp_async_mbarrier_arrive(tds::u32 barrier, int counted_at_init, tds::Site at);
void tds_rt_fence_mbarrier_init(tds::Site at);
void tds_rt_fence_proxy_async(tds::Site at);
void tds_rt_fence_proxy_async_global(tds::Site at);

// `ranks`: bits of the blocks of the cluster that receive it; 0: the own one.
void tds_rt_tma_load(tds::u32 to, const tds::TensorMap* map, tds::u32 barrier, tds::u32 ranks, const int* coordinates,
                     tds::Site at);
void tds_rt_tma_store(const tds::TensorMap* map, tds::u32 from, int reduction, const int* coordinates, tds::Site at);
void tds_rt_bulk_load(tds::u32 to, const void* from, tds::u32 bytes, tds::u32 barrier, tds::u32 ranks, tds::Site at);
void tds_rt_bulk_store(void* to, tds::u32 from, tds::u32 bytes, tds::Site at);
void tds_rt_bulk_copy_cluster(tds::u32 to, tds::u32 from, tds::u32 bytes, tds::u32 barrier, tds::Site at);
void tds_rt_bulk_commit(tds::Site at);
void tds_rt_bulk_wait(int pending, int until_read, tds::Site at);

void tds_rt_wgmma(const tds::WgmmaCall* call, tds::Site at);
void tds_rt_wgmma_fence(tds::Site at);
void tds_rt_wgmma_commit(tds::Site at);
void tds_rt_wgmma_wait(int pending, tds::Site at);
void tds_rt_setmaxnreg(int registers, int increases, tds::Site at);

tds::u64 tds_rt_shuffle_among(tds::u32 members, int kind, tds::u64 value, int argument, tds::Site at);
tds::u32 tds_rt_ballot_among(tds::u32 members, int value, tds::Site at);

tds::u32 tds_rt_cluster_rank();
tds::u32 tds_rt_cluster_size();
void tds_rt_cluster_arrive(int releases, tds::Site at);
void tds_rt_cluster_wait(tds::Site at);
tds::u32 tds_rt_cluster_map(tds::u32 address, tds::u32 rank, tds::Site at);
char* tds_rt_cluster_shared(tds::u32 address, int bytes, int access, tds::Site at);
void tds_rt_pause();
}
