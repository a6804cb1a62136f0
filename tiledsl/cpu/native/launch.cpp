// The blocks of a launch, dealt to OS threads.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "runtime.h"

namespace tds {

// ---- a worker

void Worker::prepare(Launch& l) {
  launch = &l;
  while (fibers.size() < l.threads) {
    fibers.emplace_back();
    const size_t i = fibers.size() - 1;
    // Stacks of equal alignment would share the same few lines of the cache.
    fibers[i].stack_top = new_stack() - i * 13 % 64 * 64;
  }
  warps.assign((l.threads + LANES - 1) / LANES, Warp{});
  for (u32 i = 0; i < l.threads; ++i) {
    Warp& w = warps[i / LANES];
    w.number = i / LANES;
    w.lanes |= 1u << (i % LANES);
    w.fibers[i % LANES] = &fibers[i];
    fibers[i].warp = &w;
    fibers[i].lane = i % LANES;
    fibers[i].index = static_cast<int>(i);
  }
  shared_memory.resize(l.shared_bytes + 1024);
  shared = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(shared_memory.data()) + 1023) & ~uintptr_t{1023});
#if TDS_CHECKED
  state.resize(l.shared_bytes + 16);
#endif
}

static void run_thread() {
  worker->launch->entry(worker->launch->arguments);
  end_fiber();
}

static u64 mixed(u64 x) {  // splitmix64 (Steele et al., 2014)
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return (x ^ x >> 31) | 1;
}

void Worker::run_block(u64 number) {
  Launch& l = *launch;
  block = number;
  random = mixed(l.seed ^ mixed(number));  // by block, so that results do not depend on the number of workers
  block_index[0] = static_cast<int>(number % l.grid[0]);
  block_index[1] = static_cast<int>(number / l.grid[0] % l.grid[1]);
  block_index[2] = static_cast<int>(number / l.grid[0] / l.grid[1]);
  memset(barriers, 0, sizeof barriers);
  memset(shared, 0xff, l.shared_bytes);  // NaN in every float format
  if (!state.empty()) memset(static_cast<void*>(state.data()), static_cast<int>(Byte::UNWRITTEN), state.size());
  ready_warps = 0;
  running = l.threads;
  output.clear();
  for (u32 i = 0; i < l.threads; ++i) {
    Fiber& f = fibers[i];
    memcpy(f.block, block_index, sizeof block_index);
    f.shared = shared;
    f.shared_size = l.shared_bytes;
    f.hot_begin = f.hot_size = 0;
    f.waits_for = Wait::NOTHING;
    f.at = Site{nullptr, 0};
    f.groups = 0;
    f.copies.clear();
    f.stack_pointer = first_frame(f.stack_top, run_thread);
  }
  for (Warp& w : warps) {
    w.ready = w.lanes;
    w.arrived = 0;
    ready_warps |= 1u << w.number;
  }
  tds_thread = &fibers[0];
  tds_switch(&own_stack_pointer, fibers[0].stack_pointer);
  tds_thread = nullptr;
}

// ---- all workers

// Workers are kept for the next launch, with their stacks. Never destroyed: threads may outlive static destructors.
struct Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Worker>> idle;
};
static Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

static std::unique_ptr<Worker> hire() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  if (pool().idle.empty()) return std::make_unique<Worker>();
  std::unique_ptr<Worker> w = std::move(pool().idle.back());
  pool().idle.pop_back();
  return w;
}

static void work(Launch* l) {
  std::unique_ptr<Worker> w = hire();
  worker = w.get();
  w->prepare(*l);
  for (;;) {
    u64 number;
    {
      std::lock_guard<std::mutex> lock(l->mutex);
      // After a failure only blocks before the failed one can still change the report.
      if (l->next_block >= l->num_blocks || l->next_block > l->report.block) break;
      number = l->next_block++;
    }
    w->run_block(number);
    if (!w->output.empty()) {
      std::lock_guard<std::mutex> lock(l->mutex);
      l->output[number] = w->output;
    }
  }
  worker = nullptr;
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().idle.push_back(std::move(w));
}

}  // namespace tds

using namespace tds;

// The layouts of `device.py`.
struct BufferArgument {
  void* begin;
  u64 size;
  const char* name;
};

struct LaunchArgument {
  void (*entry)(void**);
  void** arguments;
  u32 grid[3];
  u32 threads;
  u32 shared_bytes;
  int mode;
  u64 seed;
  int workers;
  int num_buffers;
  const BufferArgument* buffers;
};

// Runs a launch to its end. Returns the report and the output as "code\nfile\nline\nfacts\0output", to be given to
// tds_free; code 0 means that nothing is wrong. `length` is set to the number of bytes.
extern "C" char* tds_launch(const LaunchArgument* given, u64* length) {
  Launch l;
  l.entry = given->entry;
  l.arguments = given->arguments;
  memcpy(l.grid, given->grid, sizeof l.grid);
  l.threads = given->threads;
  l.shared_bytes = given->shared_bytes;
  l.mode = static_cast<Mode>(given->mode);
  l.seed = given->seed;
  for (int i = 0; i < given->num_buffers; ++i) {
    const BufferArgument& b = given->buffers[i];
    l.buffers.push_back(Memory{static_cast<char*>(b.begin), b.size, b.name});
  }
  l.num_blocks = static_cast<u64>(l.grid[0]) * l.grid[1] * l.grid[2];
  const u64 wanted = given->workers > 0 ? static_cast<u64>(given->workers) : std::thread::hardware_concurrency();
  const u64 helpers = (wanted < l.num_blocks ? wanted : l.num_blocks);
  std::vector<std::thread> threads;
  for (u64 i = 1; i < helpers; ++i) threads.emplace_back(work, &l);
  work(&l);
  for (std::thread& t : threads) t.join();
  std::string text = std::to_string(l.report.code) + '\n' + l.report.file + '\n' + std::to_string(l.report.line) + '\n';
  text += l.report.facts + '\0';
  for (const auto& block : l.output) text += block.second;
  char* result = static_cast<char*>(malloc(text.size()));
  memcpy(result, text.data(), text.size());
  *length = text.size();
  return result;
}

extern "C" void tds_free(char* text) { free(text); }
