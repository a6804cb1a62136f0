// The inside of the CPU device. One OS thread runs a group of blocks at a time: a cluster, or in a cooperative launch
// all blocks of the grid. Each CUDA thread of the group is a fiber.
//
// A fiber runs until it waits for others, then switches directly to the next one that can run. The last lane that
// arrives at an operation of its warp performs it for all 32 and goes on without a switch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "types.h"

#ifndef TDS_CHECKED
#define TDS_CHECKED 0
#endif

#include "clocks.h"
#include "findings.h"

// The place in the kernel's code that called a function of the runtime: two calls on one line are two places. In the
// plain build, where the compiler may merge or split calls, the line.
#if TDS_CHECKED
#define TDS_CALLER(at) __builtin_return_address(0)
#else
#define TDS_CALLER(at) reinterpret_cast<const void*>(static_cast<uintptr_t>((at).line) + 1)
#endif

namespace tds {

constexpr u32 MAX_THREADS = 1024, LANES = 32, NUM_BARRIERS = 16, MAX_CLUSTER = 16;
// Stacks are mappings, of which a process may have some 65 thousand, two each.
constexpr u32 MAX_GROUP_THREADS = 28 * 1024;
// Of each block, beside its threads: mbarriers and the tensor-core units of warpgroups.
constexpr u32 MBARRIER_AGENTS = 64, WARPGROUP_AGENTS = 8, EXTRA_AGENTS = MBARRIER_AGENTS + WARPGROUP_AGENTS;

enum class Mode { EARLY, LATE, RANDOM };          // when the data of an asynchronous operation arrives
enum class Schedule { FIFO, REVERSE, RANDOM };    // which fiber runs next

// A cp.async that has been issued and not waited for. `landed` if its data is already there.
struct Copy {
  u32 offset;
  u32 bytes;
  const char* from;  // null: zeros
  u64 group;
  bool landed;
  Site at;
  u32 event;  // checked build only
};

struct Cta;
struct Warp;
struct Worker;

struct Fiber : Thread {
  void* stack_pointer;
  char* stack_top;
  Warp* warp;
  Cta* cta;
  u32 lane;
  u32 number;  // in the group, over all blocks
  Site at;     // of the call that it is in, or was in last
  bool ended;
  // Set while it waits: what for, in words for a deadlock report. The rest is for that function.
  std::string (*waits_for)(const Fiber&);
  const void* wait_object;
  u64 wait_argument;

  u64 met[NUM_BARRIERS] = {};  // of each barrier the phase in which it arrived last
  u64 groups;  // cp.async groups committed so far
  std::vector<Copy> copies;

  const void* spin_address;  // of its last atomic access, what it saw there, and how often
  u64 spin_value;
  u32 spins;

#if TDS_CHECKED
  Clock clock;
  Gathered fenced;     // what it had done at its last fence
  Gathered to_acquire;  // what its atomics since then saw of others' fences
  bool has_fenced;
  struct CachedEvent {
    Site at;
    u32 clock, event;
    u16 what;
  } cached[8];
#endif
};

// Fibers that wait for the same thing.
struct Waiters {
  std::vector<Fiber*> fibers;
};

// What the lanes of a warp hand to the operation that they execute together.
struct Warp {
  u32 number;   // in the group
  u32 lanes;    // the lanes that exist
  u32 ready;    // those that can run
  u32 arrived;  // those that wait at the operation `what`
  const char* what;
  Site at;
  const void* caller;
  Fiber* fibers[LANES];
  void* to[LANES];
  const void* from[LANES];
  const void* also_from[LANES];
  const void* metadata[LANES];
  u64 value[LANES];
  int argument[LANES];
  u32 address[LANES];
};

struct Barrier {
  u32 arrived = 0;
  u32 expected = 0;  // 0: nobody is there
  u64 phase = 0;     // the number of the phase in progress, of all that this worker has seen
  Site at = {};
  const void* caller = nullptr;  // the place in the code, which `at` does not tell apart if one line has two
  Waiters waiters;
  Gathered clock;
};

// What sm_90a has beside (mbarriers, warpgroups) hangs at a block; made anew for each.
struct CtaExtension {
  virtual ~CtaExtension() = default;
  virtual void thread_ends(Fiber*) {}  // in the thread, right before its end
  virtual void group_ends() {}         // after all threads of the group; not if it was given up
  virtual void registers_used(Fiber*, const void*, u32, Site) {}  // these bytes are an operand of an instruction
};

// What 4 bytes of memory have seen, in the checked build: the event that wrote them last, and the list of those that
// have read them since.
struct Cell {
  u32 writer, readers;
  bool operator==(const Cell& o) const { return writer == o.writer && readers == o.readers; }
};

// A block of the group.
struct Cta {
  u32 rank;       // in the group
  u64 number;     // in the grid
  int index[3];   // of the block in the grid
  char* shared;
  u32 first_fiber;  // its fibers and warps are consecutive
  u32 first_warp;
  u32 running;      // fibers that have not ended
  std::vector<char> shared_memory;
  Barrier barriers[NUM_BARRIERS];
  std::unique_ptr<CtaExtension> extension;
#if TDS_CHECKED
  std::vector<Cell> shadow;  // of each 4 bytes of shared memory
#endif
};

// Something that hardware does beside the threads, once: data arrives, sums appear, barriers complete.
struct AsyncOperation {
  virtual ~AsyncOperation() = default;
  virtual bool step() = 0;  // does it, or a part; whether it is complete
};

struct Memory {
  char* begin;
  u64 size;
  const char* name;
  bool written;  // by this launch, as far as its declaration says
};

// A tile in shared memory, for reports.
struct SharedTile {
  const char* name;
  u32 offset, bytes, stage_bytes, element_bytes;
};

struct Detector;
struct Watch;     // observer.h: what is asked for
struct Observer;  // of one group
struct GroupSummary;  // what a group did to global memory that others can see

struct Launch {
  void (*entry)(void**);
  void** arguments;
  u32 grid[3];
  u32 cluster[3];
  u32 threads;  // of a block
  u32 shared_bytes;
  bool cooperative;
  bool keep_going;  // other groups run after a finding
  bool compares_groups;  // nothing orders them
  u32 extra_agents;  // of each block
  Mode mode;
  Schedule schedule;
  u64 seed;
  std::vector<Memory> buffers;
  std::vector<SharedTile> tiles;
  u32 group_size;  // blocks
  u64 num_groups;
  // Shared by the workers, under the mutex:
  std::mutex mutex;
  u64 next_group = 0;
  u64 first_failed = ~0ull;
  std::map<u64, std::vector<Finding>> findings;  // by group
  std::map<u64, std::string> output;
  std::map<u64, std::unique_ptr<GroupSummary>> summaries;
  u64 clock_work = 0, switches = 0;
  Watch* watch = nullptr;
  bool no_memory = false;

  Launch();
  ~Launch();
};

// The place in the grid of block `rank` of a group: those of a cluster are neighbours, a cooperative group is the grid.
inline void block_of(const Launch& l, u64 group, u32 rank, int* index) {
  const u32* size = l.cooperative ? l.grid : l.cluster;
  const u64 across = l.grid[0] / size[0], along = l.grid[1] / size[1];
  index[0] = static_cast<int>(group % across * size[0] + rank % size[0]);
  index[1] = static_cast<int>(group / across % along * size[1] + rank / size[0] % size[1]);
  index[2] = static_cast<int>(group / across / along * size[2] + rank / size[0] / size[1]);
}

// An OS thread's workplace: the fibers of the group that it runs, kept from launch to launch for their stacks.
struct Worker {
  Launch* launch = nullptr;
  void* own_stack_pointer = nullptr;
  u64 group = 0;
  std::vector<std::unique_ptr<Cta>> ctas;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  std::vector<u64> ready_warps;  // bits: a superset of the warps with a ready lane
  u32 running = 0;               // fibers that have not ended
  bool failed = false;
  u64 random = 1;
  u64 idle = 0;  // atomic accesses in a row that saw nothing new
  u64 switches = 0;
  u64 phases = 0;  // of barriers, begun so far
  std::vector<std::unique_ptr<AsyncOperation>> outstanding;
  std::vector<Finding> findings;
  std::string output;
  Observer* observer = nullptr;  // if something watches the group
  Clocks clocks;
  Detector* detector = nullptr;  // workers live as long as the process

  bool prepare(Launch& l);
  void run_group(u64 number);
};

extern thread_local Worker* worker;

inline Fiber* self() { return static_cast<Fiber*>(tds_thread); }
u64 next_random();

// ---- fibers.cpp

char* new_stack();  // its top, or null
void* first_frame(char* stack_top, void (*function)());
extern "C" void tds_switch(void** from, void* to);

// ---- scheduler.cpp

Fiber* first_fiber();  // that the schedule begins with
void make_ready(Warp& w, u32 lanes);
// Returns when another fiber has made this one ready. `what` says what it waits for, if nobody does.
void wait_as(std::string (*what)(const Fiber&), const void* object = nullptr, u64 argument = 0);
void wait_among(Waiters& waiters, std::string (*what)(const Fiber&), const void* object = nullptr, u64 argument = 0);
void wake(Waiters& waiters);
void yield();      // lets others run first
void end_barriers(Cta& cta);  // when all threads of a block have ended
void pause_idle();  // the same for one that sees nothing new; a deadlock if nobody has for a long time
void may_yield();  // at a place where a random schedule likes to go elsewhere
[[noreturn]] void end_fiber();
[[noreturn]] void report_deadlock();
[[noreturn]] void leave_group();  // gives up the group, from within a fiber

// Starts an operation that completes at once (early), when nothing else can run (late), or at random.
void post(std::unique_ptr<AsyncOperation> operation);
// Takes one outstanding operation a step further; false if there is none.
bool advance();

// The block that a shared address belongs to, and the offset in it. Bits 24 and up hold the rank in the cluster plus 1;
// 0 is the block of the thread itself.
Cta& owner_of(u32 address, u32& offset);

// ---- memory.cpp

// An access of shared memory by `f` is legal, or no return; the detector sees it.
void check_shared(Fiber* f, Cta& cta, u32 offset, u32 bytes, int access, Kind kind, Site at);
// Only that it lies inside and is aligned.
void check_shared_bounds(Cta& cta, u32 offset, u32 bytes, Site at);
// The buffer that holds these bytes, or no return.
const Memory& check_global_bounds(const void* p, u32 bytes, u32 alignment, Site at);
void land(Fiber* f, Copy& c);

// ---- collectives.cpp: instruction rows, generated into atoms.inc

enum class Element { F16, BF16, TF32, F32, F64, E4M3, E5M2, S8, U8, S32, U16 };

struct Operand {
  Element element;
  int registers;         // elements of one thread
  const u16* positions;  // [lane * registers + r] -> row-major linear index in the tile
};

struct MmaRow {
  const char* name;
  int m, n, k;
  Operand d, a, b, e;  // e has no registers, but for sparse matrices: then a has k / 2 columns
};

// Whether this lane is the last of its warp to arrive, and performs the operation. Otherwise it has been performed.
bool last_to_arrive(Fiber* f, const char* what, Site at, const void* caller);
void release_warp(Warp& w);
void require_whole_warp(const Warp& w, const char* what, Site at);

}  // namespace tds
