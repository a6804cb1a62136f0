// Barriers of a block, atomic accesses and fences.
#include <cstring>

#include "detector.h"
#include "observer.h"

namespace tds {

// Called before every atomic access: lets others run, so that what is waited for can happen. A long time in which no
// atomic access of any fiber sees a new value, and nobody ends or passes a barrier, is a deadlock.
static void poll(Fiber* f, const void* p, int bytes) {
  u64 seen = 0;
  memcpy(&seen, p, static_cast<size_t>(bytes));
  const bool again = f->spin_address == p && f->spin_value == seen;
  f->spin_address = p;
  f->spin_value = seen;
  f->spins = again ? f->spins + 1 : 0;
  if (!again) worker->idle = 0;
  const bool cooperative = worker->ctas.size() > 1;
  if (!cooperative && f->spins % 64 != 63) return;
  pause_idle();
}

// ---- barriers

static std::string at_barrier(const Fiber& f) {
  const Barrier& b = *static_cast<const Barrier*>(f.wait_object);
  return "wait at barrier " + std::to_string(f.wait_argument) + " in " + line_of(f.at) + " (" +
         std::to_string(b.arrived) + " of " + std::to_string(b.expected) + " threads are there)";
}

static void pass(Barrier& b) {
#if TDS_CHECKED
  b.clock.settle();
  for (Fiber* f : b.waiters.fibers) acquire(f, b.clock);
  b.clock.clear();
#endif
  wake(b.waiters);
  b.arrived = b.expected = 0;
  worker->idle = 0;
}

static std::string arrival(Site at, u32 count, bool same_line) {
  return line_of(at) + (same_line ? " (in another place of it)" : "") + " (" + std::to_string(count) + " threads)";
}

// Counts the fiber in; whether it was the last.
static bool arrive(Fiber* f, Barrier& b, u32 expected, Site at, const void* caller, bool waits) {
  f->at = at;
  u64& met = f->met[&b - f->cta->barriers];
  if (!b.expected) {
    b.phase = ++worker->phases;
    b.expected = expected;
    b.at = at;
    b.caller = waits ? caller : nullptr;
  }
  const bool elsewhere = waits && b.caller && b.caller != caller;
  if (b.expected != expected || elsewhere) {
    const bool same_line = b.at.line == at.line;
    Finding wrong = finding(831, at);
    wrong.other_at = b.at;
    wrong.facts = {{"first", arrival(b.at, b.expected, false)},
                   {"second", arrival(at, expected, same_line)},
                   {"where", where()}};
    fail(std::move(wrong));
  }
  if (met == b.phase) {
    Finding wrong = finding(835, at);
    wrong.other_at = b.at;
    wrong.facts = {{"barrier", std::to_string(&b - f->cta->barriers)}, {"where", where()}};
    fail(std::move(wrong));
  }
  met = b.phase;
  if (waits) b.caller = caller;
  release(f, b.clock);
  return ++b.arrived == b.expected;
}

static Barrier& barrier_of(Fiber* f, int id) { return f->cta->barriers[id & (NUM_BARRIERS - 1)]; }

// When all threads of a block have ended: who has arrived and gone on waits for nobody, so a phase may be left open.
void end_barriers(Cta& cta) {
  for (u32 id = 0; id < NUM_BARRIERS; ++id) {
    Barrier& b = cta.barriers[id];
    if (!b.arrived) continue;
#if TDS_CHECKED
    if (!worker->failed) {
      Finding left = finding(836, b.at);
      left.facts = {{"barrier", std::to_string(id)},
                    {"arrived", std::to_string(b.arrived)},
                    {"count", std::to_string(b.expected)}};
      left.thread = NO_THREAD;
      report(std::move(left));
    }
    b.clock.clear();
#endif
    b.arrived = b.expected = 0;
  }
}

}  // namespace tds

using namespace tds;

extern "C" void tds_rt_barrier(int id, int count, Site at) {
  Fiber* f = self();
  Barrier& b = barrier_of(f, id);
  const u32 expected = count ? static_cast<u32>(count) : worker->launch->threads;
  const bool last = arrive(f, b, expected, at, TDS_CALLER(at), true);
  if (last) {
#if TDS_CHECKED
    b.clock.settle();
    acquire(f, b.clock);
#endif
    on_barrier(f, b.waiters, id, at);
    pass(b);
  } else {
    wait_among(b.waiters, at_barrier, &b, static_cast<u64>(id));
  }
  may_yield();
}

extern "C" void tds_rt_barrier_arrive(int id, int count, Site at) {
  Fiber* f = self();
  Barrier& b = barrier_of(f, id);
  if (arrive(f, b, static_cast<u32>(count), at, TDS_CALLER(at), false)) {
    on_barrier(nullptr, b.waiters, id, at);
    pass(b);
  }
  may_yield();
}

extern "C" void* tds_rt_atomic(const void* p, int bytes, int access, Site at) {
  Fiber* f = self();
  f->at = at;
  u32 offset = 0;
  char* bytes_at = nullptr;
  for (u32 i = 0; i < worker->ctas.size() && !bytes_at; ++i) {
    Cta& cta = *worker->ctas[i];
    const u64 distance = static_cast<u64>(static_cast<const char*>(p) - cta.shared);
    if (distance >= f->shared_size) continue;
    offset = static_cast<u32>(distance);
    bytes_at = cta.shared + offset;
    check_shared_bounds(cta, offset, static_cast<u32>(bytes), at);
    poll(f, p, bytes);
    check_shared(f, cta, offset, static_cast<u32>(bytes), access, Kind::ATOMIC, at);
    on_shared(f, offset, static_cast<u32>(bytes), "atomic", at, TDS_CALLER(at));
  }
  if (!bytes_at) {
    check_global_bounds(p, static_cast<u32>(bytes), static_cast<u32>(bytes), at);
    poll(f, p, bytes);
    on_global(f, p, static_cast<u32>(bytes), "atomic", at, TDS_CALLER(at));
#if TDS_CHECKED
    const u8 flags = static_cast<u8>(ATOMICALLY | (access == ATOMIC_READ ? 0 : WRITES));
    touch_global(p, static_cast<u32>(bytes), thread_event(f, Kind::ATOMIC, flags, at), knower(f));
#endif
  }
  atomic_synchronisation(f, p, access);
  return const_cast<void*>(p);
}

extern "C" void tds_rt_fence(Site at) {
  Fiber* f = self();
  f->at = at;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  fence(f, at);
}
