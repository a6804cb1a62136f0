// Events, what each byte has seen, and the verdict on each access.
#include "detector.h"

#include <cstring>

#include "shadow.h"

#if TDS_CHECKED

namespace tds {

// ---- events

u32 new_event(const Event& e) {
  std::vector<Event>& events = worker->detector->events;
  events.push_back(e);
  return static_cast<u32>(events.size() - 1);
}

Event& event(u32 id) { return worker->detector->events[id]; }

u32 thread_event(Fiber* f, Kind kind, u8 flags, Site at) { return event_of(f, kind, flags, at); }

void complete_event(u32 id, u32 agent, u32 clock) {
  Event& e = event(id);
  e.agent = agent;
  e.clock = clock;
  e.flags = static_cast<u8>(e.flags & ~PENDING);
}

u32 extra_agent(const Cta& cta, u32 index) {
  return static_cast<u32>(worker->ctas.size()) * worker->launch->threads + cta.rank * EXTRA_AGENTS + index;
}

Knower common_knower(Fiber* const* fibers, u32 count, std::vector<u32>& space) {
  bool same = count > 1;
  for (u32 i = 1; i < count; ++i)
    same &= fibers[i]->clock.known == fibers[0]->clock.known && fibers[i]->clock.shared.others == fibers[0]->clock.shared.others;
  if (count == 1) return knower(fibers[0]);
  if (same) return Knower{fibers[0]->clock.known.values(), fibers[0]->clock.shared.others.values(), NOBODY, 0, 0};
  const u32 n = worker->clocks.size;
  space.assign(2 * n, ~0u);
  u32* known = space.data();
  u32* visible = known + n;
  for (u32 i = 0; i < count; ++i) {
    const Knower k = knower(fibers[i]);
    const u32 others = known[k.agent], others_visible = visible[k.agent];
    for (u32 a = 0; a < n; ++a) {
      known[a] = known[a] < k.known[a] ? known[a] : k.known[a];
      visible[a] = visible[a] < k.visible[a] ? visible[a] : k.visible[a];
    }
    known[k.agent] = others < k.own ? others : k.own;
    visible[k.agent] = others_visible < k.own_visible ? others_visible : k.own_visible;
  }
  return Knower{known, visible, NOBODY, 0, 0};
}

// ---- lists of readers

// When a list has grown to a power of two: without what is ordered before the newcomer (later conflicts with it would
// be conflicts with the newcomer), and with the newest of each agent only.
static u32 pruned(u32 list, const Checked& a) {
  Detector& d = *worker->detector;
  std::vector<u32> kept;
  ++d.prunings;
  for (u32 i = list; i; i = d.lists[i].parent) {
    const Event& e = d.events[d.lists[i].event];
    const bool atomic = (e.flags & ATOMICALLY) != 0;
    const u32 clock = e.agent == a.who.agent ? a.who.own : a.who.known[e.agent];
    if (atomic == a.atomic && !(e.flags & PENDING) && clock >= e.clock) continue;
    u32& seen = d.seen_agents[2 * e.agent + atomic];
    if (!(e.flags & PENDING)) {
      if (seen == d.prunings) continue;
      seen = d.prunings;
    }
    kept.push_back(d.lists[i].event);
  }
  u32 result = 0;
  for (size_t i = kept.size(); i-- > 0;) {
    const bool atomic = (d.events[kept[i]].flags & ATOMICALLY) != 0;
    const ReaderList rest = d.lists[result];
    d.lists.push_back(ReaderList{result, kept[i], rest.length + 1, rest.atomics || atomic, rest.plain || !atomic});
    result = static_cast<u32>(d.lists.size() - 1);
  }
  return result;
}

u32 longer_list(u32 list, const Checked& a) {
  Detector& d = *worker->detector;
  u32 rest = list;
  const u32 length = d.lists[list].length;
  if (length >= 64 && !(length & (length - 1))) rest = pruned(list, a);
  const ReaderList r = d.lists[rest];
  d.lists.push_back(ReaderList{rest, a.id, r.length + 1, r.atomics || a.atomic, r.plain || !a.atomic});
  return static_cast<u32>(d.lists.size() - 1);
}

// ---- reports

static void add_thread(Facts& facts, const char* key, const Event& e) {
  facts.push_back({key, std::to_string(worker->fibers[e.thread]->index)});
}

static void add_global_place(Facts& facts, u64 address) {
  for (const Memory& m : worker->launch->buffers) {
    const u64 offset = address - reinterpret_cast<u64>(m.begin);
    if (offset >= m.size) continue;
    facts.push_back({"buffer", m.name});
    facts.push_back({"offset", std::to_string(offset)});
    return;
  }
}

// Which of the two accesses the report is about: not the asynchronous one, else the one that reads, else the later line.
static bool about_earlier(const Event& earlier, const Event& now) {
  if ((earlier.flags ^ now.flags) & PENDING) return (now.flags & PENDING) != 0;
  if ((earlier.flags ^ now.flags) & WRITES) return (now.flags & WRITES) != 0;
  if (earlier.at.line != now.at.line) return earlier.at.line > now.at.line;
  return earlier.thread > now.thread;
}

static int code_of(const Event& earlier, const Checked& a) {
  if (!unordered(earlier, a)) return 815;
  if (earlier.kind == Kind::CP_ASYNC) return earlier.flags & PENDING ? 805 : 804;
  return KINDS[static_cast<int>(earlier.kind)].code;
}

static void report_race(const Event& earlier, const Checked& a, Spot spot) {
  const bool swapped = about_earlier(earlier, *a.event);
  const Event& subject = swapped ? earlier : *a.event;
  const Event& other = swapped ? *a.event : earlier;
  const int code = code_of(earlier, a);
  if (count_again(code, subject.at, other.at)) return;
  const Fiber& first = *worker->fibers[subject.thread];
  const Fiber& second = *worker->fibers[other.thread];
  Finding f;
  f.code = code;
  f.at = subject.at;
  f.other_at = other.at;
  f.thread = first.index;
  f.other_thread = second.index;
  memcpy(f.block, first.block, sizeof f.block);
  memcpy(f.other_block, second.block, sizeof f.other_block);
  if (spot.cta)
    add_place(f.facts, *worker->launch, static_cast<u32>(spot.offset));
  else
    add_global_place(f.facts, spot.offset);
  f.facts.push_back({"access", KINDS[static_cast<int>(subject.kind)].name});
  f.facts.push_back({"other", KINDS[static_cast<int>(other.kind)].name});
  add_thread(f.facts, "thread", subject);
  add_thread(f.facts, "other_thread", other);
  report(std::move(f));
}

static void report_unwritten(const Checked& a, Spot spot) {
  if (count_again(803, a.event->at, Site{nullptr, 0})) return;
  const Fiber& f = *worker->fibers[a.event->thread];
  Finding found;
  found.code = 803;
  found.at = a.event->at;
  found.thread = f.index;
  memcpy(found.block, f.block, sizeof f.block);
  add_place(found.facts, *worker->launch, static_cast<u32>(spot.offset));
  report(std::move(found));
}

// ---- accesses

// Bytes `first` to `first + count` of a word, one by one, with reports.
static void touch_bytes(Cell& cell, u32 first, u32 count, const Checked& a, Spot spot) {
  Detector& d = *worker->detector;
  const bool split = cell.writer == SPLIT;
  const u32 number = cell.readers;
  SplitWord word = split ? d.splits[number] : SplitWord{{cell, cell, cell, cell}};
  for (u32 i = first; i < first + count; ++i, ++spot.offset) {
    const Cell seen = word.bytes[i];
    word.bytes[i] = after(seen, a);
    // What the byte before has seen too was reported there.
    if (i > first && seen == (split ? d.splits[number].bytes[i - 1] : cell)) continue;
    if (!seen.writer && spot.cta && (!a.writes || a.atomic)) report_unwritten(a, spot);
    if (const Event* e = race_with_writer(seen.writer, a))
      report_race(*e, a, spot);
    else if (const Event* reader = conflict_in(seen.readers, a))
      report_race(*reader, a, spot);
  }
  const Cell* b = word.bytes;
  if (b[0] == b[1] && b[1] == b[2] && b[2] == b[3]) {
    if (split) d.unused_splits.push_back(number);
    cell = b[0];
  } else if (split) {
    d.splits[number] = word;
  } else if (d.unused_splits.empty()) {
    cell = Cell{SPLIT, static_cast<u32>(d.splits.size())};
    d.splits.push_back(word);
  } else {
    cell = Cell{SPLIT, d.unused_splits.back()};
    d.unused_splits.pop_back();
    d.splits[cell.readers] = word;
  }
}

void touch_words(Cell* cells, u32 offset, u32 bytes, const Checked& a, Spot spot) {
  while (bytes) {
    Cell* const cell = cells + offset / 4;
    const u32 inside = offset % 4;
    u32 done = bytes < 4 - inside ? bytes : 4 - inside;
    if (done == 4 && bytes >= 16 && touch_alike<4>(cell, a, spot.cta))
      done = 16;
    else if (done != 4 || !touch_alike<1>(cell, a, spot.cta))
      touch_bytes(*cell, inside, done, a, spot);
    offset += done;
    bytes -= done;
    spot.offset += done;
  }
}

void touch_shared(Cta& cta, u32 offset, u32 bytes, u32 id, const Knower& who) {
  touch(cta.shadow.data(), offset, bytes, checked(id, who), Spot{&cta, offset});
}

u32 last_writer(const Cta& cta, u32 offset) {
  const Cell& cell = cta.shadow[offset / 4];
  return cell.writer == SPLIT ? worker->detector->splits[cell.readers].bytes[offset % 4].writer : cell.writer;
}

}  // namespace tds

#endif
