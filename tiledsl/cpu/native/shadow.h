// What the bytes of memory have seen: the detector's own part, shared by shared and global memory.
#pragma once

#include <unordered_map>

#include "detector.h"

#if TDS_CHECKED

namespace tds {

// Who has read a byte since its last plain write, newest first, atomic accesses among them. Equal lists are one list.
struct ReaderList {
  u32 parent;
  u32 event;
  u32 length;
  bool atomics, plain;  // whether there are any
};

// An access that is being looked at.
struct Checked {
  u32 id;
  const Event* event;
  Knower who;
  bool writes, async, atomic;
};

// Where the bytes are, for reports.
struct Spot {
  const Cta* cta;    // null: in global memory
  u64 offset;        // in the block's shared memory, or an address
};

constexpr u32 PAGE_BYTES = 256;
struct Page {
  u64 number;  // address / PAGE_BYTES
  u32 writers[PAGE_BYTES], readers[PAGE_BYTES];
};

struct Detector {
  struct Transition {
    u32 list, event, result;
  };
  static constexpr u32 TRANSITIONS = 8192;

  std::vector<Event> events;      // 0 is nothing
  std::vector<ReaderList> lists;  // 0 is empty
  std::vector<Transition> transitions;
  std::vector<u32> seen_agents;   // by agent: the last pruning that met it
  u32 prunings = 0;

  // Global memory, by page
  std::unordered_map<u64, u32> page_numbers;
  std::vector<std::unique_ptr<Page>> pages;
  u32 pages_used = 0;
  u64 last_page = ~0ull;
  Page* last = nullptr;

  // Fences and atomics
  bool fences = false;
  std::unordered_map<const void*, Gathered> flags;
  struct Unit {
    u32 agent, clock;
    Gathered gathered;
  } units[16];
};

// An access of consecutive bytes; `writers` and `readers` are what they have seen.
void touch(u32* writers, u32* readers, u32 bytes, const Checked& a, Spot spot);

inline Checked checked(u32 id, const Knower& who) {
  const Event& e = worker->detector->events[id];
  return Checked{id, &e, who, (e.flags & WRITES) != 0, (e.flags & ASYNC) != 0, (e.flags & ATOMICALLY) != 0};
}

}  // namespace tds

#endif
