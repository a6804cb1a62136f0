// The device API on sm_90a: barriers in shared memory, bulk copies, warpgroups, clusters. Appended to prelude.cuh; the
// functions that copy by tensor maps, one for each rank, are made by codegen/tma.py. cpu/native/device_hopper.h defines
// the same names for the host compiler.
// ---- pieces

// ---- tensor maps

#define TDS_TENSOR_MAP const __grid_constant__ ::tds::TensorMap
struct TensorMap { alignas(64) u64 words[16]; };

TDS_DEVICE void tma_prefetch(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// ---- barriers in shared memory (mbarrier). Phases are told apart by their parity.

TDS_DEVICE void mbarrier_init(u32 barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

TDS_DEVICE void mbarrier_inval(u32 barrier) {
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

TDS_DEVICE void mbarrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
TDS_DEVICE void mbarrier_arrive(u32 barrier, u32 count) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

// The cluster's address of what lies at `address` in the block of that rank.
TDS_DEVICE u32 cluster_map(u32 address, u32 rank) {
  u32 r;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank));
  return r;
}

// `barrier` is an address of the cluster (cluster_map).
TDS_DEVICE void mbarrier_arrive_cluster(u32 barrier, u32 count) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

// At the barriers that lie like `barrier` in the blocks of the mask `RANKS`.
template <u32 RANKS> TDS_DEVICE void mbarrier_arrive_ranks(u32 barrier) {
  TDS_UNROLL
  for (u32 rank = 0; rank < 16; ++rank)
    if (RANKS >> rank & 1) mbarrier_arrive_cluster(cluster_map(barrier, rank), 1);
}

TDS_DEVICE void mbarrier_expect_tx(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

TDS_DEVICE void mbarrier_arrive_expect_tx(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

TDS_DEVICE void mbarrier_arrive_expect_tx_cluster(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cluster.shared::cluster.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

template <u32 RANKS> TDS_DEVICE void mbarrier_arrive_expect_tx_ranks(u32 barrier, u32 bytes) {
  TDS_UNROLL
  for (u32 rank = 0; rank < 16; ++rank)
    if (RANKS >> rank & 1) mbarrier_arrive_expect_tx_cluster(cluster_map(barrier, rank), bytes);
}

// Whether the phase of that parity has ended; may wait a while for it.
TDS_DEVICE bool mbarrier_try_wait(u32 barrier, u32 parity) {
  u32 ended;
  asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
               : "=r"(ended)
               : "r"(barrier), "r"(parity)
               : "memory");
  return ended != 0;
}

TDS_DEVICE bool mbarrier_test_wait(u32 barrier, u32 parity) {
  u32 ended;
  asm volatile("{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
               : "=r"(ended)
               : "r"(barrier), "r"(parity)
               : "memory");
  return ended != 0;
}

TDS_DEVICE void mbarrier_wait(u32 barrier, u32 parity) {
  while (!mbarrier_try_wait(barrier, parity)) {
  }
}

// As mbarrier_wait, where other blocks of the cluster arrive: their writes before it become visible.
TDS_DEVICE void mbarrier_wait_cluster(u32 barrier, u32 parity) {
  u32 ended;
  do {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(ended)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!ended);
}

// Arrives when all earlier cp_async of this thread are complete. With noinc the arrival is one of those counted at init.
TDS_DEVICE void cp_async_mbarrier_arrive(u32 barrier) {
  asm volatile("cp.async.mbarrier.arrive.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

TDS_DEVICE void cp_async_mbarrier_arrive_noinc(u32 barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// ---- fences

// Makes mbarrier_init visible to the copy engine and to the cluster.
TDS_DEVICE void fence_mbarrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

// Orders this thread's accesses to shared memory before later ones of the copy engine and of wgmma.
TDS_DEVICE void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// The same for accesses to global memory.
TDS_DEVICE void fence_proxy_async_global() { asm volatile("fence.proxy.async.global;" ::: "memory"); }

TDS_DEVICE void fence_cta() { asm volatile("fence.acq_rel.cta;" ::: "memory"); }

TDS_DEVICE void fence_cluster() { asm volatile("fence.acq_rel.cluster;" ::: "memory"); }

// ---- flags between blocks, at gpu scope

template <class T> TDS_DEVICE T load_acquire(const T* p) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "flags are words of 32 or 64 bits");
  if constexpr (sizeof(T) == 4) {
    u32 word;
    asm volatile("ld.acquire.gpu.global.b32 %0, [%1];" : "=r"(word) : "l"(p) : "memory");
    return bitcast<T>(word);
  } else {
    u64 word;
    asm volatile("ld.acquire.gpu.global.b64 %0, [%1];" : "=l"(word) : "l"(p) : "memory");
    return bitcast<T>(word);
  }
}

template <class T> TDS_DEVICE void store_release(T* p, typename type_is<T>::type value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "flags are words of 32 or 64 bits");
  if constexpr (sizeof(T) == 4)
    asm volatile("st.release.gpu.global.b32 [%0], %1;" ::"l"(p), "r"(bitcast<u32>(value)) : "memory");
  else
    asm volatile("st.release.gpu.global.b64 [%0], %1;" ::"l"(p), "l"(bitcast<u64>(value)) : "memory");
}

TDS_DEVICE void nanosleep(u32 nanoseconds) { asm volatile("nanosleep.u32 %0;" ::"r"(nanoseconds)); }

// ---- bulk copies of consecutive bytes: multiples of 16, aligned to 16

TDS_DEVICE void bulk_load(u32 to, const void* from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier)
               : "memory");
}

TDS_DEVICE void bulk_load_multicast(u32 to, const void* from, u32 bytes, u32 barrier, u16 ranks) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::
          "r"(to), "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier), "h"(ranks)
      : "memory");
}

TDS_DEVICE void bulk_store(void* to, u32 from, u32 bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(__cvta_generic_to_global(to)), "r"(from),
               "r"(bytes)
               : "memory");
}

// To another block of the cluster: `to` and `barrier` are addresses of the cluster.
TDS_DEVICE void bulk_copy_cluster(u32 to, u32 from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "r"(from), "r"(bytes), "r"(barrier)
               : "memory");
}

TDS_DEVICE void bulk_prefetch(const void* from, u32 bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from)), "r"(bytes) : "memory");
}

TDS_DEVICE void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

template <int PENDING> TDS_DEVICE void bulk_wait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Waits until the sources have been read.
template <int PENDING> TDS_DEVICE void bulk_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(PENDING) : "memory");
}

// ---- warpgroups

TDS_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

TDS_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int PENDING> TDS_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// Makes ptxas compute these registers before what follows, a wait for wgmma: it sinks arithmetic below waits, but not below
// what depends on it. That is an event of the performance monitor, on a condition that no result of arithmetic meets, and
// which does nothing if it is met.
template <int COUNT> TDS_DEVICE void settle(const u32* registers) {
#pragma unroll
  for (int i = 0; i < COUNT; ++i)
    asm volatile("{\n.reg .pred p;\nsetp.eq.u32 p, %0, 0x7fbfdead;\n@p pmevent 1;\n}" ::"r"(registers[i]) : "memory");
}

// Keeps the compiler from moving uses of these registers across this place: after wgmma_wait, before wgmma_fence.
template <int COUNT> TDS_DEVICE void wgmma_hold(float* registers) {
#pragma unroll
  for (int i = 0; i < COUNT; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}
template <int COUNT> TDS_DEVICE void wgmma_hold(u32* registers) {
#pragma unroll
  for (int i = 0; i < COUNT; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}
template <int COUNT> TDS_DEVICE void wgmma_hold(i32* registers) { wgmma_hold<COUNT>((u32*)registers); }

// Registers for the sums of one wgmma, which only PTX knows: bank<NUMBER>_0 and so on. It must be declared where the
// kernel begins, so that the compiler makes no second copy of it. `asm` may name no registers by an expression, hence
// moves of eight.
template <int NUMBER, int WORDS> struct Bank {
  TDS_DEVICE Bank() { asm volatile(".reg .b32 bank%0_<%1>;" ::"n"(NUMBER), "n"(WORDS)); }
};
// To variables, when the product is complete.
template <int FIRST = 0, int NUMBER, int WORDS> TDS_DEVICE void bank_read(const Bank<NUMBER, WORDS>& bank, void* to) {
  u32* d = (u32*)to + FIRST;
  asm volatile("mov.b32 %0, bank%8_%9;\nmov.b32 %1, bank%8_%10;\nmov.b32 %2, bank%8_%11;\nmov.b32 %3, bank%8_%12;\n"
               "mov.b32 %4, bank%8_%13;\nmov.b32 %5, bank%8_%14;\nmov.b32 %6, bank%8_%15;\nmov.b32 %7, bank%8_%16;"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3]), "=r"(d[4]), "=r"(d[5]), "=r"(d[6]), "=r"(d[7])
               : "n"(NUMBER), "n"(FIRST), "n"(FIRST + 1), "n"(FIRST + 2), "n"(FIRST + 3), "n"(FIRST + 4),
                 "n"(FIRST + 5), "n"(FIRST + 6), "n"(FIRST + 7)
               : "memory");
  if constexpr (FIRST + 8 < WORDS) bank_read<FIRST + 8>(bank, to);
}

// The matrix descriptor: bytes; layout 0 none, 1 2 3 a swizzle of 128, 64, 32 bytes (isa/descriptor.py).
TDS_DEVICE u64 wgmma_descriptor(u32 start, u32 leading, u32 stride, u32 layout, u32 base_offset) {
  return (u64)((start & 0x3ffff) >> 4) | (u64)((leading & 0x3ffff) >> 4) << 16 | (u64)((stride & 0x3ffff) >> 4) << 32 |
         (u64)(base_offset & 7) << 49 | (u64)layout << 62;
}

// As wgmma_descriptor, for the address of the 16-byte unit number `units` from `base` on. What is constant is one number
// of 64 bits, and `units` is added after the shift, so that steps of unrolled loops become constants. The compiler is not
// told that the address is the same as before: it would keep the descriptors of all steps in registers, two for each,
// beside the accumulators, to save additions that are done by the uniform datapath.
template <int LEADING, int STRIDE, int LAYOUT> TDS_DEVICE u64 wgmma_descriptor_at(u32 base, u32 units) {
  u32 low = ((base & 0x3ffff) >> 4) + (u32)(LEADING >> 4 << 16);
  asm volatile("" : "+r"(low));
  return (u64)(low + units) | (u64)(STRIDE >> 4 | (u32)LAYOUT << 30) << 32;
}

template <int REGISTERS> TDS_DEVICE void setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> TDS_DEVICE void setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

// ---- threads of a block

TDS_DEVICE void barrier_sync(int id, int count) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory"); }
TDS_DEVICE void barrier_arrive(int id, int count) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(count) : "memory"); }

TDS_DEVICE void warp_sync(u32 members) { __syncwarp(members); }

// True in one lane of the warp.
TDS_DEVICE bool elect_one() {
  u32 chosen;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(chosen));
  return chosen != 0;
}

// Among some lanes of a warp: all of `members` call it with the same set.
template <class T, class L> TDS_DEVICE T shfl_xor_among(u32 members, T value, L mask) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_xor_sync(members, w.word, (int)mask);
  return w.value;
}

template <class T, class L> TDS_DEVICE T shfl_up_among(u32 members, T value, L offset) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_up_sync(members, w.word, (u32)offset);
  return w.value;
}

template <class T, class L> TDS_DEVICE T shfl_down_among(u32 members, T value, L offset) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_down_sync(members, w.word, (u32)offset);
  return w.value;
}

template <class T, class L> TDS_DEVICE T shfl_idx_among(u32 members, T value, L lane) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_sync(members, w.word, (int)lane);
  return w.value;
}

template <class T> TDS_DEVICE bool warp_any_among(u32 members, T value) { return __any_sync(members, value != T(0)) != 0; }

template <class T> TDS_DEVICE bool warp_all_among(u32 members, T value) { return __all_sync(members, value != T(0)) != 0; }

template <class T> TDS_DEVICE u32 ballot_among(u32 members, T value) { return __ballot_sync(members, value != T(0)); }

// ---- clusters: blocks that see each other's shared memory

TDS_DEVICE u32 cluster_rank() {
  u32 r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}

TDS_DEVICE u32 cluster_size() {
  u32 r;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(r));
  return r;
}

TDS_DEVICE void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }

// Orders nothing: only for later cluster_wait of threads that need no data.
TDS_DEVICE void cluster_arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory"); }

TDS_DEVICE void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

TDS_DEVICE void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}

template <class T> TDS_DEVICE T load_cluster(u32 address) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "words of 32 or 64 bits");
  if constexpr (sizeof(T) == 4) {
    u32 word;
    asm volatile("ld.shared::cluster.b32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return bitcast<T>(word);
  } else {
    u64 word;
    asm volatile("ld.shared::cluster.b64 %0, [%1];" : "=l"(word) : "r"(address) : "memory");
    return bitcast<T>(word);
  }
}

template <class T> TDS_DEVICE void store_cluster(u32 address, T value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "words of 32 or 64 bits");
  if constexpr (sizeof(T) == 4)
    asm volatile("st.shared::cluster.b32 [%0], %1;" ::"r"(address), "r"(bitcast<u32>(value)) : "memory");
  else
    asm volatile("st.shared::cluster.b64 [%0], %1;" ::"r"(address), "l"(bitcast<u64>(value)) : "memory");
}

TDS_DEVICE u32 atomic_add_cluster(u32 address, u32 value) {
  u32 old;
  asm volatile("atom.shared::cluster.add.u32 %0, [%1], %2;" : "=r"(old) : "r"(address), "r"(value) : "memory");
  return old;
}

// ---- dependent launches

TDS_DEVICE void grid_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

TDS_DEVICE void grid_launch_dependents() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
