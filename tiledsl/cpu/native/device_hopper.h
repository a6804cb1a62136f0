// The device API of sm_90a on the CPU: the same names as codegen/prelude_hopper.cuh and codegen/tma.py. Included by
// device.h, inside of nothing. The functions of wgmma are made for each kernel from the rows that it names.
#pragma once
#include "types_hopper.h"

#define TDS_TENSOR_MAP ::tds::TensorMapParameter

namespace tds {

// ---- tensor maps. Coordinates are innermost first; those that a tensor lacks are left out.

constexpr int ABSENT = -2147483647 - 1;

TDS_DEVICE void tma_prefetch(const TensorMap&) {}
TDS_DEVICE void tma_prefetch_tile(const TensorMap&, int, int = 0, int = 0, int = 0, int = 0) {}

TDS_DEVICE void tma_load(u32 to, const TensorMap& map, u32 barrier, int c0, int c1 = ABSENT, int c2 = ABSENT,
                         int c3 = ABSENT, int c4 = ABSENT, TDS_HERE) {
  const int c[] = {c0, c1, c2, c3, c4, ABSENT};
  tds_rt_tma_load(to, &map, barrier, 0, c, at);
}
TDS_DEVICE void tma_load_multicast(u32 to, const TensorMap& map, u32 barrier, u16 ranks, int c0, int c1 = ABSENT,
                                   int c2 = ABSENT, int c3 = ABSENT, int c4 = ABSENT, TDS_HERE) {
  const int c[] = {c0, c1, c2, c3, c4, ABSENT};
  tds_rt_tma_load(to, &map, barrier, ranks, c, at);
}
TDS_DEVICE void tma_load_im2col(u32 to, const TensorMap& map, u32 barrier, int c0, int c1, int c2, int c3,
                                int c4 = ABSENT, int c5 = ABSENT, int c6 = ABSENT, int c7 = ABSENT, TDS_HERE) {
  const int c[] = {c0, c1, c2, c3, c4, c5, c6, c7, ABSENT};
  tds_rt_tma_load(to, &map, barrier, 0, c, at);
}
TDS_DEVICE void tma_load_im2col_multicast(u32 to, const TensorMap& map, u32 barrier, u16 ranks, int c0, int c1, int c2,
                                          int c3, int c4 = ABSENT, int c5 = ABSENT, int c6 = ABSENT, int c7 = ABSENT,
                                          TDS_HERE) {
  const int c[] = {c0, c1, c2, c3, c4, c5, c6, c7, ABSENT};
  tds_rt_tma_load(to, &map, barrier, ranks, c, at);
}

#define TDS_TMA_STORE(name, reduction)                                                                  \
  TDS_DEVICE void name(const TensorMap& map, u32 from, int c0, int c1 = ABSENT, int c2 = ABSENT,        \
                       int c3 = ABSENT, int c4 = ABSENT, TDS_HERE) {                                    \
    const int c[] = {c0, c1, c2, c3, c4, ABSENT};                                                       \
    tds_rt_tma_store(&map, from, reduction, c, at);                                                     \
  }
TDS_TMA_STORE(tma_store, REPLACE)
TDS_TMA_STORE(tma_reduce_add, REDUCE_ADD)
TDS_TMA_STORE(tma_reduce_min, REDUCE_MIN)
TDS_TMA_STORE(tma_reduce_max, REDUCE_MAX)
TDS_TMA_STORE(tma_reduce_and, REDUCE_AND)
TDS_TMA_STORE(tma_reduce_or, REDUCE_OR)
TDS_TMA_STORE(tma_reduce_xor, REDUCE_XOR)
#undef TDS_TMA_STORE

// ---- barriers in shared memory

TDS_DEVICE void mbarrier_init(u32 barrier, u32 count, TDS_HERE) { tds_rt_mbarrier_init(barrier, count, at); }
TDS_DEVICE void mbarrier_inval(u32 barrier, TDS_HERE) { tds_rt_mbarrier_inval(barrier, at); }
TDS_DEVICE void mbarrier_arrive(u32 barrier, u32 count = 1, TDS_HERE) { tds_rt_mbarrier_arrive(barrier, count, 0, at); }
TDS_DEVICE void mbarrier_arrive_cluster(u32 barrier, u32 count, TDS_HERE) {
  tds_rt_mbarrier_arrive(barrier, count, 0, at);
}
TDS_DEVICE void mbarrier_expect_tx(u32 barrier, u32 bytes, TDS_HERE) { tds_rt_mbarrier_arrive(barrier, 0, bytes, at); }
TDS_DEVICE void mbarrier_arrive_expect_tx(u32 barrier, u32 bytes, TDS_HERE) {
  tds_rt_mbarrier_arrive(barrier, 1, bytes, at);
}
TDS_DEVICE void mbarrier_arrive_expect_tx_cluster(u32 barrier, u32 bytes, TDS_HERE) {
  tds_rt_mbarrier_arrive(barrier, 1, bytes, at);
}
template <u32 RANKS>
TDS_DEVICE void mbarrier_arrive_ranks(u32 barrier, TDS_HERE) {
  for (u32 rank = 0; rank < 16; ++rank)
    if (RANKS >> rank & 1) tds_rt_mbarrier_arrive(tds_rt_cluster_map(barrier, rank, at), 1, 0, at);
}
template <u32 RANKS>
TDS_DEVICE void mbarrier_arrive_expect_tx_ranks(u32 barrier, u32 bytes, TDS_HERE) {
  for (u32 rank = 0; rank < 16; ++rank)
    if (RANKS >> rank & 1) tds_rt_mbarrier_arrive(tds_rt_cluster_map(barrier, rank, at), 1, bytes, at);
}
TDS_DEVICE bool mbarrier_try_wait(u32 barrier, u32 parity, TDS_HERE) {
  return tds_rt_mbarrier_test(barrier, parity, at) != 0;
}
TDS_DEVICE bool mbarrier_test_wait(u32 barrier, u32 parity, TDS_HERE) {
  return tds_rt_mbarrier_test(barrier, parity, at) != 0;
}
TDS_DEVICE void mbarrier_wait(u32 barrier, u32 parity, TDS_HERE) { tds_rt_mbarrier_wait(barrier, parity, at); }
TDS_DEVICE void mbarrier_wait_cluster(u32 barrier, u32 parity, TDS_HERE) { tds_rt_mbarrier_wait(barrier, parity, at); }
TDS_DEVICE void cp_async_mbarrier_arrive(u32 barrier, TDS_HERE) { tds_rt_cp_async_mbarrier_arrive(barrier, 0, at); }
TDS_DEVICE void cp_async_mbarrier_arrive_noinc(u32 barrier, TDS_HERE) {
  tds_rt_cp_async_mbarrier_arrive(barrier, 1, at);
}

// ---- fences

TDS_DEVICE void fence_mbarrier_init(TDS_HERE) { tds_rt_fence_mbarrier_init(at); }
TDS_DEVICE void fence_proxy_async(TDS_HERE) { tds_rt_fence_proxy_async(at); }
TDS_DEVICE void fence_proxy_async_global(TDS_HERE) { tds_rt_fence_proxy_async_global(at); }
// Threads of a cluster run on one processor thread, so these need no more than the detector's attention.
TDS_DEVICE void fence_cta(TDS_HERE) { tds_rt_fence(at); }
TDS_DEVICE void fence_cluster(TDS_HERE) { tds_rt_fence(at); }

// ---- flags between blocks, at gpu scope

template <class T>
TDS_DEVICE T load_acquire(const T* p, TDS_HERE) {
  typedef typename Word<sizeof(T)>::type W;
  W* word = (W*)tds_rt_atomic(p, sizeof(T), ATOMIC_READ, at);
  const T value = bitcast<T>(__atomic_load_n(word, __ATOMIC_ACQUIRE));
  tds_rt_fence(at);
  return value;
}
template <class T>
TDS_DEVICE void store_release(T* p, typename type_is<T>::type value, TDS_HERE) {
  typedef typename Word<sizeof(T)>::type W;
  tds_rt_fence(at);
  __atomic_store_n((W*)tds_rt_atomic(p, sizeof(T), ATOMIC_WRITE, at), bitcast<W>(value), __ATOMIC_RELEASE);
}
TDS_DEVICE void nanosleep(u32) { tds_rt_pause(); }

// ---- bulk copies

TDS_DEVICE void bulk_load(u32 to, const void* from, u32 bytes, u32 barrier, TDS_HERE) {
  tds_rt_bulk_load(to, from, bytes, barrier, 0, at);
}
TDS_DEVICE void bulk_load_multicast(u32 to, const void* from, u32 bytes, u32 barrier, u16 ranks, TDS_HERE) {
  tds_rt_bulk_load(to, from, bytes, barrier, ranks, at);
}
TDS_DEVICE void bulk_store(void* to, u32 from, u32 bytes, TDS_HERE) { tds_rt_bulk_store(to, from, bytes, at); }
TDS_DEVICE void bulk_copy_cluster(u32 to, u32 from, u32 bytes, u32 barrier, TDS_HERE) {
  tds_rt_bulk_copy_cluster(to, from, bytes, barrier, at);
}
TDS_DEVICE void bulk_prefetch(const void*, u32) {}
TDS_DEVICE void bulk_commit(TDS_HERE) { tds_rt_bulk_commit(at); }
template <int PENDING>
TDS_DEVICE void bulk_wait(TDS_HERE) {
  tds_rt_bulk_wait(PENDING, 0, at);
}
template <int PENDING>
TDS_DEVICE void bulk_wait_read(TDS_HERE) {
  tds_rt_bulk_wait(PENDING, 1, at);
}

// ---- warpgroups

TDS_DEVICE void wgmma_fence(TDS_HERE) { tds_rt_wgmma_fence(at); }
TDS_DEVICE void wgmma_commit(TDS_HERE) { tds_rt_wgmma_commit(at); }
template <int PENDING>
TDS_DEVICE void wgmma_wait(TDS_HERE) {
  tds_rt_wgmma_wait(PENDING, at);
}
template <int COUNT>
TDS_DEVICE void wgmma_hold(const void*) {}
// What a product adds to in the bank is not what the kernel's variables hold, as on the GPU.
template <int NUMBER, int WORDS>
struct Bank {
  alignas(16) u32 words[WORDS];
};
template <int NUMBER, int WORDS>
TDS_DEVICE void bank_read(const Bank<NUMBER, WORDS>& bank, void* to) {
  __builtin_memcpy(to, bank.words, sizeof bank.words);
}
template <int COUNT>
TDS_DEVICE void settle(const void*) {}
TDS_DEVICE u64 wgmma_descriptor(u32 start, u32 leading, u32 stride, u32 layout, u32 base_offset) {
  return (u64)((start & 0x3ffff) >> 4) | (u64)((leading & 0x3ffff) >> 4) << 16 | (u64)((stride & 0x3ffff) >> 4) << 32 |
         (u64)(base_offset & 7) << 49 | (u64)layout << 62;
}
template <int LEADING, int STRIDE, int LAYOUT>
TDS_DEVICE u64 wgmma_descriptor_at(u32 base, u32 units) {
  return wgmma_descriptor(base + 16 * units, LEADING, STRIDE, LAYOUT, 0);
}
template <int REGISTERS>
TDS_DEVICE void setmaxnreg_inc(TDS_HERE) {
  tds_rt_setmaxnreg(REGISTERS, 1, at);
}
template <int REGISTERS>
TDS_DEVICE void setmaxnreg_dec(TDS_HERE) {
  tds_rt_setmaxnreg(REGISTERS, 0, at);
}

// ---- threads of a block

TDS_DEVICE void barrier_sync(int id, int count, TDS_HERE) { tds_rt_barrier(id, count, at); }
TDS_DEVICE void barrier_arrive(int id, int count, TDS_HERE) { tds_rt_barrier_arrive(id, count, at); }
TDS_DEVICE void warp_sync(u32 members, TDS_HERE) { tds_rt_syncwarp(members, at); }
TDS_DEVICE bool elect_one(TDS_HERE) {
  return tds_rt_ballot_among(0xffffffffu, 1, at) != 0 && thread_index() % 32 == 0;
}

template <class T>
TDS_DEVICE T shuffle_among(u32 members, int kind, T value, int argument, Site at) {
  u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = tds_rt_shuffle_among(members, kind, bits, argument, at);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class T, class L>
TDS_DEVICE T shfl_xor_among(u32 members, T value, L mask, TDS_HERE) {
  return shuffle_among(members, SHUFFLE_XOR, value, (int)mask, at);
}
template <class T, class L>
TDS_DEVICE T shfl_up_among(u32 members, T value, L offset, TDS_HERE) {
  return shuffle_among(members, SHUFFLE_UP, value, (int)offset, at);
}
template <class T, class L>
TDS_DEVICE T shfl_down_among(u32 members, T value, L offset, TDS_HERE) {
  return shuffle_among(members, SHUFFLE_DOWN, value, (int)offset, at);
}
template <class T, class L>
TDS_DEVICE T shfl_idx_among(u32 members, T value, L lane, TDS_HERE) {
  return shuffle_among(members, SHUFFLE_INDEX, value, (int)lane, at);
}
template <class T>
TDS_DEVICE u32 ballot_among(u32 members, T value, TDS_HERE) {
  return tds_rt_ballot_among(members, value != T(0), at);
}
template <class T>
TDS_DEVICE i32 warp_ballot(T value, TDS_HERE) {
  return (i32)tds_rt_ballot_among(0xffffffffu, value != T(0), at);
}
template <class T>
TDS_DEVICE i32 warp_match(T value, TDS_HERE) {
  u32 same = 0;
  for (int lane = 0; lane < 32; ++lane) same |= (u32)(shfl_idx(value, lane, at) == value) << lane;
  return (i32)same;
}
template <class T>
TDS_DEVICE bool warp_any_among(u32 members, T value, TDS_HERE) {
  return tds_rt_ballot_among(members, value != T(0), at) != 0;
}
template <class T>
TDS_DEVICE bool warp_all_among(u32 members, T value, TDS_HERE) {
  return tds_rt_ballot_among(members, value != T(0), at) == members;
}

// ---- clusters

TDS_DEVICE u32 cluster_rank() { return tds_rt_cluster_rank(); }
TDS_DEVICE u32 cluster_size() { return tds_rt_cluster_size(); }
TDS_DEVICE void cluster_arrive(TDS_HERE) { tds_rt_cluster_arrive(1, at); }
TDS_DEVICE void cluster_arrive_relaxed(TDS_HERE) { tds_rt_cluster_arrive(0, at); }
TDS_DEVICE void cluster_wait(TDS_HERE) { tds_rt_cluster_wait(at); }
TDS_DEVICE void cluster_sync(TDS_HERE) {
  tds_rt_cluster_arrive(1, at);
  tds_rt_cluster_wait(at);
}
TDS_DEVICE u32 cluster_map(u32 address, u32 rank, TDS_HERE) { return tds_rt_cluster_map(address, rank, at); }
template <class T>
TDS_DEVICE T load_cluster(u32 address, TDS_HERE) {
  T value;
  __builtin_memcpy(&value, tds_rt_cluster_shared(address, sizeof(T), READ, at), sizeof(T));
  return value;
}
template <class T>
TDS_DEVICE void store_cluster(u32 address, T value, TDS_HERE) {
  __builtin_memcpy(tds_rt_cluster_shared(address, sizeof(T), WRITE, at), &value, sizeof(T));
}
TDS_DEVICE u32 atomic_add_cluster(u32 address, u32 value, TDS_HERE) {
  u32* word = (u32*)tds_rt_cluster_shared(address, 4, UPDATE, at);
  return __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}

// ---- dependent launches run one after the other here

TDS_DEVICE void grid_wait() {}
TDS_DEVICE void grid_launch_dependents() {}

}  // namespace tds
