// The record of one block: what each of its warps did when, in virtual time.
//
// Each thread has a clock, which counts the operations that the device API performed for it. Lanes that meet leave
// together a tick after the last came, so do threads at a barrier, and a copy is complete `latency` ticks after its
// issue. The times are the same in every schedule.
#pragma once

#include "observer.h"

#if TDS_CHECKED

namespace tds {

enum class Happening : u8 { COMPUTE, COLLECTIVE, WAIT, COPY, PHASE };

constexpr int COPY_LANE = -1, BARRIER_LANE = -2;
constexpr u32 GLOBAL_BUFFER = 1u << 30;  // set in the number of a buffer in global memory

struct LogEntry {
  LogEntry(Happening kind, int lane, u64 start, u64 end, Site at)
      : kind(kind), lane(lane), start(start), end(end), at(at) {}

  Happening kind;
  int lane;  // warp of the block, or one of the lanes above
  u64 start, end;
  Site at;
  std::string what;
  std::string buffer;
  int stage = NO_STAGE;
  u64 bytes = 0;
  long long warp = -1;    // who issued a copy; -1: several
  long long needed = -1;  // when a copy was first waited for
};

struct Recorder {
  Recorder(u64 block, u32 latency) : block(block), latency(latency) {}

  bool watches(const Cta& cta) const { return cta.number == block; }
  bool watches(const Fiber* f) const { return watches(*f->cta); }

  void access(const Fiber* f, Place place, u32 offset, u32 buffer, u32 bytes, const char* what, Site at);
  void rows(u32 offset, u32 buffer, u32 bytes, const char* what);  // of the meeting that comes next
  void meet(const Warp& w);
  void barrier(const Fiber* last, const Waiters& waiting, int id, Site at);
  void copies_awaited(const Fiber* f, int pending, Site at);
  void finish();

  // For operations beside those: what a thread does itself, or waits for until `until` (a tick), ...
  u64 now(const Fiber* f) { return lane(f).clock; }
  void operate(const Fiber* f, Happening kind, const char* what, Site at, u64 ticks = 1);
  void wait(const Fiber* f, const std::string& what, u64 until, Site at);
  // ... and what hardware does beside the threads: a phase of an mbarrier, a copy that `f` issues now. The result is the
  // tick at which it is complete; copies by cp.async are in a group, and waited for through `copies_awaited`.
  void phase(const std::string& name, u64 first, u64 last, Site at);
  u64 copy(const Fiber* f, u32 offset, u32 bytes, const char* what, Site at, bool in_group);

  std::vector<LogEntry> events;

 private:
  // Something that a lane did `times` times in a row.
  struct Run {
    Happening kind;
    Site at;
    const char* what;
    std::string text;  // of a wait
    u32 buffer;
    int stage;
    u64 start, end, bytes;
  };
  struct Lane {
    u64 clock = 0;
    std::vector<Run> runs;  // since its warp last met
  };
  struct Flight {
    u64 group;
    size_t event;
    u64 complete;
  };

  Lane& lane(const Fiber* f);
  void append(Lane& l, Run run);
  void settle(const Warp& w);  // runs of lanes become events of the warp
  void extend_or_add(LogEntry e);
  u32 warp_of(const Fiber* f) const;

  const u64 block;
  const u32 latency;
  // Of the matrix load or store whose lanes are about to meet; null for any other operation.
  const char* matrices = nullptr;
  u32 matrix_buffer = 0;
  int matrix_stage = NO_STAGE;
  u64 matrix_bytes = 0;
  std::map<int, size_t> latest;                  // meeting of each warp, in events
  std::vector<Lane> lanes;                       // by thread
  std::vector<std::vector<Flight>> in_flight;    // by thread
  std::map<std::tuple<const char*, int, std::string, int, u64>, size_t> copies;  // site, buffer, stage, group
};

std::string text_of(const Recorder& r);

}  // namespace tds

#endif
