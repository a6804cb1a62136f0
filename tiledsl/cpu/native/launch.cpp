// The groups of a launch, dealt to OS threads.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "detector.h"
#include "observer.h"

namespace tds {

// ---- a worker

static void prepare_cta(Worker& w, Cta& cta, u32 rank) {
  const Launch& l = *w.launch;
  cta.rank = rank;
  cta.first_fiber = rank * l.threads;
  cta.first_warp = rank * ((l.threads + LANES - 1) / LANES);
  cta.shared_memory.resize(l.shared_bytes + 1024);
  char* const bytes = cta.shared_memory.data();
  cta.shared = bytes + (1024 - reinterpret_cast<uintptr_t>(bytes) % 1024);
#if TDS_CHECKED
  cta.shadow.assign(l.shared_bytes / 4 + 4, Cell{0, 0});
#endif
  for (u32 i = 0; i < l.threads; ++i) {
    Fiber& f = *w.fibers[cta.first_fiber + i];
    Warp& warp = w.warps[cta.first_warp + i / LANES];
    warp.number = cta.first_warp + i / LANES;
    warp.lanes |= 1u << (i % LANES);
    warp.fibers[i % LANES] = &f;
    f.cta = &cta;
    f.warp = &warp;
    f.lane = i % LANES;
    f.index = static_cast<int>(i);
    f.number = cta.first_fiber + i;
    f.shared = cta.shared;
    f.shared_size = l.shared_bytes;
  }
}

// Makes room for groups of this launch. False if there is not enough memory for the stacks.
bool Worker::prepare(Launch& l) {
  launch = &l;
  const u32 threads = l.group_size * l.threads;
  while (fibers.size() < threads) {
    char* const top = new_stack();
    if (!top) return false;
    fibers.push_back(std::make_unique<Fiber>());
    // Stacks of equal alignment would share the same few lines of the cache.
    fibers.back()->stack_top = top - fibers.size() * 13 % 64 * 64;
  }
#if TDS_CHECKED
  for (const auto& f : fibers) {
    f->clock = Clock();
    f->fenced.clear();
    f->to_acquire.clear();
  }
  ctas.clear();  // with the clocks that their barriers hold
  if (detector) forget_clocks();
  clocks.resize(threads + l.group_size * l.extra_agents);
  clocks.work = 0;
#endif
  while (ctas.size() < l.group_size) ctas.push_back(std::make_unique<Cta>());
  ctas.resize(l.group_size);
  warps.assign(l.group_size * ((l.threads + LANES - 1) / LANES), Warp{});
  ready_warps.assign((warps.size() + 63) / 64, 0);
  for (u32 rank = 0; rank < l.group_size; ++rank) prepare_cta(*this, *ctas[rank], rank);
  switches = 0;
  return true;
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

static void start_cta(Worker& w, Cta& cta) {
  const Launch& l = *w.launch;
  block_of(l, w.group, cta.rank, cta.index);
  const u64 row = static_cast<u64>(cta.index[2]) * l.grid[1] + static_cast<u64>(cta.index[1]);
  cta.number = row * l.grid[0] + static_cast<u64>(cta.index[0]);
  cta.running = l.threads;
  memset(cta.shared, 0xff, l.shared_bytes);  // NaN in every float format
  for (Barrier& b : cta.barriers) b = Barrier();
  cta.extension.reset();
  for (u32 i = 0; i < l.threads; ++i) {
    Fiber& f = *w.fibers[cta.first_fiber + i];
    memcpy(f.block, cta.index, sizeof cta.index);
    f.hot_begin = f.hot_size = 0;
    f.hot_written = f.holds_registers = f.ended = false;
    f.waits_for = nullptr;
    f.at = Site{nullptr, 0};
    f.groups = 0;
    f.copies.clear();
    f.spin_address = nullptr;
    f.spins = 0;
    f.stack_pointer = first_frame(f.stack_top, run_thread);
  }
}

void Worker::run_group(u64 number) {
  group = number;
  random = mixed(launch->seed ^ mixed(number));  // by group, so that results do not depend on the number of workers
  running = launch->group_size * launch->threads;
  failed = false;
  idle = 0;
  output.clear();
  findings.clear();
  outstanding.clear();
  for (const auto& cta : ctas) start_cta(*this, *cta);
  start_detector();
  start_observer();
  for (Warp& w : warps) {
    w.arrived = 0;
    make_ready(w, w.ready = w.lanes);
  }
  Fiber* const first = first_fiber();
  tds_thread = first;
  tds_switch(&own_stack_pointer, first->stack_pointer);
  tds_thread = fibers[0].get();
  if (!failed) {
    for (const auto& cta : ctas)
      if (cta->extension) cta->extension->group_ends();
  }
  for (const auto& cta : ctas) {
    tds_thread = fibers[cta->first_fiber].get();
    end_barriers(*cta);
  }
  end_observer();
  end_detector();
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

static bool next_group(Launch* l, u64* number) {
  std::lock_guard<std::mutex> lock(l->mutex);
  // After a failure only groups before the failed one can still change the report, unless all are asked for.
  if (l->next_group >= l->num_groups || (!l->keep_going && l->next_group > l->first_failed)) return false;
  *number = l->next_group++;
  return true;
}

static void hand_in(Launch* l, Worker& w) {
  drop_explained(w.findings);
  if (w.output.empty() && w.findings.empty()) return;
  std::lock_guard<std::mutex> lock(l->mutex);
  if (!w.output.empty()) l->output[w.group] = std::move(w.output);
  if (w.findings.empty()) return;
  l->findings[w.group] = std::move(w.findings);
  if (w.group < l->first_failed) l->first_failed = w.group;
}

static void work(Launch* l) {
  std::unique_ptr<Worker> w = hire();
  worker = w.get();
  clocks = &w->clocks;
  if (w->prepare(*l)) {
    for (u64 number; next_group(l, &number);) {
      w->run_group(number);
      hand_in(l, *w);
    }
    l->mutex.lock();
    l->clock_work += w->clocks.work;
    l->switches += w->switches;
    l->mutex.unlock();
  } else {
    std::lock_guard<std::mutex> lock(l->mutex);
    l->no_memory = true;
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
  int written;
};

struct LaunchArgument {
  void (*entry)(void**);
  void** arguments;
  u32 grid[3];
  u32 cluster[3];
  u32 threads;
  u32 shared_bytes;
  u32 extra_agents;
  int cooperative;
  int keep_going;
  int compare_groups;
  int mode;
  int schedule;
  u64 seed;
  int workers;
  int num_buffers;
  const BufferArgument* buffers;
  int num_tiles;
  const SharedTile* tiles;
  int count;         // what is watched: see Watch
  i64 record_block;
  u32 record_latency;
};

static void read(Launch& l, const LaunchArgument& given) {
  l.entry = given.entry;
  l.arguments = given.arguments;
  memcpy(l.grid, given.grid, sizeof l.grid);
  memcpy(l.cluster, given.cluster, sizeof l.cluster);
  l.threads = given.threads;
  l.shared_bytes = given.shared_bytes;
  l.extra_agents = given.extra_agents;
  l.cooperative = given.cooperative != 0;
  l.keep_going = given.keep_going != 0;
  l.compares_groups = given.compare_groups != 0;
  l.mode = static_cast<Mode>(given.mode);
  l.schedule = static_cast<Schedule>(given.schedule);
  l.seed = given.seed;
  for (int i = 0; i < given.num_buffers; ++i) {
    const BufferArgument& b = given.buffers[i];
    l.buffers.push_back(Memory{static_cast<char*>(b.begin), b.size, b.name, b.written != 0});
  }
  l.tiles.assign(given.tiles, given.tiles + given.num_tiles);
  const u64 blocks = static_cast<u64>(l.grid[0]) * l.grid[1] * l.grid[2];
  l.group_size = l.cooperative ? static_cast<u32>(blocks) : l.cluster[0] * l.cluster[1] * l.cluster[2];
  l.num_groups = blocks / l.group_size;
}

// Runs a launch to its end. Returns what was found, the counters, the record, and the output as
// "JSON\0table\0events\0output", to be given to tds_free, or null where the stacks of a group do not fit into memory. `length` is set to the number of bytes.
extern "C" char* tds_launch(const LaunchArgument* given, u64* length) {
  Launch l;
  read(l, *given);
  Watch watch;
  watch.count = given->count != 0;
  watch.block = given->record_block;
  watch.latency = given->record_latency;
  l.watch = &watch;
  const u64 wanted = given->workers > 0 ? static_cast<u64>(given->workers) : std::thread::hardware_concurrency();
  const u64 helpers = wanted < l.num_groups ? wanted : l.num_groups;
  std::vector<std::thread> threads;
  for (u64 i = 1; i < helpers; ++i) threads.emplace_back(work, &l);
  work(&l);
  for (std::thread& t : threads) t.join();
  if (l.no_memory) return nullptr;
  compare_groups(l);
  std::string text = as_json(l) + '\0' + table_text(l, watch) + '\0' + watch.record + '\0';
  for (const auto& group : l.output) text += group.second;
  char* result = static_cast<char*>(malloc(text.size()));
  memcpy(result, text.data(), text.size());
  *length = text.size();
  return result;
}

extern "C" void tds_free(char* text) { free(text); }
