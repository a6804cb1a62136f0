// What orders accesses: barriers and warps, fences and atomics, and the life of the detector.
#include <algorithm>
#include <cstring>

#include "shadow.h"

#if TDS_CHECKED

namespace tds {

void release(Fiber* f, Gathered& to) {
  to.add(f->number, f->clock);
  ++f->clock.own;
}

void acquire(Fiber* f, const Gathered& settled) {
  f->clock.known.join(settled.known.known);
  f->clock.shared.others.join(settled.shared.known);
  f->clock.global.others.join(settled.global.known);
}

void join_lanes(Warp& w, u32 lanes) {
  Gathered all;
  for (u32 lane = 0; lane < LANES; ++lane)
    if (lanes >> lane & 1) release(w.fibers[lane], all);
  all.settle();
  for (u32 lane = 0; lane < LANES; ++lane)
    if (lanes >> lane & 1) acquire(w.fibers[lane], all);
}

void acquire_agent(Fiber* f, u32 agent, u32 clock) {
  Detector::Unit& unit = worker->detector->units[agent & 15];
  if (unit.agent != agent || unit.clock != clock) {
    unit.agent = agent;
    unit.clock = clock;
    unit.gathered.clear();
    unit.gathered.add(agent, clock);
    unit.gathered.settle();
  }
  acquire(f, unit.gathered);
}

void fence_proxy_async(Fiber* f, Seen& seen) {
  seen.others.join(f->clock.known);
  seen.own = f->clock.own++;
}

// As the fences of C++ (ISO C++ 32.4, "Order and consistency"): what precedes a fence of one thread happens before what
// follows a fence of another, if an atomic store after the first is read by an atomic load before the second.
void fence(Fiber* f, Site) {
  worker->detector->fences = true;
  f->to_acquire.settle();
  acquire(f, f->to_acquire);
  f->to_acquire.clear();
  f->fenced.clear();
  release(f, f->fenced);
  f->fenced.settle();
  f->has_fenced = true;
}

void atomic_synchronisation(Fiber* f, const void* p, int access) {
  Detector& d = *worker->detector;
  if (!d.fences) return;
  if (access != ATOMIC_WRITE) {
    const auto found = d.flags.find(p);
    if (found != d.flags.end()) f->to_acquire.add(found->second);
  }
  if (access == ATOMIC_READ) return;
  Gathered& flag = d.flags[p];
  if (access == ATOMIC_WRITE) flag.clear();  // ends the release sequence
  if (!f->has_fenced) return;
  flag.add(f->fenced);
  flag.settle();
}

void forget_clocks() {
  worker->detector->flags.clear();
  for (Detector::Unit& u : worker->detector->units) {
    u.agent = NOBODY;
    u.gathered.clear();
  }
}

void start_detector() {
  Worker& w = *worker;
  if (!w.detector) w.detector = new Detector;
  Detector& d = *w.detector;
  d.events.assign(1, Event{});
  d.lists.assign(1, ReaderList{});
  d.transitions.assign(Detector::TRANSITIONS, Detector::Transition{~0u, 0, 0});
  d.seen_agents.assign(2 * w.clocks.size, 0);
  d.splits.clear();
  d.unused_splits.clear();
  d.prunings = 0;
  d.page_numbers.clear();
  d.pages_used = 0;
  d.global_reads = false;
  d.last_page = ~0ull;
  d.last = nullptr;
  d.fences = false;
  forget_clocks();
  for (const auto& f : w.fibers) {
    f->clock = Clock();
    f->fenced.clear();
    f->to_acquire.clear();
    f->has_fenced = false;
    memset(static_cast<void*>(f->cached), 0, sizeof f->cached);
  }
  for (const auto& cta : w.ctas) std::fill(cta->shadow.begin(), cta->shadow.end(), Cell{0, 0});
}

}  // namespace tds

#endif
