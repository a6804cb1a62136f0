// Fibers, the choice of the next one, barriers of the block, and reports.
#include <sys/mman.h>

#include <cstring>

#include "runtime.h"

extern "C" {
__thread tds::Thread* tds_thread;
}

// Saves the registers that a call preserves on the old stack, and continues on the new one.
#if defined(__x86_64__)
asm(R"(
.text
.globl tds_switch
.type tds_switch, @function
tds_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tds_switch, .-tds_switch
)");
constexpr int FRAME_WORDS = 6, RETURN_WORD = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl tds_switch
.type tds_switch, %function
.p2align 4
tds_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size tds_switch, .-tds_switch
)");
constexpr int FRAME_WORDS = 20, RETURN_WORD = 11;
#else
#error "the CPU device needs a context switch for this processor"
#endif

namespace tds {

thread_local Worker* worker;

// ---- stacks

// A CUDA thread may have 512 KiB of local memory. Pages that are never touched cost nothing.
constexpr size_t STACK_BYTES = 576 * 1024, GUARD_BYTES = 4096;

char* new_stack() {
  void* memory = mmap(nullptr, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  mprotect(memory, GUARD_BYTES, PROT_NONE);  // an overflow stops the program instead of spoiling a neighbour
  return static_cast<char*>(memory) + STACK_BYTES + GUARD_BYTES;
}

void* first_frame(char* stack_top, void (*function)()) {
  void** frame = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack_top) & ~uintptr_t{15});
#if defined(__x86_64__)
  *--frame = nullptr;  // the function finds the stack as a call would leave it
  *--frame = reinterpret_cast<void*>(function);
  frame -= FRAME_WORDS;
  memset(frame, 0, FRAME_WORDS * sizeof(void*));
#else
  frame -= FRAME_WORDS;
  memset(frame, 0, FRAME_WORDS * sizeof(void*));
  frame[RETURN_WORD] = reinterpret_cast<void*>(function);
#endif
  return frame;
}

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
  worker->ready_warps |= 1u << w.number;
}

static u32 rotate_from(u32 mask, u32 position) {  // the first set bit at or after position, cyclically
  const u32 after = position < 32 ? mask >> position << position : 0;
  return static_cast<u32>(__builtin_ctz(after ? after : mask));
}

// The following lanes of the same warp first, so that a warp stays together; then the following warps.
static Fiber* next_ready(const Warp* last, u32 lane) {
  if (last && last->ready) return last->fibers[rotate_from(last->ready, lane + 1)];
  u32 start = last ? last->number + 1 : 0;
  if (worker->launch->mode == Mode::RANDOM) start = static_cast<u32>(next_random() % MAX_WARPS);
  while (worker->ready_warps) {
    const u32 number = rotate_from(worker->ready_warps, start);
    Warp& w = worker->warps[number];
    if (w.ready) return w.fibers[__builtin_ctz(w.ready)];
    worker->ready_warps &= ~(1u << number);
  }
  return nullptr;
}

static void report_deadlock();

void wait_as(Wait reason) {
  Fiber* f = self();
  f->waits_for = reason;
  f->warp->ready &= ~(1u << f->lane);
  Fiber* next = next_ready(f->warp, f->lane);
  if (!next) report_deadlock();
  if (next != f) {
    tds_thread = next;
    tds_switch(&f->stack_pointer, next->stack_pointer);
  }
  f->waits_for = Wait::NOTHING;
}

[[noreturn]] static void leave_for(void* stack_pointer) {
  void* abandoned;
  tds_switch(&abandoned, stack_pointer);
  __builtin_unreachable();
}

void end_fiber() {
  Fiber* f = self();
#if TDS_CHECKED
  if (!f->copies.empty()) fail(808, f->copies.front().at, fact("buffer", "shared memory") + fact("where", where()));
#endif
  f->waits_for = Wait::ENDED;
  f->warp->ready &= ~(1u << f->lane);
  if (--worker->running == 0) leave_for(worker->own_stack_pointer);
  Fiber* next = next_ready(f->warp, f->lane);
  if (!next) report_deadlock();
  tds_thread = next;
  leave_for(next->stack_pointer);
}

// ---- reports

std::string fact(const char* key, const std::string& value) { return std::string(key) + '\x1f' + value + '\x1e'; }

static std::string block_name() {
  const int* b = worker->block_index;
  return "block (" + std::to_string(b[0]) + ", " + std::to_string(b[1]) + ", " + std::to_string(b[2]) + ")";
}

std::string where() { return block_name() + ", thread " + std::to_string(self()->index); }

// Keeps the report of the first block, whatever the order in which the blocks ran, and gives up this block: fibers own
// nothing that would have to be released.
void fail(int code, Site at, const std::string& facts) {
  Launch& l = *worker->launch;
  {
    std::lock_guard<std::mutex> lock(l.mutex);
    if (worker->block < l.report.block) {
      if (!at.file) at = self()->at;
      l.report = Report{code, worker->block, at.file ? at.file : "", at.line, facts};
    }
  }
  worker->failed = true;
  leave_for(worker->own_stack_pointer);
}

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

static void report_deadlock() {
  std::map<std::string, std::vector<u32>> groups;
  Site first{nullptr, 0};
  for (u32 i = 0; i < worker->launch->threads; ++i) {
    const Fiber& f = worker->fibers[i];
    std::string state = "have ended";
    if (f.waits_for == Wait::BARRIER) {
      state = "wait at barrier " + std::to_string(f.barrier) + " in line " + std::to_string(f.at.line);
    } else if (f.waits_for == Wait::WARP) {
      state = std::string("wait at ") + f.warp->what + " in line " + std::to_string(f.at.line);
    }
    if (f.waits_for != Wait::ENDED && !first.file) first = f.at;
    groups[state].push_back(i);
  }
  std::string text;
  for (const auto& group : groups)
    text += (text.empty() ? "threads " : "; threads ") + thread_ranges(group.second) + " " + group.first;
  fail(830, first, fact("threads", text) + fact("where", block_name()));
}

// ---- barriers

static std::string line_of(Site at) { return "line " + std::to_string(at.line); }

static void pass(Barrier& b) {
  for (Warp& w : worker->warps) {
    if (b.waiting[w.number]) make_ready(w, b.waiting[w.number]);
    b.waiting[w.number] = 0;
  }
  b.arrived = b.expected = 0;
}

}  // namespace tds

using namespace tds;

extern "C" void tds_rt_barrier(int id, int count, Site at) {
  Fiber* f = self();
  Barrier& b = worker->barriers[id & (NUM_BARRIERS - 1)];
  const u32 expected = count ? static_cast<u32>(count) : worker->launch->threads;
  f->at = at;
  if (!b.expected) {
    b.expected = expected;
    b.at = at;
  } else if (b.expected != expected || b.at.line != at.line) {
    const std::string there = line_of(b.at) + " (" + std::to_string(b.expected) + " threads)";
    const std::string here = line_of(at) + " (" + std::to_string(expected) + " threads)";
    fail(831, at, fact("first", there) + fact("second", here) + fact("where", where()));
  }
  if (++b.arrived == b.expected) return pass(b);
  b.waiting[f->warp->number] |= 1u << f->lane;
  f->barrier = id;
  wait_as(Wait::BARRIER);
}
