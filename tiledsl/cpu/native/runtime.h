// The inside of the CPU device. One OS thread runs a block at a time; each CUDA thread of it is a fiber.
//
// A fiber runs until it waits for others, then switches directly to the next one that can run. The last lane that
// arrives at an operation of its warp performs it for all 32 and goes on without a switch.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "types.h"

#ifndef TDS_CHECKED
#define TDS_CHECKED 0
#endif

namespace tds {

constexpr u32 MAX_THREADS = 1024, LANES = 32, MAX_WARPS = MAX_THREADS / LANES, NUM_BARRIERS = 16;

enum class Mode { EARLY, LATE, RANDOM };  // when the data of an asynchronous copy arrives
enum class Wait { NOTHING, BARRIER, WARP, ENDED };
enum class Byte : u8 { UNWRITTEN, WRITTEN, IN_FLIGHT };  // state of a byte of shared memory, in the checked build

// A cp.async that has been issued and not waited for. `landed` if its data is already there.
struct Copy {
  u32 offset;
  u32 bytes;
  const char* from;  // null: zeros
  u64 group;
  bool landed;
  Site at;
};

struct Warp;
struct Worker;

struct Fiber : Thread {
  void* stack_pointer;
  char* stack_top;
  Warp* warp;
  u32 lane;
  Wait waits_for;
  int barrier;
  Site at;  // of the call that it is in, or was in last
  u64 groups;  // cp.async groups committed so far
  std::vector<Copy> copies;
};

// What the lanes of a warp hand to the operation that they execute together.
struct Warp {
  u32 number;
  u32 lanes;    // the lanes that exist
  u32 ready;    // those that can run
  u32 arrived;  // those that wait at the operation `what`
  const char* what;
  Site at;
  Fiber* fibers[LANES];
  void* to[LANES];
  const void* from[LANES];
  const void* also_from[LANES];
  u64 value[LANES];
  int argument[LANES];
  u32 address[LANES];
};

struct Barrier {
  u32 arrived;
  u32 expected;  // 0: nobody is there
  Site at;
  u32 waiting[MAX_WARPS];
};

// Facts are key, value, key, value, ..., for the message of catalogue code `code`.
struct Report {
  int code = 0;
  u64 block = ~0ull;
  std::string file;
  int line = 0;
  std::string facts;
};

struct Memory {
  char* begin;
  u64 size;
  const char* name;
};

struct Launch {
  void (*entry)(void**);
  void** arguments;
  u32 grid[3];
  u32 threads;
  u32 shared_bytes;
  Mode mode;
  u64 seed;
  std::vector<Memory> buffers;
  // Shared by the workers, under the mutex:
  std::mutex mutex;
  u64 next_block = 0, num_blocks = 0;
  Report report;
  std::map<u64, std::string> output;
};

// An OS thread's workplace: the fibers of the block that it runs, kept from launch to launch for their stacks.
struct Worker {
  Launch* launch = nullptr;
  void* own_stack_pointer = nullptr;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  Barrier barriers[NUM_BARRIERS];
  u64 block = 0;
  int block_index[3];
  u32 ready_warps = 0;  // a superset of the warps with a ready lane
  u32 running = 0;      // fibers that have not ended
  bool failed = false;
  u64 random = 1;
  std::vector<char> shared_memory;
  char* shared = nullptr;
  std::vector<Byte> state;  // of each byte of shared memory; checked build only
  std::string output;

  void prepare(Launch& l);
  void run_block(u64 number);
};

extern thread_local Worker* worker;

inline Fiber* self() { return static_cast<Fiber*>(tds_thread); }
u64 next_random();

// ---- scheduler.cpp

void make_ready(Warp& w, u32 lanes);
void wait_as(Wait reason);  // returns when another fiber has made this one ready
[[noreturn]] void end_fiber();
[[noreturn]] void fail(int code, Site at, const std::string& facts);
std::string fact(const char* key, const std::string& value);
std::string where();  // "block (0, 1, 0), thread 5"
char* new_stack();    // its top
void* first_frame(char* stack_top, void (*function)());
extern "C" void tds_switch(void** from, void* to);

// ---- memory.cpp

// An access of shared memory by `f` is legal, or no return. Where a race detector hooks in.
void check_shared(Fiber* f, u32 offset, u32 bytes, int access, Site at);
void land(Fiber* f, Copy& c);

// ---- collectives.cpp: instruction rows, generated into atoms.inc

enum class Element { F16, BF16, TF32, F32, F64, E4M3, E5M2, S8, U8, S32 };

struct Operand {
  Element element;
  int registers;         // elements of one thread
  const u16* positions;  // [lane * registers + r] -> row-major linear index in the tile
};

struct MmaRow {
  const char* name;
  int m, n, k;
  Operand d, a, b;
};

}  // namespace tds
