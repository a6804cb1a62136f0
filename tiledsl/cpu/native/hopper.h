// What a block of sm_90a has beside its threads: mbarriers, bulk copies, warpgroups' tensor cores, registers, clusters.
#pragma once

#include <memory>

#include "detector.h"
#include "types_hopper.h"

namespace tds {

constexpr u32 WARPGROUP = 128;

// ---- mbarriers (mbarrier.cpp)

// The latest copy into shared memory that counted in a phase of a barrier.
struct Bringing {
  u32 phase = 0;
  u32 offset = 0;
  Site at = {};
};

struct Mbarrier {
  Cta* cta;
  u32 offset;
  u32 number;  // of its agent
  bool valid = false;
  bool fenced = false;  // the copy engine may use it
  u32 count = 0, pending = 0;
  i64 bytes = 0;  // expected and not yet arrived
  u32 phase = 0;  // how many have ended
  u32 awaited = 0;  // the latest phase that a thread has seen ended
  Bringing brought;
  Site init_at = {};
  u32 init_thread = 0, init_clock = 0;
  Gathered current, done;  // of those who arrived in this phase, and in those before
  Waiters waiters;
  u64 first = ~u64{0}, latest = 0, ended = 0;  // in the record: arrivals of this phase, the end of the last
};

// The mbarrier there, or no return.
Mbarrier& mbarrier_at(u32 address, const char* what, Site at);
Mbarrier& mbarrier_of(Cta& cta, u32 offset, const char* what, Site at);
// Reports what the copy engine must not find when it is told of this barrier.
void check_for_copy_engine(const Mbarrier& m, Site at);
void expect_at(Mbarrier& m, u64 tick);
// `bytes` have arrived.
void complete_bytes(Mbarrier& m, u32 bytes);
// The agent of the phase in which what is issued now will complete, and its clock.
u32 agent_of(const Mbarrier& m);
inline u32 next_phase(const Mbarrier& m) { return m.phase + 1; }

// ---- bulk copies out of shared memory (bulk.cpp)

struct BulkStore {
  virtual ~BulkStore() = default;
  virtual void perform() = 0;
  u64 group = 0;
  Site at = {};
  u32 offset = 0;       // of the source, for reports
  bool done = false;    // the copy has been made
  bool read = false;    // the thread knows that the source has been read
  u32 read_event = 0, write_event = 0;
};

// ---- warpgroups (wgmma.cpp)

// Sums that a warpgroup's tensor core holds while instructions on them are in flight.
struct Accumulator {
  int element, n;
  std::vector<double> sums;  // 64 x n
  u32 last = 0;  // operations up to this one add to it
};

struct WgmmaOperation {
  WgmmaCall call;
  Site at;
  u32 arrived = 0;
  std::shared_ptr<Accumulator> sums;
  std::vector<u8> a;                  // what the threads' registers of operand A held
  std::vector<const void*> a_from;
};

struct Warpgroup {
  std::vector<std::unique_ptr<WgmmaOperation>> operations;
  u32 executed = 0;
  Waiters waiters;
};

// Registers of a thread that the tensor core is using.
struct Held {
  char* registers;
  u32 bytes;
  std::shared_ptr<Accumulator> sums;
  Site at;
};

// ---- a thread, a block

// Registers that were an operand of wgmma once, and what they held when the thread executed its last wgmma_fence.
struct Fenced {
  const char* registers;
  u32 bytes;
  std::vector<char> held;
};

struct HopperThread {
  u64 bulk_groups = 0;
  std::vector<std::shared_ptr<BulkStore>> stores;
  u32 issued = 0, waited = 0;  // wgmma
  std::vector<u32> group_ends;
  bool fenced = false;
  std::vector<Fenced> operands;
  std::vector<Held> held;
  bool in_cluster_barrier = false;
  u32 cluster_phase = 0;
};

struct MaskedMeeting {  // of some lanes of a warp
  u32 members = 0, arrived = 0;
  const char* what = nullptr;
  Site at = {};
  u64 value[LANES];
  int argument[LANES];
};

struct HopperWarp {
  MaskedMeeting meetings[LANES];
  int registers = 0;  // set by setmaxnreg; 0: as launched
  u32 arrived = 0;    // at a setmaxnreg
  int asked = 0;
};

struct ClusterBarrier {
  u32 arrived = 0, phase = 0;
  Gathered current, done;
  Waiters waiters;
};

// The last use of a block's shared memory by a thread of another block, in that step of its clock.
struct Visit {
  u32 agent, clock;
  Site at;
};

struct Hopper : CtaExtension {
  explicit Hopper(Cta& cta);
  void thread_ends(Fiber* f) override;  // reports what a thread leaves behind
  void group_ends() override;           // and what the block does
  void registers_used(Fiber* f, const void* registers, u32 bytes, Site at) override;
  Cta& cta;
  std::vector<std::unique_ptr<Mbarrier>> mbarriers;
  std::vector<u8> mbarrier_at_word;  // number + 1 by offset / 8
  std::vector<HopperThread> threads;
  std::vector<HopperWarp> warps;
  std::vector<Warpgroup> warpgroups;
  ClusterBarrier cluster;  // of the cluster, in its first block
  std::vector<Visit> visits;
  Gathered ends;  // of the threads of the block
  Waiters register_waiters;
  bool uses_registers = false;
  Site registers_at = {};
};

Hopper& hopper(Cta& cta);  // made when it is first asked for
inline HopperThread& hopper_thread(const Fiber* f) { return hopper(*f->cta).threads[static_cast<size_t>(f->index)]; }
inline HopperWarp& hopper_warp(const Fiber* f) {
  return hopper(*f->cta).warps[static_cast<size_t>(f->index) / LANES];
}
// The block of that rank in the cluster of `cta`; null if there is none.
Cta* cluster_peer(const Cta& cta, u32 rank);
u32 cluster_blocks();

Facts place_of(u32 offset);  // buffer, place (with a stage) and offset of shared memory
std::string place_text(u32 offset);
// A finding about the running fiber at this place of shared memory.
Finding finding_at(int code, Site at, u32 offset, Facts facts = {});

void end_bulk(Fiber* f);
void end_wgmma(Fiber* f);
void end_registers(Cta& cta);
void end_visits(Cta& cta);
// Every use of the memory of another block: it must not have ended, nor be able to.
void visit(Fiber* f, Cta& cta, Site at);
void end_mbarriers(Cta& cta);

}  // namespace tds
