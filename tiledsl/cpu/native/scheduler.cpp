// The choice of the next fiber, waiting, deadlocks, and asynchronous operations.
#include <cstring>

#include "detector.h"
#include "observer.h"

namespace tds {

thread_local Worker* worker;

// ---- who runs next

u64 next_random() {  // xorshift64 (Marsaglia, 2003)
  u64 x = worker->random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return worker->random = x;
}

void make_ready(Warp& w, u32 lanes) {
  w.ready |= lanes;
  worker->ready_warps[w.number / 64] |= 1ull << w.number % 64;
}

static u32 rotate_from(u32 mask, u32 position) {  // the first set bit at or after position, cyclically
  const u32 after = position < 32 ? mask >> position << position : 0;
  return static_cast<u32>(__builtin_ctz(after ? after : mask));
}

constexpr u32 NONE = ~0u;

// The first warp marked as ready at or after `start`, cyclically.
static u32 ready_from(u32 start) {
  const std::vector<u64>& words = worker->ready_warps;
  const u32 n = static_cast<u32>(words.size());
  u32 w = start / 64 % n;
  u64 word = start / 64 < n ? words[w] >> start % 64 << start % 64 : words[w];
  for (u32 i = 0; i <= n; ++i) {
    if (word) return 64 * w + static_cast<u32>(__builtin_ctzll(word));
    w = w + 1 < n ? w + 1 : 0;
    word = words[w];
  }
  return NONE;
}

static u32 last_ready() {
  for (size_t w = worker->ready_warps.size(); w-- > 0;)
    if (const u64 word = worker->ready_warps[w]) return static_cast<u32>(64 * w + 63 - __builtin_clzll(word));
  return NONE;
}

static u32 random_lane(u32 mask) {
  for (u64 skip = next_random() % static_cast<u32>(__builtin_popcount(mask)); skip; --skip) mask &= mask - 1;
  return static_cast<u32>(__builtin_ctz(mask));
}

// Fifo: the following lanes of the same warp first, so that a warp stays together; then the following warps. Reverse:
// the preceding lanes, then the last warp. Random: any.
static Fiber* next_ready(const Warp* last, u32 lane) {
  const Schedule schedule = worker->launch->schedule;
  if (last && last->ready && schedule != Schedule::RANDOM) {
    if (schedule == Schedule::FIFO) return last->fibers[rotate_from(last->ready, lane + 1)];
    const u32 before = last->ready & ((1u << lane) - 1);
    return last->fibers[31 - __builtin_clz(before ? before : last->ready)];
  }
  for (;;) {
    u32 start = last ? last->number + 1 : 0;
    if (schedule == Schedule::RANDOM) start = static_cast<u32>(next_random() % worker->warps.size());
    const u32 number = schedule == Schedule::REVERSE ? last_ready() : ready_from(start);
    if (number == NONE) return nullptr;
    Warp& w = worker->warps[number];
    if (!w.ready) {
      worker->ready_warps[number / 64] &= ~(1ull << number % 64);
      continue;
    }
    switch (schedule) {
      case Schedule::FIFO: return w.fibers[__builtin_ctz(w.ready)];
      case Schedule::REVERSE: return w.fibers[31 - __builtin_clz(w.ready)];
      case Schedule::RANDOM: return w.fibers[random_lane(w.ready)];
    }
  }
}

static Fiber* next_fiber(const Warp* last, u32 lane) {
  if (worker->launch->mode == Mode::RANDOM && !worker->outstanding.empty() && (next_random() & 7) == 0) advance();
  for (;;) {
    if (Fiber* next = next_ready(last, lane)) return next;
    if (!advance()) report_deadlock();
  }
}

Fiber* first_fiber() { return next_fiber(nullptr, 0); }

static void switch_to(Fiber* f, Fiber* next) {
  if (next == f) return;
  ++worker->switches;
  tds_thread = next;
  tds_switch(&f->stack_pointer, next->stack_pointer);
}

void wait_as(std::string (*what)(const Fiber&), const void* object, u64 argument) {
  Fiber* f = self();
  f->waits_for = what;
  f->wait_object = object;
  f->wait_argument = argument;
  f->warp->ready &= ~(1u << f->lane);
  switch_to(f, next_fiber(f->warp, f->lane));
  f->waits_for = nullptr;
}

void wait_among(Waiters& waiters, std::string (*what)(const Fiber&), const void* object, u64 argument) {
  waiters.fibers.push_back(self());
  wait_as(what, object, argument);
}

void wake(Waiters& waiters) {
  for (Fiber* f : waiters.fibers) make_ready(*f->warp, 1u << f->lane);
  waiters.fibers.clear();
}

// The next warp with a ready lane, from the one after (or before) `w`, cyclically. One is there.
static Warp& following_warp(const Warp& w, bool forwards) {
  const u32 n = static_cast<u32>(worker->warps.size());
  for (u32 i = w.number;;) {
    i = forwards ? (i + 1 < n ? i + 1 : 0) : (i ? i - 1 : n - 1);
    if (worker->warps[i].ready) return worker->warps[i];
  }
}

// Others first, in turn: whoever yields again and again keeps nobody from running.
static Fiber* in_turn(const Fiber* f) {
  const Schedule schedule = worker->launch->schedule;
  if (schedule == Schedule::RANDOM) return next_fiber(nullptr, 0);
  const bool forwards = schedule == Schedule::FIFO;
  const u32 rest = forwards ? f->warp->ready & ~((2u << f->lane) - 1) : f->warp->ready & ((1u << f->lane) - 1);
  const Warp& w = rest ? *f->warp : following_warp(*f->warp, forwards);
  const u32 lanes = rest ? rest : w.ready;
  return w.fibers[forwards ? __builtin_ctz(lanes) : 31 - __builtin_clz(lanes)];
}

void yield() {
  Fiber* f = self();
  make_ready(*f->warp, 1u << f->lane);
  switch_to(f, in_turn(f));
}

void may_yield() {
  if (worker->launch->schedule == Schedule::RANDOM && (next_random() & 3) == 0) yield();
}

[[noreturn]] static void leave_for(void* stack_pointer) {
  void* abandoned;
  tds_switch(&abandoned, stack_pointer);
  __builtin_unreachable();
}

void leave_group() {
  worker->failed = true;
  leave_for(worker->own_stack_pointer);
}

static void report_copies_in_flight(Fiber* f) {
  if (f->copies.empty()) return;
  const Copy& c = f->copies.front();
  Facts facts;
  add_place(facts, *worker->launch, c.offset);
  report(finding(808, c.at, facts));
  f->copies.clear();
}

void end_fiber() {
  Fiber* f = self();
#if TDS_CHECKED
  report_copies_in_flight(f);
#endif
  if (f->cta->extension) f->cta->extension->thread_ends(f);
  f->ended = true;
  worker->idle = 0;
  f->warp->ready &= ~(1u << f->lane);
  --f->cta->running;
  if (--worker->running == 0) {
    while (advance()) {
    }
    leave_for(worker->own_stack_pointer);
  }
  Fiber* next = next_fiber(f->warp, f->lane);
  tds_thread = next;
  leave_for(next->stack_pointer);
}

// ---- asynchronous operations

void post(std::unique_ptr<AsyncOperation> operation) {
  const Mode mode = worker->launch->mode;
  if (mode == Mode::EARLY || (mode == Mode::RANDOM && (next_random() & 1))) {
    while (!operation->step()) {
    }
    return;
  }
  worker->outstanding.push_back(std::move(operation));
}

bool advance() {
  auto& all = worker->outstanding;
  if (all.empty()) return false;
  size_t i = all.size() - 1;  // late: the last one first, as far from the order of issue as can be
  if (worker->launch->mode == Mode::RANDOM) i = next_random() % all.size();
  std::unique_ptr<AsyncOperation> operation = std::move(all[i]);
  all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
  worker->idle = 0;
  if (!operation->step()) all.insert(all.begin() + static_cast<std::ptrdiff_t>(i), std::move(operation));
  return true;
}

// ---- deadlocks

static std::string thread_ranges(const std::vector<u32>& threads) {
  std::string text;
  for (size_t i = 0; i < threads.size();) {
    size_t last = i;
    while (last + 1 < threads.size() && threads[last + 1] == threads[last] + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(threads[i]);
    if (last > i) text += "-" + std::to_string(threads[last]);
    i = last + 1;
  }
  return text;
}

static std::string state_of(const Fiber& f) {
  if (f.ended) return "have ended";
  if (f.waits_for) return f.waits_for(f);
  return "repeat the atomic access in " + line_of(f.at) + ", which sees nothing new";
}

static std::string states_of(const Cta& cta) {
  std::map<std::string, std::vector<u32>> groups;
  for (u32 i = 0; i < worker->launch->threads; ++i) groups[state_of(*worker->fibers[cta.first_fiber + i])].push_back(i);
  std::string text;
  for (const auto& group : groups)
    text += (text.empty() ? "threads " : "; threads ") + thread_ranges(group.second) + " " + group.first;
  return text;
}

// Who waits for what, by block; blocks in the same state are not repeated.
void report_deadlock() {
  Finding f;
  std::string text, seen;
  const Cta* first = nullptr;
  u32 alike = 0;
  for (const auto& cta : worker->ctas) {
    if (!cta->running) continue;
    const std::string states = states_of(*cta);
    if (!first) {
      first = cta.get();
      text = seen = states;
    } else if (states == seen) {
      ++alike;
    } else if (text.size() < 2000) {
      text += "; " + block_name(cta->index) + ": " + states;
    }
  }
  if (alike) text += "; the same in " + std::to_string(alike) + " more blocks";
  for (u32 i = 0; first && i < worker->launch->threads; ++i) {
    const Fiber& one = *worker->fibers[first->first_fiber + i];
    if (one.ended) continue;
    tds_thread = worker->fibers[first->first_fiber + i].get();
    f = finding(830, one.at);
    break;
  }
  f.thread = NO_THREAD;
  f.facts.push_back({"threads", text});
  f.facts.push_back({"where", block_name(f.block)});
  fail(std::move(f));
}

void pause_idle() {
  if (++worker->idle > 4096ull * (worker->running + 16)) {
    if (!advance()) report_deadlock();
  }
  yield();
}

}  // namespace tds
