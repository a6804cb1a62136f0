// The record of one block in virtual time.
#include "record.h"

#if TDS_CHECKED

#include <algorithm>

namespace tds {

// ---- lanes

Recorder::Lane& Recorder::lane(const Fiber* f) {
  const u32 index = static_cast<u32>(f->index);
  if (index >= lanes.size()) {
    lanes.resize(worker->launch->threads);
    in_flight.resize(worker->launch->threads);
  }
  return lanes[index];
}

u32 Recorder::warp_of(const Fiber* f) const { return static_cast<u32>(f->index) / LANES; }

// Equal things in a row are one run.
void Recorder::append(Lane& l, Run run) {
  if (!l.runs.empty()) {
    Run& last = l.runs.back();
    if (last.kind == run.kind && last.at.line == run.at.line && last.what == run.what && last.buffer == run.buffer &&
        last.stage == run.stage && last.end == run.start && last.text == run.text) {
      last.end = run.end;
      last.bytes += run.bytes;
      return;
    }
  }
  l.runs.push_back(std::move(run));
}

void Recorder::operate(const Fiber* f, Happening kind, const char* what, Site at, u64 ticks) {
  Lane& l = lane(f);
  append(l, Run{kind, at, what, "", NO_BUFFER, NO_STAGE, l.clock, l.clock + ticks, 0});
  l.clock += ticks;
}

void Recorder::access(const Fiber* f, Place place, u32 offset, u32 buffer, u32 bytes, const char* what, Site at) {
  Lane& l = lane(f);
  const int stage = place == Place::SHARED ? stage_of(*worker->launch, buffer, offset) : NO_STAGE;
  // Buffers of the two memories are numbered apart.
  const u32 named = place == Place::SHARED || buffer == NO_BUFFER ? buffer : buffer | GLOBAL_BUFFER;
  append(l, Run{Happening::COMPUTE, at, what, "", named, stage, l.clock, l.clock + 1, bytes});
  ++l.clock;
}

void Recorder::wait(const Fiber* f, const std::string& what, u64 until, Site at) {
  Lane& l = lane(f);
  if (until <= l.clock) return;
  append(l, Run{Happening::WAIT, at, "", what, NO_BUFFER, NO_STAGE, l.clock, until, 0});
  l.clock = until;
}

// ---- warps

// The busiest lane stands for the warp; bytes are those of all lanes that did the same.
void Recorder::settle(const Warp& w) {
  const Fiber* busiest = nullptr;
  for (const Fiber* f : w.fibers)
    if (f && (!busiest || lane(f).clock > lane(busiest).clock)) busiest = f;
  for (const Run& run : lane(busiest).runs) {
    LogEntry e(run.kind, static_cast<int>(warp_of(busiest)), run.start, run.end, run.at);
    e.what = run.kind == Happening::WAIT ? run.text : run.what;
    const Place place = run.buffer & GLOBAL_BUFFER ? Place::GLOBAL : Place::SHARED;
    if (run.buffer != NO_BUFFER)
      e.buffer = buffer_name(*worker->launch, place, run.buffer & ~GLOBAL_BUFFER);
    e.stage = run.stage;
    for (const Fiber* f : w.fibers) {
      if (!f) continue;
      for (const Run& other : lane(f).runs)
        if (other.start == run.start && other.what == run.what && other.at.line == run.at.line) e.bytes += other.bytes;
    }
    events.push_back(std::move(e));
  }
  for (const Fiber* f : w.fibers)
    if (f) lane(f).runs.clear();
}

// Equal operations of a warp in a row are one event.
void Recorder::extend_or_add(LogEntry e) {
  const auto previous = latest.find(e.lane);
  if (previous != latest.end()) {
    LogEntry& last = events[previous->second];
    if (last.kind == e.kind && last.end == e.start && last.at.line == e.at.line &&
        last.what == e.what && last.buffer == e.buffer && last.stage == e.stage) {
      last.end = e.end;
      last.bytes += e.bytes;
      return;
    }
  }
  latest[e.lane] = events.size();
  events.push_back(std::move(e));
}

void Recorder::rows(u32 offset, u32 buffer, u32 bytes, const char* what) {
  matrices = what;
  matrix_buffer = buffer;
  matrix_stage = stage_of(*worker->launch, buffer, offset);
  matrix_bytes = bytes;
}

void Recorder::meet(const Warp& w) {
  settle(w);
  u64 start = 0;
  for (const Fiber* f : w.fibers)
    if (f) start = std::max(start, lane(f).clock);
  LogEntry e(Happening::COLLECTIVE, static_cast<int>(warp_of(w.fibers[0])), start, start + 1, w.at);
  e.what = matrices ? matrices : w.what;
  if (matrices) {
    e.buffer = buffer_name(*worker->launch, Place::SHARED, matrix_buffer);
    e.stage = matrix_stage;
    e.bytes = matrix_bytes;
    matrices = nullptr;
  }
  extend_or_add(std::move(e));
  for (const Fiber* f : w.fibers)
    if (f) lane(f).clock = start + 1;
}

void Recorder::barrier(const Fiber* last, const Waiters& waiting, int id, Site at) {
  std::vector<const Fiber*> all(waiting.fibers.begin(), waiting.fibers.end());
  if (last) all.push_back(last);
  std::vector<const Warp*> warps;
  u64 first = ~0ull, latest = 0;
  for (const Fiber* f : all) {
    first = std::min(first, lane(f).clock);
    latest = std::max(latest, lane(f).clock);
    if (std::find(warps.begin(), warps.end(), f->warp) == warps.end()) warps.push_back(f->warp);
  }
  const std::string name = "barrier " + std::to_string(id);
  for (const Warp* w : warps) {
    settle(*w);
    u64 arrived = 0;
    for (const Fiber* f : all)
      if (f->warp == w) arrived = std::max(arrived, lane(f).clock);
    LogEntry e(Happening::WAIT, static_cast<int>(warp_of(w->fibers[0])), arrived, latest + 1, at);
    e.what = name;
    events.push_back(std::move(e));
  }
  phase(name, first, latest + 1, at);
  for (const Fiber* f : all) lane(f).clock = latest + 1;
}

void Recorder::phase(const std::string& name, u64 first, u64 last, Site at) {
  LogEntry e(Happening::PHASE, BARRIER_LANE, first, std::max(last, first + 1), at);
  e.what = name;
  events.push_back(std::move(e));
}

// ---- copies

// Copies of one group, line, buffer and stage are one event, whoever issued them.
u64 Recorder::copy(const Fiber* f, u32 offset, u32 bytes, const char* what, Site at, bool in_group) {
  const Launch& l = *worker->launch;
  const u32 buffer = shared_buffer(l, offset);
  const int stage = stage_of(l, buffer, offset);
  const u64 issued = lane(f).clock, complete = issued + latency;
  const std::string name = buffer_name(l, Place::SHARED, buffer);
  // What has no group is an event of its own.
  const u64 group = in_group ? f->groups : ~u64{0} - events.size();
  const auto found = copies.emplace(std::make_tuple(at.file, at.line, name, stage, group), events.size());
  if (found.second) {
    LogEntry e(Happening::COPY, COPY_LANE, issued, complete, at);
    e.what = what;
    e.buffer = name;
    e.stage = stage;
    e.warp = warp_of(f);
    events.push_back(std::move(e));
  }
  LogEntry& e = events[found.first->second];
  e.start = std::min(e.start, issued);
  e.end = std::max(e.end, complete);
  e.bytes += bytes;
  if (e.warp != static_cast<long long>(warp_of(f))) e.warp = -1;
  if (in_group) in_flight[static_cast<u32>(f->index)].push_back(Flight{f->groups, found.first->second, complete});
  return complete;
}

void Recorder::copies_awaited(const Fiber* f, int pending, Site at) {
  const u64 now = lane(f).clock;
  u64 until = now;
  std::vector<Flight>& flights = in_flight[static_cast<u32>(f->index)];
  size_t kept = 0;
  for (const Flight& c : flights) {
    if (c.group + static_cast<u64>(pending) < f->groups) {
      long long& needed = events[c.event].needed;
      if (needed < 0 || static_cast<long long>(now) < needed) needed = static_cast<long long>(now);
      until = std::max(until, c.complete);
    } else {
      flights[kept++] = c;
    }
  }
  flights.resize(kept);
  wait(f, "wait for copies", until, at);
}

// ---- text

void Recorder::finish() {
  for (const Warp& w : worker->warps)
    if (w.fibers[0] && watches(w.fibers[0])) settle(w);
}

// One event a line: kind, lane, start, end, file, line, buffer, stage, text, bytes, warp, needed.
std::string text_of(const Recorder& r) {
  std::string text;
  for (const LogEntry& e : r.events) {
    const std::string fields[] = {std::to_string(static_cast<int>(e.kind)), std::to_string(e.lane),
                                  std::to_string(e.start),                  std::to_string(e.end),
                                  e.at.file ? e.at.file : "",               std::to_string(e.at.line),
                                  e.buffer,                                 std::to_string(e.stage),
                                  e.what,                                   std::to_string(e.bytes),
                                  std::to_string(e.warp),                   std::to_string(e.needed)};
    for (const std::string& field : fields) text += field + '\x1f';
    text.back() = '\n';
  }
  return text;
}

}  // namespace tds

#endif
