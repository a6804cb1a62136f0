// Hands what the runtime does to the counters and to the record, if either is asked for.
#include "observer.h"

#include <cstring>

#include "counters.h"
#include "record.h"

namespace tds {

#if TDS_CHECKED

static const char* const PLACES[] = {"shared", "global", "warp"};

// ---- names

u32 shared_buffer(const Launch& l, u32 offset) {
  for (u32 i = 0; i < l.tiles.size(); ++i)
    if (offset - l.tiles[i].offset < l.tiles[i].bytes) return i;
  return NO_BUFFER;
}

static u32 global_buffer(const Launch& l, const void* p) {
  for (u32 i = 0; i < l.buffers.size(); ++i)
    if (static_cast<u64>(static_cast<const char*>(p) - l.buffers[i].begin) < l.buffers[i].size) return i;
  return NO_BUFFER;
}

std::string buffer_name(const Launch& l, Place place, u32 buffer) {
  if (buffer == NO_BUFFER) return "";
  if (place == Place::GLOBAL) return l.buffers[buffer].name;
  const SharedTile& t = l.tiles[buffer];
  std::string name = t.name;
  for (u32 i = buffer + 1; i < l.tiles.size(); ++i)  // tiles may share bytes at different times
    if (l.tiles[i].offset < t.offset + t.bytes && t.offset < l.tiles[i].offset + l.tiles[i].bytes)
      name += std::string("|") + l.tiles[i].name;
  return name;
}

int stage_of(const Launch& l, u32 buffer, u32 offset) {
  if (buffer == NO_BUFFER) return NO_STAGE;
  const SharedTile& t = l.tiles[buffer];
  if (!t.stage_bytes || t.stage_bytes >= t.bytes) return NO_STAGE;
  return static_cast<int>((offset - t.offset) / t.stage_bytes);
}

// ---- the observer of a group

Observer::Observer(const Launch& l) {
  if (l.watch->count) counters = std::make_unique<Counters>(l);
  if (l.watch->block < 0) return;
  const u64 block = static_cast<u64>(l.watch->block);
  for (const auto& cta : worker->ctas)
    if (cta->number == block) recorder = std::make_unique<Recorder>(block, l.watch->latency);
}

Observer::~Observer() = default;

void start_observer() {
  const Launch& l = *worker->launch;
  if (l.watch && (l.watch->count || l.watch->block >= 0)) worker->observer = new Observer(l);
}

void end_observer() {
  const std::unique_ptr<Observer> o(worker->observer);
  worker->observer = nullptr;
  if (!o) return;
  Watch& watch = *worker->launch->watch;
  if (o->counters) o->counters->meet_all();
  if (o->recorder) o->recorder->finish();
  std::lock_guard<std::mutex> lock(worker->launch->mutex);
  if (o->recorder) watch.record = text_of(*o->recorder);
  if (!o->counters) return;
  for (const auto& row : o->counters->table) {
    Tally& t = watch.table[row.first];
    t.requests += row.second.requests;
    t.transactions += row.second.transactions;
    t.ideal += row.second.ideal;
    t.bytes += row.second.bytes;
  }
}

// ---- what happens

void see_access(Fiber* f, Place place, const void* p, u32 offset, u32 bytes, const char* what, Site at,
                const void* caller) {
  const Launch& l = *worker->launch;
  const bool shared = place == Place::SHARED;
  const u32 buffer = shared ? shared_buffer(l, offset) : global_buffer(l, p);
  Observer& o = *worker->observer;
  if (o.counters) {
    const u64 base = shared || buffer == NO_BUFFER ? 0 : reinterpret_cast<u64>(l.buffers[buffer].begin);
    const u64 address = shared ? offset : reinterpret_cast<u64>(p) - base;
    o.counters->access(f, place, address, buffer, bytes, what, at, caller);
  }
  // cp.async takes one tick, in which its side in shared memory stands for both.
  const bool twice = !shared && strncmp(what, "cp_async", 8) == 0;
  if (o.recorder && o.recorder->watches(f) && !twice) o.recorder->access(f, place, offset, buffer, bytes, what, at);
}

// The names of instructions, by whether they store and transpose, and the matrices: 1, 2, 4.
static const char* const ROW_OPERATIONS[2][2][3] = {
    {{"ldmatrix_x1", "ldmatrix_x2", "ldmatrix_x4"},
     {"ldmatrix_x1_trans", "ldmatrix_x2_trans", "ldmatrix_x4_trans"}},
    {{"stmatrix_x1", "stmatrix_x2", "stmatrix_x4"},
     {"stmatrix_x1_trans", "stmatrix_x2_trans", "stmatrix_x4_trans"}},
};

void see_rows(Warp& w, int matrices, bool transposed) {
  const bool stores = w.what[0] == 's';
  const char* what = ROW_OPERATIONS[stores][transposed][matrices / 2];
  Observer& o = *worker->observer;
  if (o.counters) o.counters->rows(w, matrices, what);
  if (!o.recorder || !o.recorder->watches(w.fibers[0])) return;
  const u32 offset = w.address[0] - SHARED_BASE;
  o.recorder->rows(offset, shared_buffer(*worker->launch, offset), 128 * static_cast<u32>(matrices), what);
}

// "a shuffle" of a message is "shuffle" in a table.
static const char* without_article(const char* what) { return strncmp(what, "a ", 2) == 0 ? what + 2 : what; }

static Recorder* recorder_of(const Cta& cta) {
  Recorder* const r = worker->observer->recorder.get();
  return r && r->watches(cta) ? r : nullptr;
}

void see_meeting(Warp& w) {
  Observer& o = *worker->observer;
  if (o.counters) {
    const bool rows = strncmp(w.what, "ldmatrix", 8) == 0 || strncmp(w.what, "stmatrix", 8) == 0;
    if (!rows) o.counters->operation(without_article(w.what), w.at);
    o.counters->meet(w.number);
  }
  if (o.recorder && o.recorder->watches(w.fibers[0])) o.recorder->meet(w);
}

void see_barrier(Fiber* f, const Waiters& waiting, int id, Site at) {
  Observer& o = *worker->observer;
  if (o.counters) {
    std::vector<bool> met(worker->warps.size());
    const auto meet = [&](const Fiber* g) {
      if (met[g->warp->number]) return;
      met[g->warp->number] = true;
      o.counters->operation("barrier", at);
      o.counters->meet(g->warp->number);
    };
    if (f) meet(f);
    for (const Fiber* g : waiting.fibers) meet(g);
  }
  const Fiber* someone = f ? f : waiting.fibers.empty() ? nullptr : waiting.fibers[0];
  if (o.recorder && someone && o.recorder->watches(someone)) o.recorder->barrier(f, waiting, id, at);
}

void see_copy(Fiber* f, u32 offset, u32 bytes, Site at) {
  Observer& o = *worker->observer;
  if (o.recorder && o.recorder->watches(f)) o.recorder->copy(f, offset, bytes, "cp_async", at, true);
}

void see_copies_awaited(Fiber* f, int pending, Site at) {
  Observer& o = *worker->observer;
  if (o.recorder && o.recorder->watches(f)) o.recorder->copies_awaited(f, pending, at);
}

u64 see_moment(const Fiber* f) {
  Recorder* const r = recorder_of(*f->cta);
  return r ? r->now(f) : 0;
}

void see_operation(const Fiber* f, const char* what, Site at) {
  if (Recorder* const r = recorder_of(*f->cta)) r->operate(f, Happening::COMPUTE, what, at);
}

void see_wait(const Fiber* f, const std::string& what, u64 until, Site at) {
  if (Recorder* const r = recorder_of(*f->cta)) r->wait(f, what, until, at);
}

u64 see_flight(const Fiber* f, u32 offset, u32 bytes, const char* what, Site at) {
  Recorder* const r = recorder_of(*f->cta);
  return r ? r->copy(f, offset, bytes, what, at, false) : 0;
}

void see_phase(const Cta& cta, const std::string& name, u64 first, u64 last, Site at) {
  if (Recorder* const r = recorder_of(cta)) r->phase(name, first, last, at);
}

std::string table_text(const Launch& l, const Watch& watch) {
  std::string text;
  for (const auto& row : watch.table) {
    const RowKey& k = row.first;
    const Tally& t = row.second;
    text += std::string(PLACES[static_cast<int>(k.place)]) + '\x1f' + k.what + '\x1f' +
            buffer_name(l, k.place, k.buffer) + '\x1f' + (k.at.file ? k.at.file : "") + '\x1f' +
            std::to_string(k.at.line);
    for (u64 n : {t.requests, t.transactions, t.ideal, t.bytes}) text += '\x1f' + std::to_string(n);
    text += '\n';
  }
  return text;
}

#else

std::string table_text(const Launch&, const Watch&) { return ""; }

#endif

}  // namespace tds
