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
  bool global_reads = false;  // or atomic accesses
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

inline Checked checked(u32 id, const Knower& who) {
  const Event& e = worker->detector->events[id];
  return Checked{id, &e, who, (e.flags & WRITES) != 0, (e.flags & ASYNC) != 0, (e.flags & ATOMICALLY) != 0};
}

inline u32 event_of(Fiber* f, Kind kind, u8 flags, Site at) {
  const u16 what = static_cast<u16>(static_cast<u16>(kind) << 8 | flags);
  Fiber::CachedEvent& c = f->cached[(static_cast<u32>(at.line) ^ flags) & 7];
  if (c.clock == f->clock.own && c.what == what && c.at.line == at.line && c.at.file == at.file) return c.event;
  c.at = at;
  c.clock = f->clock.own;
  c.what = what;
  return c.event = new_event(Event{at, f->number, f->number, f->clock.own, kind, flags});
}

// ---- the verdict

inline bool unordered(const Event& earlier, const Checked& a) {
  if (earlier.flags & PENDING) return true;
  return (earlier.agent == a.who.agent ? a.who.own : a.who.known[earlier.agent]) < earlier.clock;
}

// A write of the generic proxy that the async proxy does not see.
inline bool unseen(const Event& earlier, const Checked& a) {
  if (!a.async || (earlier.flags & (WRITES | ASYNC)) != WRITES) return false;
  return (earlier.agent == a.who.agent ? a.who.own_visible : a.who.visible[earlier.agent]) < earlier.clock;
}

inline bool excused(const Event& earlier, const Checked& a) { return a.atomic && (earlier.flags & ATOMICALLY); }

inline const Event* race_with_writer(u32 writer, const Checked& a) {
  if (!writer) return nullptr;
  const Event& e = worker->detector->events[writer];
  return !excused(e, a) && (unordered(e, a) || unseen(e, a)) ? &e : nullptr;
}

// Whether an access could conflict with one of the list at all.
inline bool concerns(const ReaderList& list, const Checked& a) {
  if (a.writes) return a.atomic ? list.plain : list.length != 0;
  return !a.atomic && list.atomics;
}

inline const Event* conflict_in(u32 list, const Checked& a) {
  const Detector& d = *worker->detector;
  if (!list || !concerns(d.lists[list], a)) return nullptr;
  for (u32 i = list; i; i = d.lists[i].parent) {
    const Event& e = d.events[d.lists[i].event];
    if (!excused(e, a) && (a.writes || (e.flags & WRITES)) && unordered(e, a)) return &e;
  }
  return nullptr;
}

// ---- what bytes remember

u32 longer_list(u32 list, const Checked& a);

inline u32 with_reader(u32 list, const Checked& a) {
  Detector& d = *worker->detector;
  if (list && d.lists[list].event == a.id) return list;
  const u64 key = static_cast<u64>(list) << 32 | a.id;
  Detector::Transition& t = d.transitions[key * 0x9e3779b97f4a7c15ull >> 51 & (Detector::TRANSITIONS - 1)];
  if (t.list != list || t.event != a.id) t = Detector::Transition{list, a.id, longer_list(list, a)};
  return t.result;
}

typedef u32 Word __attribute__((vector_size(16), aligned(4)));  // what 4 bytes have seen

inline bool uniform(const u32* seen, u32 bytes) {
  typedef u64 Pair __attribute__((vector_size(16)));
  if (bytes % 4 == 0) {
    const Word* words = reinterpret_cast<const Word*>(seen);
    const Word first = Word{} + *seen;
    Word different = {};
    for (u32 i = 0; i < bytes / 4; ++i) different |= words[i] ^ first;
    const Pair halves = reinterpret_cast<Pair>(different);
    return !(halves[0] | halves[1]);
  }
  u32 different = 0;
  for (u32 i = 1; i < bytes; ++i) different |= seen[i] ^ seen[0];
  return !different;
}

inline void set(u32* seen, u32 bytes, u32 value) {
  if (bytes % 4 == 0)
    for (u32 i = 0; i < bytes / 4; ++i) reinterpret_cast<Word*>(seen)[i] = Word{} + value;
  else
    for (u32 i = 0; i < bytes; ++i) seen[i] = value;
}

// Bytes that have all seen the same, where nothing is wrong: decided once. False if it was not done.
__attribute__((always_inline)) inline bool touch_alike(u32* writers, u32* readers, u32 bytes, const Checked& a, const Cta* cta) {
  if (!uniform(writers, bytes) || !uniform(readers, bytes)) return false;
  const u32 writer = *writers, list = *readers;
  if ((!writer && ((cta && !a.writes) || a.atomic)) || race_with_writer(writer, a) || conflict_in(list, a)) return false;
  if (a.writes && !a.atomic) {
    set(writers, bytes, a.id);
    if (list) set(readers, bytes, 0);
  } else {
    const u32 longer = with_reader(list, a);
    if (longer != list) set(readers, bytes, longer);
  }
  return true;
}

void touch_rows(u32* writers, u32* readers, u32 bytes, const Checked& a, Spot spot);

// An access of consecutive bytes; `writers` and `readers` are what they have seen.
inline void touch(u32* writers, u32* readers, u32 bytes, const Checked& a, Spot spot) {
  const bool usual = bytes == 16 ? touch_alike(writers, readers, 16, a, spot.cta)
                     : bytes == 4 && touch_alike(writers, readers, 4, a, spot.cta);
  if (!usual) touch_rows(writers, readers, bytes, a, spot);
}

}  // namespace tds

#endif
