// What watches a run of the checked build, if it is asked to: counters of memory requests, the record of one block.
//
// The runtime calls these functions at each operation that the device API performs. They cost a test of one pointer
// where nothing watches, and nothing in the plain build.
#pragma once

#include <tuple>

#include "runtime.h"

namespace tds {

enum class Place : u8 { SHARED, GLOBAL, WARP };  // what an operation concerns; WARP: none of the memories

constexpr u32 NO_BUFFER = ~0u;
constexpr int NO_STAGE = -1;

// What identifies a row of the table of counters.
struct RowKey {
  Site at;
  const char* what;
  Place place;
  u32 buffer;
  bool operator<(const RowKey& o) const {
    return std::tie(at.file, at.line, what, place, buffer) < std::tie(o.at.file, o.at.line, o.what, o.place, o.buffer);
  }
};

struct Tally {
  u64 requests = 0, transactions = 0, ideal = 0, bytes = 0;
};

// What is asked for, and what has been seen by all workers so far.
struct Watch {
  bool count = false;
  long long block = -1;  // the block to record, by its number in the grid; none if negative
  u32 latency = 0;       // ticks of an asynchronous copy in the record
  std::map<RowKey, Tally> table;
  std::string record;
};

// One row of the table a line, its fields separated by \x1f: place, operation, buffer, file, line, requests,
// transactions, ideal, bytes.
std::string table_text(const Launch& l, const Watch& watch);

#if TDS_CHECKED

struct Counters;
struct Recorder;

// The observer of one group of blocks.
struct Observer {
  explicit Observer(const Launch& l);
  ~Observer();
  std::unique_ptr<Counters> counters;  // null if not asked for
  std::unique_ptr<Recorder> recorder;
};

void start_observer();  // before a group runs
void end_observer();    // after it: adds what was seen to the launch's `Watch`

// By number: the tile that an offset in shared memory belongs to, its name and the names of those that share its bytes,
// and which of its stages.
u32 shared_buffer(const Launch& l, u32 offset);
std::string buffer_name(const Launch& l, Place place, u32 buffer);
int stage_of(const Launch& l, u32 buffer, u32 offset);

void see_access(Fiber* f, Place place, const void* p, u32 offset, u32 bytes, const char* what, Site at,
                const void* caller);
void see_rows(Warp& w, int matrices, bool transposed);
void see_meeting(Warp& w);
void see_barrier(Fiber* f, const Waiters& waiting, int id, Site at);
void see_copy(Fiber* f, u32 offset, u32 bytes, Site at);
void see_copies_awaited(Fiber* f, int pending, Site at);
u64 see_moment(const Fiber* f);
void see_operation(const Fiber* f, const char* what, Site at);
void see_wait(const Fiber* f, const std::string& what, u64 until, Site at);
u64 see_flight(const Fiber* f, u32 offset, u32 bytes, const char* what, Site at);
void see_phase(const Cta& cta, const std::string& name, u64 first, u64 last, Site at);

// One lane's access. The caller is the place in the kernel's code: a line may have several.
inline void on_shared(Fiber* f, u32 offset, u32 bytes, const char* what, Site at, const void* caller) {
  if (__builtin_expect(worker->observer != nullptr, 0))
    see_access(f, Place::SHARED, nullptr, offset, bytes, what, at, caller);
}
inline void on_global(Fiber* f, const void* p, u32 bytes, const char* what, Site at, const void* caller) {
  if (__builtin_expect(worker->observer != nullptr, 0))
    see_access(f, Place::GLOBAL, p, 0, bytes, what, at, caller);
}
// ldmatrix and stmatrix: the rows are at `w.address`.
inline void on_rows(Warp& w, int matrices, bool transposed) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_rows(w, matrices, transposed);
}
// All lanes of the warp have performed the operation `w.what`.
inline void on_meeting(Warp& w) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_meeting(w);
}
// A barrier of the block is passed by `f`, the last to arrive, and those that wait.
inline void on_barrier(Fiber* f, const Waiters& waiting, int id, Site at) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_barrier(f, waiting, id, at);
}
// cp.async has been issued; its two accesses are reported beside.
inline void on_copy(Fiber* f, u32 offset, u32 bytes, Site at) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_copy(f, offset, bytes, at);
}
// Called before the waiting thread's copies change.
inline void on_copies_awaited(Fiber* f, int pending, Site at) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_copies_awaited(f, pending, at);
}

// For the record alone, in its ticks: what has no lanes that meet (mbarriers, bulk copies, wgmma).

// The clock of the thread: what an arrival leaves at an mbarrier, whose phase ends with the last of them.
inline u64 moment(const Fiber* f) { return __builtin_expect(worker->observer != nullptr, 0) ? see_moment(f) : 0; }
// The thread does something that takes a tick: arrives, issues a copy or a wgmma.
inline void on_operation(const Fiber* f, const char* what, Site at) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_operation(f, what, at);
}
// The thread waited until that tick; nothing if it is past.
inline void on_wait(const Fiber* f, const std::string& what, u64 until, Site at) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_wait(f, what, until, at);
}
// The thread issues a copy to or from the offset in shared memory: when it will be complete.
inline u64 on_flight(const Fiber* f, u32 offset, u32 bytes, const char* what, Site at) {
  return __builtin_expect(worker->observer != nullptr, 0) ? see_flight(f, offset, bytes, what, at) : 0;
}
// A phase of an mbarrier, from its first arrival to its end.
inline void on_phase(const Cta& cta, const std::string& name, u64 first, u64 last, Site at) {
  if (__builtin_expect(worker->observer != nullptr, 0)) see_phase(cta, name, first, last, at);
}

#else

struct Observer {};
inline u64 moment(const Fiber*) { return 0; }
inline void on_operation(const Fiber*, const char*, Site) {}
inline void on_wait(const Fiber*, const std::string&, u64, Site) {}
inline u64 on_flight(const Fiber*, u32, u32, const char*, Site) { return 0; }
inline void on_phase(const Cta&, const std::string&, u64, u64, Site) {}
inline void start_observer() {}
inline void end_observer() {}
inline void on_shared(Fiber*, u32, u32, const char*, Site, const void*) {}
inline void on_global(Fiber*, const void*, u32, const char*, Site, const void*) {}
inline void on_rows(Warp&, int, bool) {}
inline void on_meeting(Warp&) {}
inline void on_barrier(Fiber*, const Waiters&, int, Site) {}
inline void on_copy(Fiber*, u32, u32, Site) {}
inline void on_copies_awaited(Fiber*, int, Site) {}

#endif

}  // namespace tds
