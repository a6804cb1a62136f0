// Global memory: what a group has done to it, page by page, and races between groups, which nothing orders.
#include <algorithm>
#include <cstring>

#include "shadow.h"

namespace tds {

#if TDS_CHECKED

static Page& page_of(Detector& d, u64 number) {
  if (number == d.last_page) return *d.last;
  const auto entry = d.page_numbers.emplace(number, d.pages_used);
  if (entry.second) {
    if (d.pages_used == d.pages.size()) d.pages.push_back(std::make_unique<Page>());
    Page& fresh = *d.pages[d.pages_used++];
    memset(&fresh, 0, sizeof fresh);
    fresh.number = number;
  }
  d.last_page = number;
  d.last = d.pages[entry.first->second].get();
  return *d.last;
}

static bool is_written(u64 address) {
  for (const Memory& m : worker->launch->buffers)
    if (m.written && address - reinterpret_cast<u64>(m.begin) < m.size) return true;
  return false;
}

void touch_global(const void* p, u32 bytes, u32 id, const Knower& who) {
  u64 address = reinterpret_cast<u64>(p);
  if (!is_written(address)) return;
  Detector& d = *worker->detector;
  const Checked a = checked(id, who);
  d.global_reads |= !a.writes || a.atomic;
  while (bytes) {
    const u32 inside = static_cast<u32>(address % PAGE_BYTES);
    const u32 n = bytes < PAGE_BYTES - inside ? bytes : PAGE_BYTES - inside;
    Page& page = page_of(d, address / PAGE_BYTES);
    touch(page.cells, inside, n, a, Spot{nullptr, address});
    address += n;
    bytes -= n;
  }
}

// ---- what other groups could be in a race with

enum class Touch : u8 { READ, ATOMIC_READ, ATOMIC, WRITE };

// Bytes [begin, end) that were touched at one site, `unit` bytes by each thread; the k-th unit by thread first + k * step.
struct Interval {
  u64 begin, end;
  Touch touch;
  Kind kind;
  Site at;
  u32 first;
  i32 step;
  u32 unit;
};

struct GroupSummary {
  std::vector<Interval> intervals;
};

class Summary {
 public:
  explicit Summary(std::vector<Interval>& to) : intervals(to) {}

  void add(u64 address, u32 bytes, Touch touch, const Event& e) {
    Interval& r = run;
    if (r.end == address && r.begin != r.end && r.touch == touch && r.first == e.thread && r.at.line == e.at.line &&
        r.at.file == e.at.file) {
      r.end += bytes;
      return;
    }
    flush();
    run = Interval{address, address + bytes, touch, e.kind, e.at, e.thread, 0, 0};
  }

  // Ends the run of bytes of one thread, which may go on the interval before it.
  void flush() {
    if (run.begin == run.end) return;
    run.unit = static_cast<u32>(run.end - run.begin);
    if (!continues()) intervals.push_back(run);
    run.begin = run.end;
  }

 private:
  bool continues() {
    if (intervals.empty()) return false;
    Interval& last = intervals.back();
    if (last.end != run.begin || last.touch != run.touch || last.unit != run.unit || last.at.line != run.at.line ||
        last.at.file != run.at.file)
      return false;
    const i32 count = static_cast<i32>((last.end - last.begin) / last.unit);
    const i32 distance = static_cast<i32>(run.first) - static_cast<i32>(last.first);
    if (count == 1) last.step = distance;
    if (last.step * count != distance) return false;
    last.end = run.end;
    return true;
  }

  std::vector<Interval>& intervals;
  Interval run = {};
};

static Touch touch_of(const Event& e) {
  if (!(e.flags & ATOMICALLY)) return e.flags & WRITES ? Touch::WRITE : Touch::READ;
  return e.flags & WRITES ? Touch::ATOMIC : Touch::ATOMIC_READ;
}

// What a plain write has touched, others need not know of anything else.
static void summarise(const Detector& d, Cell seen, u64 address, u32 bytes, Touch wanted, Summary& to) {
  if (seen.writer) {
    const Event& writer = d.events[seen.writer];
    if (touch_of(writer) == wanted) to.add(address, bytes, wanted, writer);
    if (touch_of(writer) == wanted || touch_of(writer) == Touch::WRITE) return;
  }
  for (u32 r = seen.readers; r; r = d.lists[r].parent) {
    const Event& e = d.events[d.lists[r].event];
    if (touch_of(e) == wanted) return to.add(address, bytes, wanted, e);
  }
}

// One sweep for each way to touch a byte: only then neighbours continue each other.
static void summarise(const Detector& d, const std::vector<const Page*>& pages, Touch wanted, Summary& to) {
  for (const Page* page : pages) {
    for (u32 i = 0; i < PAGE_BYTES / 4; ++i) {
      const Cell cell = page->cells[i];
      const u64 address = page->number * PAGE_BYTES + 4 * i;
      if (cell.writer != SPLIT) {
        summarise(d, cell, address, 4, wanted, to);
        continue;
      }
      for (u32 b = 0; b < 4; ++b) summarise(d, d.splits[cell.readers].bytes[b], address + b, 1, wanted, to);
    }
  }
  to.flush();
}

void end_detector() {
  Launch& l = *worker->launch;
  Detector& d = *worker->detector;
  if (l.num_groups == 1 || !l.compares_groups || !d.pages_used) return;
  std::vector<const Page*> pages;
  for (u32 i = 0; i < d.pages_used; ++i) pages.push_back(d.pages[i].get());
  std::sort(pages.begin(), pages.end(), [](const Page* a, const Page* b) { return a->number < b->number; });
  auto summary = std::make_unique<GroupSummary>();
  for (const Touch touch : {Touch::READ, Touch::ATOMIC_READ, Touch::ATOMIC, Touch::WRITE}) {
    if (touch != Touch::WRITE && !d.global_reads) continue;
    Summary to(summary->intervals);
    summarise(d, pages, touch, to);
  }
  std::lock_guard<std::mutex> lock(l.mutex);
  l.summaries[worker->group] = std::move(summary);
}

// ---- between groups

struct Touched {
  u64 group;
  const Interval* interval;
};

static bool conflict(Touch a, Touch b) {
  if (a == Touch::WRITE || b == Touch::WRITE) return true;
  return (a == Touch::ATOMIC && b == Touch::READ) || (a == Touch::READ && b == Touch::ATOMIC);
}

static int thread_at(const Launch& l, const Interval& i, u64 address, u64 group, int* block) {
  const i64 number = static_cast<i64>(i.first) + static_cast<i64>((address - i.begin) / i.unit) * i.step;
  block_of(l, group, static_cast<u32>(number / l.threads), block);
  return static_cast<int>(number % l.threads);
}

static void add_race(const Launch& l, const Touched& a, const Touched& b, std::vector<Finding>& to) {
  // The one that reads comes first, else the one of the later block.
  const bool swap = b.interval->touch < a.interval->touch || (b.interval->touch == a.interval->touch && b.group > a.group);
  const Touched& subject = swap ? b : a;
  const Touched& other = swap ? a : b;
  const u64 address = std::max(a.interval->begin, b.interval->begin);
  Finding f;
  f.code = 814;
  f.at = subject.interval->at;
  f.other_at = other.interval->at;
  f.thread = thread_at(l, *subject.interval, address, subject.group, f.block);
  f.other_thread = thread_at(l, *other.interval, address, other.group, f.other_block);
  for (const Memory& m : l.buffers) {
    const u64 offset = address - reinterpret_cast<u64>(m.begin);
    if (offset >= m.size) continue;
    f.facts.push_back({"buffer", m.name});
    f.facts.push_back({"offset", std::to_string(offset)});
    break;
  }
  f.facts.push_back({"access", KINDS[static_cast<int>(subject.interval->kind)].name});
  f.facts.push_back({"other_access", KINDS[static_cast<int>(other.interval->kind)].name});
  add_finding(to, f);
}

// Sweeps over all intervals by address. `open` are those that reach beyond the present one, by how they touch.
void compare_groups(Launch& l) {
  if (!l.keep_going && l.first_failed != ~0ull) return;
  std::vector<Touched> all;
  for (const auto& s : l.summaries)
    for (const Interval& i : s.second->intervals) all.push_back(Touched{s.first, &i});
  std::stable_sort(all.begin(), all.end(),
                   [](const Touched& a, const Touched& b) { return a.interval->begin < b.interval->begin; });
  std::vector<Touched> open[4];
  std::vector<Finding> found;
  u64 races = 0;
  constexpr u64 ENOUGH = 100000;
  for (const Touched& t : all) {
    for (int touch = 0; touch < 4 && races < ENOUGH; ++touch) {
      if (!conflict(static_cast<Touch>(touch), t.interval->touch)) continue;
      std::vector<Touched>& others = open[touch];
      size_t kept = 0;
      for (const Touched& o : others) {
        if (o.interval->end <= t.interval->begin) continue;
        others[kept++] = o;
        if (o.group != t.group && ++races) add_race(l, o, t, found);
      }
      others.resize(kept);
    }
    open[static_cast<int>(t.interval->touch)].push_back(t);
  }
  if (!found.empty()) l.findings[l.num_groups] = found;
}

#else

struct GroupSummary {};

#endif

Launch::Launch() = default;
Launch::~Launch() = default;

}  // namespace tds
