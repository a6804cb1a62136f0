// Tensor cores of warpgroups. Source: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"; the tables of
// registers are generated from the rows of isa/wgmma.py, descriptors are explained in isa/descriptor.py.
//
// A warpgroup's instruction is issued when all its 128 threads have called it, and executed then (early), when somebody
// waits for it (late), or at random. From the call to the wait the registers of the sums belong to the tensor core: they
// hold NaNs.
#include <cstring>

#include "observer.h"
#include "wgmma_operands.h"

namespace tds {

struct WgmmaTypes {
  const char* name;
  Element d, a, b;
  int k;
};

#include "wgmma.inc"

// ---- execution

static double rounded(double x, Element e) {
  switch (e) {
    case Element::F32: return static_cast<float>(x);
    case Element::F16:
      return widen_to_f32<5, 10, IEEE>(narrow_f32<5, 10, IEEE, RN, false>(f64_to_f32_odd(x)));
    default: return static_cast<i32>(static_cast<u32>(static_cast<i64>(x)));  // wraps
  }
}

static void round_all(std::vector<double>& sums, Element e) {
  if (e == Element::F32)
    for (double& x : sums) x = static_cast<float>(x);
  else
    for (double& x : sums) x = rounded(x, e);
}

// Tiles of ROWS x 8 sums stay in registers of the processor; n is a multiple of 8.
static void multiply(const double* a, const double* b, double* d, int n, int k) {
  typedef double Eight __attribute__((vector_size(64), aligned(8)));
  constexpr int ROWS = 8;
  for (int i = 0; i < M; i += ROWS)
    for (int j = 0; j < n; j += 8) {
      Eight sum[ROWS];
      for (int r = 0; r < ROWS; ++r) sum[r] = *reinterpret_cast<const Eight*>(d + (i + r) * n + j);
      for (int kk = 0; kk < k; ++kk) {
        const Eight right = *reinterpret_cast<const Eight*>(b + kk * n + j);
        for (int r = 0; r < ROWS; ++r) sum[r] += a[(i + r) * k + kk] * right;
      }
      for (int r = 0; r < ROWS; ++r) *reinterpret_cast<Eight*>(d + (i + r) * n + j) = sum[r];
    }
}

static void execute(const Cta& cta, WgmmaOperation& o) {
  // Not thread_local: the block of thread-local memory of a library that is loaded late is tiny.
  double a[M * MAX_K], b[MAX_K * MAX_N];
  const WgmmaTypes& t = WGMMA_TYPES[o.call.types];
  const int n = o.call.n, k = t.k;
  if (o.call.a_registers) {
    const int count = M * k / static_cast<int>(WARPGROUP);
    const u16* position = wgmma_positions_of_a(bytes_of(t.a));
    for (u32 thread = 0; thread < WARPGROUP; ++thread)
      for (int r = 0; r < count; ++r)
        a[*position++] = value_of(t.a, &o.a[static_cast<size_t>(16 * static_cast<int>(thread) + r * bytes_of(t.a))]);
  } else {
    read_operand(cta, o.call.a, M, t.a, k, !o.call.a_along_m, false, a);
  }
  read_operand(cta, o.call.b, n, t.b, k, !o.call.b_along_n, true, b);
  const double sign = o.call.a_sign * o.call.b_sign;
  for (int i = 0; i < M * k; ++i) a[i] *= sign;
  std::vector<double>& sums = o.sums->sums;
  if (!o.call.accumulate) std::fill(sums.begin(), sums.end(), 0.0);
  multiply(a, b, sums.data(), n, k);
  round_all(sums, t.d);
}

static void execute_until(Cta& cta, Warpgroup& g, u32 end) {
  for (; g.executed < end && g.operations[g.executed]->arrived == WARPGROUP; ++g.executed)
    execute(cta, *g.operations[g.executed]);
}

// ---- registers of the sums

template <class F>
static void for_each_sum(int n, u32 thread, F visit) {
  const int count = M * n / static_cast<int>(WARPGROUP);
  for (int r = 0; r < count; ++r) {
    const size_t at = static_cast<size_t>(thread) * (M * MAX_N / WARPGROUP) + static_cast<size_t>(r);
    visit(r, WGMMA_D_ROWS[at] * n + WGMMA_D_COLUMNS[at]);
  }
}

static void take(Accumulator& s, u32 thread, const char* registers) {
  const Element e = static_cast<Element>(s.element);
  for_each_sum(s.n, thread, [&](int r, int at) {
    s.sums[static_cast<size_t>(at)] = value_of(e, registers + r * bytes_of(e));
  });
}

static void give(const Accumulator& s, u32 thread, char* registers) {
  const Element e = static_cast<Element>(s.element);
  for_each_sum(s.n, thread, [&](int r, int at) {
    const double x = s.sums[static_cast<size_t>(at)];
    char* to = registers + r * bytes_of(e);
    if (e == Element::F32) {
      const float value = static_cast<float>(x);
      memcpy(to, &value, 4);
    } else if (e == Element::F16) {
      const u16 value = static_cast<u16>(narrow_f32<5, 10, IEEE, RN, false>(static_cast<float>(x)));
      memcpy(to, &value, 2);
    } else {
      const i32 value = static_cast<i32>(x);
      memcpy(to, &value, 4);
    }
  });
}

static bool overlap(const Held& h, const char* p, u32 bytes) { return p < h.registers + h.bytes && h.registers < p + bytes; }

void Hopper::registers_used(Fiber* f, const void* registers, u32 bytes, Site at) {
  for (const Held& h : hopper_thread(f).held) {
    if (!overlap(h, static_cast<const char*>(registers), bytes)) continue;
    Finding wrong = finding(850, at, {{"where", where()}});
    wrong.other_at = h.at;
    report(std::move(wrong));
    return;
  }
}

// A thread's writes to registers come before a wgmma_fence, and that before a wgmma that has them as sums or as operand A
// (PTX ISA, "wgmma.fence"). Writes are not seen, but what differs from what was there at the fence has been written
// since; what was no operand before is taken up here, and looked at from the next fence on.
static void check_fenced(HopperThread& t, const void* registers, u32 bytes, Site at) {
#if TDS_CHECKED
  const char* p = static_cast<const char*>(registers);
  for (const Fenced& o : t.operands) {
    if (o.registers != p || o.bytes != bytes) continue;
    if (t.fenced && !o.held.empty() && memcmp(o.held.data(), p, bytes) != 0) report(finding(860, at, {{"where", where()}}));
    return;
  }
  t.operands.push_back(Fenced{p, bytes, {}});
#else
  (void)t, (void)registers, (void)bytes, (void)at;
#endif
}

// The sums that these registers stand for: those in flight if the tensor core has them, else what they hold now.
static std::shared_ptr<Accumulator> sums_of(Fiber* f, HopperThread& t, WgmmaOperation& o, const WgmmaCall& call) {
  const Element e = WGMMA_TYPES[call.types].d;
  char* registers = static_cast<char*>(call.d);
  const u32 bytes = static_cast<u32>(M * call.n * bytes_of(e)) / WARPGROUP;
  for (const Held& h : t.held)
    if (h.registers == registers && h.bytes == bytes && h.sums->element == static_cast<int>(e)) return h.sums;
  hopper(*f->cta).registers_used(f, registers, bytes, o.at);
  check_fenced(t, registers, bytes, o.at);
  if (!o.sums) {
    o.sums = std::make_shared<Accumulator>();
    o.sums->element = static_cast<int>(e);
    o.sums->n = call.n;
    o.sums->sums.resize(static_cast<size_t>(M * call.n));
  }
  take(*o.sums, static_cast<u32>(f->index) % WARPGROUP, registers);
  memset(registers, 0xff, bytes);
  t.held.push_back(Held{registers, bytes, o.sums, o.at});
  f->holds_registers = true;
  return o.sums;
}

// ---- the detector

// Operand A is read row by row, each warp its own; B by all.
static void touch_operands(Fiber* f, const WgmmaOperation& o, u32 group, u32 clock) {
#if TDS_CHECKED
  Cta& cta = *f->cta;
  const WgmmaTypes& t = WGMMA_TYPES[o.call.types];
  const u32 agent = extra_agent(cta, MBARRIER_AGENTS + group % WARPGROUP_AGENTS);
  Fiber* fibers[WARPGROUP];
  for (u32 i = 0; i < WARPGROUP; ++i) fibers[i] = worker->fibers[cta.first_fiber + group * WARPGROUP + i].get();
  std::vector<u32> space, spaces[4];
  const Knower all = common_knower(fibers, WARPGROUP, space);
  if (!o.call.a_registers) {
    Knower warps[4];
    for (u32 w = 0; w < 4; ++w) warps[w] = common_knower(fibers + LANES * w, LANES, spaces[w]);
    const u32 id = new_event(Event{o.at, agent, f->number, clock, Kind::WGMMA_A, ASYNC});
    const bool along_k = !o.call.a_along_m;
    for_each_unit(o.call.a, M, t.a, t.k, along_k, [&](u32 offset, int row, int) {
      touch_shared(cta, offset, 16, id, along_k ? warps[row / 16] : all);
    });
  }
  const u32 id = new_event(Event{o.at, agent, f->number, clock, Kind::WGMMA_B, ASYNC});
  for_each_unit(o.call.b, o.call.n, t.b, t.k, !o.call.b_along_n,
                [&](u32 offset, int, int) { touch_shared(cta, offset, 16, id, all); });
#else
  (void)f, (void)o, (void)group, (void)clock;
#endif
}

static bool same_call(const WgmmaCall& a, const WgmmaCall& b) {
  return a.types == b.types && a.n == b.n && a.a == b.a && a.b == b.b && a.accumulate == b.accumulate &&
         !a.a_registers == !b.a_registers && a.a_sign == b.a_sign && a.b_sign == b.b_sign &&
         a.a_along_m == b.a_along_m && a.b_along_n == b.b_along_n;
}

static void issue(Fiber* f, const WgmmaOperation& o, u32 group, u32 index) {
  Cta& cta = *f->cta;
  const WgmmaTypes& t = WGMMA_TYPES[o.call.types];
  if (!o.call.a_registers) check_operand(cta, o.call.a, M, t.a, t.k, !o.call.a_along_m, o.at);
  check_operand(cta, o.call.b, o.call.n, t.b, t.k, !o.call.b_along_n, o.at);
  touch_operands(f, o, group, index + 1);
  Warpgroup& g = hopper(cta).warpgroups[group];
  const Mode mode = worker->launch->mode;
  if (mode == Mode::EARLY || (mode == Mode::RANDOM && (next_random() & 1))) execute_until(cta, g, index + 1);
  wake(g.waiters);
}

static std::string at_wait(const Fiber& f) {
  const Warpgroup& g = *static_cast<const Warpgroup*>(f.wait_object);
  const WgmmaOperation& o = *g.operations[g.executed];
  return "wait for wgmma in " + line_of(f.at) + " (that of " + line_of(o.at) + " was called by " + number(o.arrived) +
         " of 128 threads)";
}

static void check_operand_registers(Fiber* f, const WgmmaOperation& o) {
#if TDS_CHECKED
  const size_t thread = static_cast<u32>(f->index) % WARPGROUP;
  if (!o.call.a_registers || memcmp(o.a_from[thread], &o.a[16 * thread], 16) == 0) return;
  Finding changed = finding(851, o.at, {{"where", where()}});
  report(std::move(changed));
#else
  (void)f, (void)o;
#endif
}

// Operations up to `end` are complete: their registers belong to the thread again.
static void regain(Fiber* f, HopperThread& t, u32 end) {
  size_t kept = 0;
  for (Held& h : t.held) {
    if (h.sums->last > end) {
      t.held[kept++] = h;
      continue;
    }
    give(*h.sums, static_cast<u32>(f->index) % WARPGROUP, h.registers);
    t.fenced = false;
  }
  t.held.resize(kept);
  f->holds_registers = kept != 0;
}

void end_wgmma(Fiber* f) {
#if TDS_CHECKED
  const HopperThread& t = hopper_thread(f);
  if (!t.held.empty()) report(finding(852, t.held.front().at, {{"where", where()}}));
#else
  (void)f;
#endif
}

}  // namespace tds

using namespace tds;

extern "C" void tds_rt_wgmma(const WgmmaCall* call, Site at) {
  Fiber* f = self();
  f->at = at;
  HopperThread& t = hopper_thread(f);
  const u32 group = static_cast<u32>(f->index) / WARPGROUP, index = t.issued++;
  const size_t thread = static_cast<u32>(f->index) % WARPGROUP;
  Warpgroup& g = hopper(*f->cta).warpgroups[group];
  if (index == g.operations.size()) {
    g.operations.push_back(std::make_unique<WgmmaOperation>());
    g.operations.back()->call = *call;
    g.operations.back()->at = at;
  }
  WgmmaOperation& o = *g.operations[index];
  if (o.at.line != at.line || !same_call(o.call, *call)) {
    Finding differ = finding(849, at, {{"where", where()}});
    differ.other_at = o.at;
    fail(std::move(differ));
  }
#if TDS_CHECKED
  if (!t.fenced) report(finding(860, at, {{"where", where()}}));
#endif
  if (call->a_registers) {
    hopper(*f->cta).registers_used(f, call->a_registers, 16, at);
    check_fenced(t, call->a_registers, 16, at);
    o.a.resize(16 * WARPGROUP);
    o.a_from.resize(WARPGROUP);
    memcpy(&o.a[16 * thread], call->a_registers, 16);
    o.a_from[thread] = call->a_registers;
  }
  std::shared_ptr<Accumulator> sums = sums_of(f, t, o, *call);
  if (!o.sums) o.sums = sums;
  if (o.sums != sums) fail(finding(849, at, {{"where", where()}}));
  sums->last = std::max(sums->last, index + 1);  // another thread may be ahead
  on_operation(f, "wgmma", at);
  if (++o.arrived == WARPGROUP) issue(f, o, group, index);
}

extern "C" void tds_rt_wgmma_fence(Site at) {
  self()->at = at;
  HopperThread& t = hopper_thread(self());
  t.fenced = true;
  for (Fenced& o : t.operands) o.held.assign(o.registers, o.registers + o.bytes);
}

extern "C" void tds_rt_wgmma_commit(Site) {
  HopperThread& t = hopper_thread(self());
  t.group_ends.push_back(t.issued);
  may_yield();
}

extern "C" void tds_rt_wgmma_wait(int pending, Site at) {
  Fiber* f = self();
  f->at = at;
  HopperThread& t = hopper_thread(f);
  const size_t groups = t.group_ends.size(), in_flight = static_cast<size_t>(pending);
  if (groups <= in_flight) return;
  const u32 end = t.group_ends[groups - in_flight - 1], group = static_cast<u32>(f->index) / WARPGROUP;
  Warpgroup& g = hopper(*f->cta).warpgroups[group];
  for (u32 i = t.waited; i < end; ++i) check_operand_registers(f, *g.operations[i]);
  t.waited = t.waited > end ? t.waited : end;
  for (;;) {
    execute_until(*f->cta, g, end);
    if (g.executed >= end) break;
    wait_among(g.waiters, at_wait, &g);
  }
#if TDS_CHECKED
  acquire_agent(f, extra_agent(*f->cta, MBARRIER_AGENTS + group % WARPGROUP_AGENTS), end);
#endif
  regain(f, t, end);
}

extern "C" void tds_rt_use_registers(const void* registers, int bytes, Site at) {
  Fiber* f = self();
  f->cta->extension->registers_used(f, registers, static_cast<u32>(bytes), at.file ? at : f->at);
}
