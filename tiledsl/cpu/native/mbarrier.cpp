// Barriers in shared memory. Source: PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier".
#include "hopper.h"
#include "observer.h"

namespace tds {

constexpr i64 MAX_BYTES = (1 << 20) - 1;
constexpr u32 MAX_COUNT = (1 << 20) - 1;

Mbarrier& mbarrier_of(Cta& cta, u32 offset, const char* what, Site at) {
  check_shared_bounds(cta, offset, 8, at);
  Hopper& h = hopper(cta);
  const u8 n = h.mbarrier_at_word[offset / 8];
  if (!n || !h.mbarriers[n - 1u]->valid) fail(finding_at(840, at, offset, {{"what", what}}));
  return *h.mbarriers[n - 1u];
}

u32 agent_of(const Mbarrier& m) {
#if TDS_CHECKED
  return extra_agent(*m.cta, m.number);
#else
  return m.number;
#endif
}

// Whoever uses the barrier must know of its initialisation, and nobody may have written over it.
static void check_use(Fiber* f, const Mbarrier& m, Site at) {
#if TDS_CHECKED
  const Knower k = knower(f);
  const bool knows = m.init_thread == k.agent || k.known[m.init_thread] >= m.init_clock;
  const u32 writer = last_writer(*m.cta, m.offset);
  const bool overwritten = !writer || event(writer).kind != Kind::MBARRIER_INIT;
  if (knows && !overwritten) return;
  Finding wrong = finding_at(845, at, m.offset);
  wrong.other_at = overwritten && writer ? event(writer).at : m.init_at;
  wrong.facts.push_back({"problem", overwritten ? "its bytes were overwritten" : "nothing orders this after its init"});
  report(std::move(wrong));
#else
  (void)f, (void)m, (void)at;
#endif
}

Mbarrier& mbarrier_at(u32 address, const char* what, Site at) {
  Fiber* f = self();
  f->at = at;
  u32 offset;
  Cta& cta = owner_of(address, offset);
  Mbarrier& m = mbarrier_of(cta, offset, what, at);
  check_use(f, m, at);
  visit(f, cta, at);
  return m;
}

void check_for_copy_engine(const Mbarrier& m, Site at) {
#if TDS_CHECKED
  if (m.fenced) return;
  Finding wrong = finding_at(846, at, m.offset);
  wrong.other_at = m.init_at;
  report(std::move(wrong));
#else
  (void)m, (void)at;
#endif
}

// For the record: something that the phase waits for happens at that tick.
void expect_at(Mbarrier& m, u64 tick) {
  if (tick < m.first) m.first = tick;
  if (tick > m.latest) m.latest = tick;
}

static std::string recorded_name(const Mbarrier& m) { return "mbarrier " + place_text(m.offset); }

static void record_phase(Mbarrier& m) {
  m.ended = m.latest + 1;
  on_phase(*m.cta, recorded_name(m), m.first, m.ended, m.init_at);
  m.first = ~u64{0};
}

static void end_phase(Mbarrier& m) {
  if (m.pending || m.bytes) return;
  if (worker->observer) record_phase(m);
  ++m.phase;
  m.pending = m.count;
#if TDS_CHECKED
  m.done.add(m.current);
  m.done.add_unseen(agent_of(m), m.phase);
  m.done.settle();
  m.current.clear();
#endif
  worker->idle = 0;
  wake(m.waiters);
}

static void check_bytes(const Mbarrier& m, Site at) {
  if (m.bytes <= MAX_BYTES && m.bytes >= -MAX_BYTES) return;
  fail(finding_at(842, at, m.offset, {{"bytes", number(m.bytes)}}));
}

void complete_bytes(Mbarrier& m, u32 bytes) {
  m.bytes -= bytes;
  end_phase(m);
}

static void arrive(Mbarrier& m, u32 count, Site at) {
  if (count > m.pending)
    fail(finding_at(841, at, m.offset,
                    {{"count", number(m.count)}, {"pending", number(m.pending)}, {"arrivals", number(count)}}));
  m.pending -= count;
  end_phase(m);
}

static bool has_ended(const Mbarrier& m, u32 parity) { return (m.phase & 1) != (parity & 1); }

static std::string state_of(const Mbarrier& m) {
  return "phase " + number(m.phase) + ", " + number(m.pending) + " of " + number(m.count) + " arrivals and " +
         number(m.bytes) + " bytes missing";
}

static std::string at_mbarrier(const Fiber& f) {
  const Mbarrier& m = *static_cast<const Mbarrier*>(f.wait_object);
  return "wait for parity " + std::to_string(f.wait_argument) + " of the mbarrier " + place_text(m.offset) + " in " +
         line_of(f.at) + " (" + state_of(m) + ")";
}

// What a thread has seen ended was complete before the block was.
static void has_seen(Fiber* f, Mbarrier& m) {
#if TDS_CHECKED
  acquire(f, m.done);
  if (m.phase > m.awaited) m.awaited = m.phase;
#else
  (void)f, (void)m;
#endif
}

static void report_unawaited(const Mbarrier& m) {
  Finding late = finding_at(808, m.brought.at, m.brought.offset);
  late.thread = NO_THREAD;
  report(std::move(late));
}

void end_mbarriers(Cta& cta) {
  for (const auto& m : hopper(cta).mbarriers) {
    if (m->brought.phase > m->awaited) report_unawaited(*m);
    if (!m->valid || (!m->bytes && m->pending == m->count)) continue;
    Finding left = finding_at(843, m->init_at, m->offset, {{"state", state_of(*m)}});
    left.thread = NO_THREAD;
    report(std::move(left));
  }
}

// An arrival when the earlier cp.async of a thread are complete.
struct CopyArrival : AsyncOperation {
  Fiber* fiber;
  std::vector<Copy> copies;
  Mbarrier* barrier;
  Site at;
  bool step() override {
    for (Copy& c : copies) {
      land(fiber, c);
#if TDS_CHECKED
      complete_event(c.event, agent_of(*barrier), next_phase(*barrier));
      barrier->brought = {next_phase(*barrier), c.offset, c.at};
#endif
    }
    if (barrier->pending) {
      --barrier->pending;
      end_phase(*barrier);
    }
    return true;
  }
};

}  // namespace tds

using namespace tds;

extern "C" void tds_rt_mbarrier_init(u32 address, u32 count, Site at) {
  Fiber* f = self();
  f->at = at;
  u32 offset;
  Cta& cta = owner_of(address, offset);
  check_shared(f, cta, offset, 8, WRITE, Kind::MBARRIER_INIT, at);
  Hopper& h = hopper(cta);
  u8& slot = h.mbarrier_at_word[offset / 8];
  if (!slot) {
    if (h.mbarriers.size() == MBARRIER_AGENTS) fail(finding_at(847, at, offset));
    h.mbarriers.push_back(std::make_unique<Mbarrier>());
    slot = static_cast<u8>(h.mbarriers.size());
    h.mbarriers.back()->number = slot - 1u;
  }
  Mbarrier& m = *h.mbarriers[slot - 1u];
  if (m.valid) {
    Finding again = finding_at(844, at, offset, {{"state", state_of(m)}});
    again.other_at = m.init_at;
    fail(std::move(again));
  }
  if (!count || count > MAX_COUNT) fail(finding_at(848, at, offset, {{"count", number(count)}}));
  m.cta = &cta;
  m.offset = offset;
  m.valid = true;
  m.fenced = false;
  m.count = m.pending = count;
  m.phase += m.phase & 1;  // a new life begins with an even phase; its agent's clock never goes back
  m.init_at = at;
  m.init_thread = f->number;
#if TDS_CHECKED
  m.init_clock = f->clock.own;
#endif
}

extern "C" void tds_rt_mbarrier_inval(u32 address, Site at) {
  Mbarrier& m = mbarrier_at(address, "mbarrier_inval", at);
  if (!m.waiters.fibers.empty()) {
    Finding used = finding_at(844, at, m.offset, {{"state", state_of(m)}});
    used.other_at = m.init_at;
    report(std::move(used));
  }
  check_shared(self(), *m.cta, m.offset, 8, WRITE, Kind::STORE, at);
  m.valid = false;
  m.bytes = 0;
}

extern "C" void tds_rt_mbarrier_arrive(u32 address, u32 count, u32 bytes, Site at) {
  Mbarrier& m = mbarrier_at(address, count ? "an arrival" : "expect_tx", at);
  m.bytes += bytes;
  check_bytes(m, at);
  if (!count) return;
  release(self(), m.current);
  on_operation(self(), "mbarrier_arrive", at);
  expect_at(m, moment(self()));
  arrive(m, count, at);
  may_yield();
}

extern "C" int tds_rt_mbarrier_test(u32 address, u32 parity, Site at) {
  Mbarrier& m = mbarrier_at(address, "a wait", at);
  Fiber* f = self();
  if (!has_ended(m, parity)) {
    f->waits_for = at_mbarrier;
    f->wait_object = &m;
    f->wait_argument = parity;
    pause_idle();
    f->waits_for = nullptr;
  }
  if (!has_ended(m, parity)) return 0;
  if (worker->observer) on_wait(f, recorded_name(m), m.ended, at);
  has_seen(f, m);
  return 1;
}

extern "C" void tds_rt_mbarrier_wait(u32 address, u32 parity, Site at) {
  Mbarrier& m = mbarrier_at(address, "a wait", at);
  may_yield();
  while (!has_ended(m, parity)) wait_among(m.waiters, at_mbarrier, &m, parity);
  if (worker->observer) on_wait(self(), recorded_name(m), m.ended, at);
  has_seen(self(), m);
}

// Earlier cp.async are complete for those who wait for the phase; the thread itself learns of them there too.
extern "C" void tds_rt_cp_async_mbarrier_arrive(u32 address, int counted_at_init, Site at) {
  Fiber* f = self();
  Mbarrier& m = mbarrier_at(address, "cp_async_mbarrier_arrive", at);
  if (!counted_at_init) ++m.pending;
  if (!m.pending) arrive(m, 1, at);  // reports
  auto arrival = std::make_unique<CopyArrival>();
  arrival->fiber = f;
  arrival->barrier = &m;
  arrival->at = at;
  arrival->copies.swap(f->copies);
  post(std::move(arrival));
}

extern "C" void tds_rt_fence_mbarrier_init(Site at) {
  Fiber* f = self();
  f->at = at;
  for (const auto& m : hopper(*f->cta).mbarriers)
    if (m->init_thread == f->number) m->fenced = true;
}

extern "C" void tds_rt_fence_proxy_async(Site at) {
  Fiber* f = self();
  f->at = at;
#if TDS_CHECKED
  fence_proxy_async(f, f->clock.shared);
#endif
  tds_rt_fence_mbarrier_init(at);
}

extern "C" void tds_rt_fence_proxy_async_global(Site at) {
  Fiber* f = self();
  f->at = at;
#if TDS_CHECKED
  fence_proxy_async(f, f->clock.global);
#endif
}

extern "C" void tds_rt_pause() { pause_idle(); }
