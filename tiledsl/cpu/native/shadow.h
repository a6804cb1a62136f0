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

// A word whose bytes have not all seen the same has this writer, and a number in `Detector::splits` as its readers.
constexpr u32 SPLIT = ~0u;
struct SplitWord {
  Cell bytes[4];
};

constexpr u32 PAGE_BYTES = 256;
struct Page {
  u64 number;  // address / PAGE_BYTES
  Cell cells[PAGE_BYTES / 4];
};

struct Detector {
  struct Transition {
    u32 list, event, result;
  };
  static constexpr u32 TRANSITIONS = 8192;

  std::vector<Event> events;      // 0 is nothing
  std::vector<ReaderList> lists;  // 0 is empty
  std::vector<SplitWord> splits;
  std::vector<u32> unused_splits;
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

inline Cell after(Cell seen, const Checked& a) {
  if (a.writes && !a.atomic) return Cell{a.id, 0};
  if (a.writes && !seen.writer) return Cell{a.id, seen.readers};
  return Cell{seen.writer, with_reader(seen.readers, a)};
}

// Words that have all seen the same, where nothing is wrong: decided once. False if it was not done.
template <u32 WORDS>
__attribute__((always_inline)) inline bool touch_alike(Cell* cells, const Checked& a, const Cta* cta) {
  u64 different = 0, words[WORDS];
  __builtin_memcpy(words, cells, sizeof words);
  for (u32 i = 1; i < WORDS; ++i) different |= words[i] ^ words[0];
  const Cell seen = *cells;
  if (different || seen.writer == SPLIT || (!seen.writer && cta && (!a.writes || a.atomic))) return false;
  if (race_with_writer(seen.writer, a) || conflict_in(seen.readers, a)) return false;
  const Cell now = after(seen, a);
  for (u32 i = 0; i < WORDS; ++i) cells[i] = now;
  return true;
}

void touch_words(Cell* cells, u32 offset, u32 bytes, const Checked& a, Spot spot);

// An access of consecutive bytes from `offset` on, of the memory that begins with `cells`.
inline void touch(Cell* cells, u32 offset, u32 bytes, const Checked& a, Spot spot) {
  Cell* first = cells + offset / 4;
  const bool aligned = offset % 4 == 0;
  if (bytes == 16 && aligned && touch_alike<4>(first, a, spot.cta)) return;
  if (bytes == 4 && aligned && touch_alike<1>(first, a, spot.cta)) return;
  touch_words(cells, offset, bytes, a, spot);
}

}  // namespace tds

#endif
