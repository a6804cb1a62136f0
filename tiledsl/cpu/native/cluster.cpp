// Clusters, some lanes of a warp, and the registers of warps. Source: PTX ISA, "barrier.cluster", "mapa", "shfl.sync",
// "setmaxnreg".
#include <cstring>

#include "hopper.h"

namespace tds {

// ---- clusters

static ClusterBarrier& barrier_of_cluster(const Fiber* f) { return hopper(*cluster_peer(*f->cta, 0)).cluster; }

static std::string at_cluster(const Fiber& f) {
  const ClusterBarrier& b = *static_cast<const ClusterBarrier*>(f.wait_object);
  return "wait for the cluster in " + line_of(f.at) + " (" + number(b.arrived) + " of " +
         number(cluster_blocks() * worker->launch->threads) + " threads have arrived)";
}

[[noreturn]] static void misuse(int code, Site at, const std::string& problem) {
  fail(code, at, {{"problem", problem}, {"where", where()}});
}

void visit(Fiber* f, Cta& cta, Site at) {
#if TDS_CHECKED
  if (!cta.running) misuse(857, at, "the block of rank " + number(cta.rank % cluster_blocks()) + " has ended");
  if (&cta == f->cta) return;
  std::vector<Visit>& visits = hopper(cta).visits;
  for (Visit& v : visits) {
    if (v.agent != f->number) continue;
    v = Visit{f->number, f->clock.own, at};
    return;
  }
  visits.push_back(Visit{f->number, f->clock.own, at});
#else
  (void)f, (void)cta, (void)at;
#endif
}

// The threads of a block must know at its end of all that others did there.
void end_visits(Cta& cta) {
  Hopper& h = hopper(cta);
  h.ends.settle();
  for (const Visit& v : h.visits) {
    if (h.ends.known.known.values()[v.agent] >= v.clock) continue;
    const std::string rank = number(cta.rank % cluster_blocks());
    Finding late = finding(857, v.at, {{"problem", "the block of rank " + rank + " may have ended before"},
                                       {"where", where()}});
    late.thread = NO_THREAD;
    report(std::move(late));
    return;
  }
}

// ---- some lanes of a warp

static std::string at_meeting(const Fiber& f) {
  const MaskedMeeting& m = *static_cast<const MaskedMeeting*>(f.wait_object);
  return std::string("wait at ") + m.what + " in " + line_of(f.at) + " (lanes " + number(m.arrived) + " of mask " +
         number(m.members) + ")";
}

// Whether this lane is the last of `members` to come.
static bool meet(Fiber* f, MaskedMeeting& m, u32 members, const char* what, Site at) {
  const u32 lane = 1u << f->lane;
  f->at = at;
  if (!(members & lane)) fail(811, at, {{"what", std::string(what) + " whose mask lacks the thread"}, {"where", where()}});
  if (!m.arrived) {
    m.members = members;
    m.what = what;
    m.at = at;
  } else if (m.at.line != at.line || strcmp(m.what, what) != 0) {
    const std::string other = std::string(m.what) + " in " + line_of(m.at);
    Finding wrong = finding(811, at, {{"what", std::string(what) + " (other threads of the warp are at " + other + ")"},
                                      {"where", where()}});
    wrong.other_at = m.at;
    fail(std::move(wrong));
  }
  m.arrived |= lane;
  if (m.arrived == members) return true;
  wait_as(at_meeting, &m);
  return false;
}

// That of the same lanes, or one that nobody uses: each lane is in one at most, so there always is.
static MaskedMeeting& meeting_of(Fiber* f, u32& members) {
  members &= f->warp->lanes;
  MaskedMeeting* unused = nullptr;
  for (MaskedMeeting& m : hopper_warp(f).meetings) {
    if (m.arrived && m.members == members) return m;
    if (!m.arrived && !unused) unused = &m;
  }
  return *unused;
}

static void part(Fiber* f, MaskedMeeting& m) {
  const u32 members = m.members;
  m.arrived = 0;
  make_ready(*f->warp, members);
}

static u32 source_of(int kind, u32 lane, int argument) {
  const i64 from = kind == SHUFFLE_XOR    ? static_cast<i64>(lane ^ static_cast<u32>(argument))
                   : kind == SHUFFLE_UP   ? static_cast<i64>(lane) - argument
                   : kind == SHUFFLE_DOWN ? static_cast<i64>(lane) + argument
                                          : static_cast<i64>(argument & 31);
  return from < 0 || from >= LANES ? lane : static_cast<u32>(from);
}

// ---- registers

// PTX ISA, "setmaxnreg": what warps have beyond their share is a pool of the block. A block starts with an equal share
// of the 65536 registers of a multiprocessor for every thread.
constexpr int ALL_REGISTERS = 65536, MAX_REGISTERS = 256, MIN_REGISTERS = 24;

static int launched_registers() {
  const int share = ALL_REGISTERS / static_cast<int>(worker->launch->threads) / 8 * 8;
  return share < MAX_REGISTERS ? share : MAX_REGISTERS;
}

static int registers_of(const HopperWarp& w) { return w.registers ? w.registers : launched_registers(); }

static int registers_left(const Hopper& h) {
  int left = launched_registers() * static_cast<int>(h.warps.size());
  for (const HopperWarp& w : h.warps) left -= registers_of(w);
  return left;
}

static std::string at_registers(const Fiber& f) {
  return "wait for registers in " + line_of(f.at) + " (" + number(static_cast<i64>(f.wait_argument)) +
         " a thread are asked for, " + number(registers_left(hopper(*f.cta))) + " are left for all warps together)";
}

static std::string at_setmaxnreg(const Fiber& f) { return "wait at setmaxnreg in " + line_of(f.at); }

void end_registers(Cta& cta) {
  Hopper& h = hopper(cta);
  if (!h.uses_registers) return;
  for (size_t first = 0; first + 4 <= h.warps.size(); first += 4)
    for (size_t i = 1; i < 4; ++i) {
      if (h.warps[first + i].registers == h.warps[first].registers) continue;
      report(finding(855, h.registers_at,
                     {{"problem", "the warps of a warpgroup ask for different numbers"}, {"where", where()}}));
      return;
    }
}

}  // namespace tds

using namespace tds;

extern "C" u32 tds_rt_cluster_rank() { return self()->cta->rank % cluster_blocks(); }
extern "C" u32 tds_rt_cluster_size() { return cluster_blocks(); }

extern "C" void tds_rt_cluster_arrive(int releases, Site at) {
  Fiber* f = self();
  f->at = at;
  HopperThread& t = hopper_thread(f);
  ClusterBarrier& b = barrier_of_cluster(f);
  if (t.in_cluster_barrier) misuse(856, at, "the thread arrives again before its cluster_wait");
  t.in_cluster_barrier = true;
  t.cluster_phase = b.phase;
  if (releases) release(f, b.current);
  if (++b.arrived < cluster_blocks() * worker->launch->threads) return may_yield();
  b.arrived = 0;
  ++b.phase;
#if TDS_CHECKED
  b.done = b.current;
  b.done.settle();
  b.current.clear();
#endif
  worker->idle = 0;
  wake(b.waiters);
  may_yield();
}

extern "C" void tds_rt_cluster_wait(Site at) {
  Fiber* f = self();
  f->at = at;
  HopperThread& t = hopper_thread(f);
  ClusterBarrier& b = barrier_of_cluster(f);
  if (!t.in_cluster_barrier) misuse(856, at, "the thread has not arrived before its cluster_wait");
  while (b.phase == t.cluster_phase) wait_among(b.waiters, at_cluster, &b);
  t.in_cluster_barrier = false;
#if TDS_CHECKED
  acquire(f, b.done);
#endif
}

extern "C" u32 tds_rt_cluster_map(u32 address, u32 rank, Site at) {
  Fiber* f = self();
  f->at = at;
  const Cta* peer = cluster_peer(*f->cta, rank);
  if (!peer) misuse(857, at, "the cluster has no block of rank " + number(rank));
  return (address & 0xffffffu) | (peer->rank + 1) << 24;
}

extern "C" char* tds_rt_cluster_shared(u32 address, int bytes, int access, Site at) {
  Fiber* f = self();
  f->at = at;
  u32 offset;
  Cta& cta = owner_of(address, offset);
  visit(f, cta, at);
  const Kind kind = access == READ ? Kind::LOAD : access == WRITE ? Kind::STORE : Kind::ATOMIC;
  check_shared(f, cta, offset, static_cast<u32>(bytes), access, kind, at);
  return cta.shared + offset;
}

extern "C" u64 tds_rt_shuffle_among(u32 members, int kind, u64 value, int argument, Site at) {
  Fiber* f = self();
  MaskedMeeting& m = meeting_of(f, members);
  m.value[f->lane] = value;
  m.argument[f->lane] = argument;
  if (!meet(f, m, members, "a shuffle", at)) return m.value[f->lane];
  u64 result[LANES] = {};
  for (u32 lane = 0; lane < LANES; ++lane) {
    if (!(members >> lane & 1)) continue;
    const u32 source = source_of(kind, lane, m.argument[lane]);
    if (!(members >> source & 1))
      fail(832, at, {{"lane", number(lane)}, {"source", number(source)}, {"where", where()}});
    result[lane] = m.value[source];
  }
  // Others may use this meeting before its lanes have taken their results: only those are written.
  for (u32 lane = 0; lane < LANES; ++lane)
    if (members >> lane & 1) m.value[lane] = result[lane];
  part(f, m);
  return result[f->lane];
}

extern "C" u32 tds_rt_ballot_among(u32 members, int value, Site at) {
  Fiber* f = self();
  MaskedMeeting& m = meeting_of(f, members);
  m.value[f->lane] = value != 0;
  if (!meet(f, m, members, "a vote", at)) return static_cast<u32>(m.value[f->lane]);
  u32 votes = 0;
  for (u32 lane = 0; lane < LANES; ++lane)
    if (members >> lane & 1) votes |= static_cast<u32>(m.value[lane]) << lane;
  for (u32 lane = 0; lane < LANES; ++lane)
    if (members >> lane & 1) m.value[lane] = votes;
  part(f, m);
  return votes;
}

extern "C" void tds_rt_setmaxnreg(int registers, int increases, Site at) {
  Fiber* f = self();
  f->at = at;
  Hopper& h = hopper(*f->cta);
  HopperWarp& w = hopper_warp(f);
  const std::string asked = number(registers) + " registers";
  if (registers % 8 || registers < MIN_REGISTERS || registers > MAX_REGISTERS)
    misuse(855, at, asked + ": not a multiple of 8 from 24 to 256");
  if (w.arrived && w.asked != registers) misuse(855, at, asked + ": the threads of a warp ask for different numbers");
  w.asked = registers;
  w.arrived |= 1u << f->lane;
  if (w.arrived != f->warp->lanes) return wait_as(at_setmaxnreg);
  w.arrived = 0;
  h.uses_registers = true;
  h.registers_at = at;
  const int before = registers_of(w), more = registers - before;
  // The launch may have had fewer than its share, so only a number set before is a limit for setmaxnreg_inc.
  if (increases ? w.registers && more < 0 : more > 0)
    misuse(855, at, asked + (increases ? " is less than the " : " is more than the ") + number(before) + " that it has");
  while (registers_left(h) < more)
    wait_among(h.register_waiters, at_registers, &h, static_cast<u64>(registers));
  w.registers = registers;
  wake(h.register_waiters);
  make_ready(*f->warp, f->warp->lanes);
}
