// The race detector of the checked build: who knows of which access, and what each byte has seen.
//
// An access is a race if some earlier conflicting access of the byte does not happen before it. Whether it does follows
// from barriers, mbarriers, __syncwarp, waits, and fences with atomics alone, never from when data arrived: shuffles,
// votes, ldmatrix and mma order nothing (PTX ISA, "Memory Consistency Model").
//
// In the plain build the same functions exist and do nothing.
#pragma once

#include "runtime.h"

namespace tds {

#if TDS_CHECKED

// An access is checked against what the accessing party knows: a thread, or what all lanes of a warp have in common.
struct Knower {
  const u32* known;
  const u32* visible;
  u32 agent;  // whose own entries are `own` and `own_visible`; NOBODY if the vectors say it all
  u32 own, own_visible;
};
constexpr u32 NOBODY = ~0u;

inline Knower knower(const Fiber* f) {
  const Clock& c = f->clock;
  return Knower{c.known.values(), c.shared.others.values(), f->number, c.own, c.shared.own};
}

// The same, for accesses of global memory through the async proxy.
inline Knower knower_of_global(const Fiber* f) {
  const Clock& c = f->clock;
  return Knower{c.known.values(), c.global.others.values(), f->number, c.own, c.global.own};
}

// What all of these threads know. The vectors may lie in `space`, which must outlive the result.
Knower common_knower(Fiber* const* fibers, u32 count, std::vector<u32>& space);

// Accesses of one agent at one site in one step of its clock. Records change: a copy that completes becomes an access
// of the thread that waited for it, and every byte that it wrote sees that.
struct Event {
  Site at;
  u32 agent;   // whose clock must be known to be ordered after it
  u32 thread;  // number of the thread in the group, for reports
  u32 clock;
  Kind kind;
  u8 flags;
};
enum EventFlag : u8 {
  WRITES = 1,
  ASYNC = 2,    // through the async proxy
  PENDING = 4,  // ordered before nothing yet
  ATOMICALLY = 8
};

u32 new_event(const Event& e);
Event& event(u32 id);
// The event of an access by the thread itself in its present step; the same one for the same kind, flags and site.
u32 thread_event(Fiber* f, Kind kind, u8 flags, Site at);
// From now on the access counts as one of agent `agent` in its step `clock`.
void complete_event(u32 id, u32 agent, u32 clock);

// An access of shared memory by event `id`, as far as `who` knows: races are reported, the bytes remember it.
void touch_shared(Cta& cta, u32 offset, u32 bytes, u32 id, const Knower& who);
// The same for global memory, of which only the buffers that the launch writes are looked at.
void touch_global(const void* p, u32 bytes, u32 id, const Knower& who);

// The event that wrote a byte of shared memory last; 0: none has.
u32 last_writer(const Cta& cta, u32 offset);

// Agents beside the threads: index < EXTRA_AGENTS of each Cta.
u32 extra_agent(const Cta& cta, u32 index);

// ---- synchronisation

void release(Fiber* f, Gathered& to);           // what f did so far becomes known to those who acquire `to`
void acquire(Fiber* f, const Gathered& settled);  // `settled` has been settled
void join_lanes(Warp& w, u32 lanes);            // __syncwarp
void acquire_agent(Fiber* f, u32 agent, u32 clock);  // f knows that step of an agent, and so does the async proxy
void fence_proxy_async(Fiber* f, Seen& seen);  // `seen`: of f's clock, the memory whose writes the async proxy sees now
void fence(Fiber* f, Site at);                  // of gpu scope: orders with the atomics before and after it
void atomic_synchronisation(Fiber* f, const void* p, int access);  // of an atomic access; called right before it

// ---- the group

void forget_clocks();   // drops all vectors that the detector holds
void start_detector();  // before a group runs
void end_detector();    // after it: keeps what other groups could be in a race with
void compare_groups(Launch& l);  // races between groups, once all have run

#else

inline void release(Fiber*, Gathered&) {}
inline void acquire(Fiber*, const Gathered&) {}
inline void join_lanes(Warp&, u32) {}
inline void acquire_agent(Fiber*, u32, u32) {}
inline void fence(Fiber*, Site) {}
inline void atomic_synchronisation(Fiber*, const void*, int) {}
inline void start_detector() {}
inline void end_detector() {}
inline void compare_groups(Launch&) {}

#endif

}  // namespace tds
