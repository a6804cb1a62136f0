// Accesses to shared and global memory, asynchronous copies, checks of the program's own.
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "shadow.h"
#include "observer.h"

namespace tds {

void check_shared_bounds(Cta&, u32 offset, u32 bytes, Site at) {
  const u32 size = worker->launch->shared_bytes;
  if (static_cast<u64>(offset) + bytes > size) {
    const i64 index = static_cast<i32>(offset);
    fail(802, at, {{"buffer", "shared memory"}, {"what", "the byte offset"}, {"index", number(index)},
                   {"extent", number(size)}, {"where", where()}});
  }
  if (offset & (bytes < 16 ? bytes - 1 : 15)) {
    Facts facts;
    add_place(facts, *worker->launch, offset);
    facts.insert(facts.end(), {{"bytes", number(bytes)}, {"where", where()}});
    fail(806, at, facts);
  }
}

void check_shared(Fiber* f, Cta& cta, u32 offset, u32 bytes, int access, Kind kind, Site at) {
  check_shared_bounds(cta, offset, bytes, at);
#if TDS_CHECKED
  if (access == ADDRESS) return;
  const bool atomic = kind == Kind::ATOMIC;
  const bool reads = access == READ || access == ATOMIC_READ;
  const u8 flags = static_cast<u8>((reads ? 0 : WRITES) | (atomic ? ATOMICALLY : 0));
  const Checked a = checked(event_of(f, kind, flags, at), knower(f));
  touch(cta.shadow.data(), offset, bytes, a, Spot{&cta, offset});
#else
  (void)f, (void)access, (void)kind;
#endif
}

Cta& owner_of(u32 address, u32& offset) {
  Fiber* f = self();
  const u32 rank = address >> 24;
  offset = (address & 0xffffffu) - SHARED_BASE;
  if (!rank) {
    offset = address - SHARED_BASE;
    return *f->cta;
  }
  if (rank - 1 < worker->ctas.size()) return *worker->ctas[rank - 1];
  offset = address - SHARED_BASE;  // nobody's: out of bounds
  return *f->cta;
}

// Data of a copy arrives.
void land(Fiber* f, Copy& c) {
  if (c.landed) return;
  c.landed = true;
  if (c.from)
    memcpy(f->shared + c.offset, c.from, c.bytes);
  else
    memset(f->shared + c.offset, 0, c.bytes);
}

static const Memory* containing(const char* p, u64 bytes) {
  for (const Memory& m : worker->launch->buffers)
    if (p >= m.begin && p + bytes <= m.begin + m.size) return &m;
  return nullptr;
}

[[noreturn]] static void out_of_bounds(const char* p, Site at) {
  const Memory* nearest = nullptr;
  u64 least = ~0ull;
  for (const Memory& m : worker->launch->buffers) {
    const u64 distance = p < m.begin ? static_cast<u64>(m.begin - p) : static_cast<u64>(p - m.begin) - m.size;
    if (distance < least) least = distance, nearest = &m;
  }
  fail(802, at, {{"buffer", nearest ? nearest->name : "global memory"},
                 {"what", "the byte offset"},
                 {"index", number(nearest ? p - nearest->begin : reinterpret_cast<i64>(p))},
                 {"extent", number(nearest ? static_cast<i64>(nearest->size) : 0)},
                 {"where", where()}});
}

const Memory& check_global_bounds(const void* pointer, u32 bytes, u32 alignment, Site at) {
  const char* p = static_cast<const char*>(pointer);
  const Memory* m = containing(p, bytes);
  if (!m) out_of_bounds(p, at);
  if (reinterpret_cast<u64>(p) & (alignment - 1))
    fail(806, at, {{"buffer", m->name}, {"bytes", number(bytes)}, {"offset", number(p - m->begin)}, {"where", where()}});
  return *m;
}

}  // namespace tds

using namespace tds;

extern "C" char* tds_rt_shared(u32 address, int bytes, int access, Site at) {
  Fiber* f = self();
  f->at = at;
  u32 offset;
  Cta& cta = owner_of(address, offset);
  check_shared(f, cta, offset, static_cast<u32>(bytes), access, access == READ ? Kind::LOAD : Kind::STORE, at);
  if (access != ADDRESS)
    on_shared(f, offset, static_cast<u32>(bytes), access == READ ? "load" : "store", at, TDS_CALLER(at));
  return cta.shared + offset;
}

static char* access_global(const void* pointer, int bytes, int access, const char* what, Site at, const void* caller) {
  Fiber* f = self();
  f->at = at;
  char* p = static_cast<char*>(const_cast<void*>(pointer));
  const u32 size = static_cast<u32>(bytes);
  const u64 distance = reinterpret_cast<u64>(p) - f->hot_begin;
  if (distance >= f->hot_size || distance + size > f->hot_size || (reinterpret_cast<u64>(p) & (size - 1))) {
    if (p >= f->shared && p < f->shared + f->shared_size)  // the user's own code, through a generic pointer
      return tds_rt_shared(static_cast<u32>(p - f->shared) + SHARED_BASE, bytes, access, at);
    const Memory& m = check_global_bounds(p, size, size, at);
    f->hot_begin = reinterpret_cast<u64>(m.begin);
    f->hot_size = m.size;
    f->hot_written = m.written;
  }
#if TDS_CHECKED
  if (f->hot_written) {
    const bool reads = access == READ;
    const u32 id = thread_event(f, reads ? Kind::LOAD : Kind::STORE, reads ? 0 : WRITES, at);
    touch_global(p, size, id, knower(f));
  }
#else
  (void)access;
#endif
  on_global(f, p, size, what, at, caller);
  return p;
}

extern "C" char* tds_rt_global(const void* pointer, int bytes, int access, Site at) {
  return access_global(pointer, bytes, access, access == READ ? "load" : "store", at, TDS_CALLER(at));
}

extern "C" void tds_rt_bad_register(i64 index, int size, Site at) {
  fail(802, at, {{"buffer", "registers"}, {"what", "the index"}, {"index", number(index)}, {"extent", number(size)},
                 {"where", where()}});
}

// ---- asynchronous copies. In the modes late and random the destination holds NaNs until the wait.

extern "C" void tds_rt_cp_async(u32 to, const void* from, int bytes, int valid, Site at) {
  Fiber* f = self();
  f->at = at;
  const u32 offset = to - SHARED_BASE, size = static_cast<u32>(bytes);
  check_shared_bounds(*f->cta, offset, size, at);
  const char* const what = bytes == 16 ? "cp_async_16" : bytes == 8 ? "cp_async_8" : "cp_async_4";
  const char* source = valid ? access_global(from, bytes, READ, what, at, TDS_CALLER(at)) : nullptr;
  on_copy(f, offset, size, at);
  on_shared(f, offset, size, what, at, TDS_CALLER(at));
  Copy c{offset, size, source, f->groups, false, at, 0};
#if TDS_CHECKED
  // Copies of one group and site share a record: they complete together.
  const bool again = !f->copies.empty() && f->copies.back().group == c.group && f->copies.back().at.line == at.line;
  c.event = again ? f->copies.back().event
                  : new_event(Event{at, f->number, f->number, 0, Kind::CP_ASYNC, WRITES | PENDING});
  touch_shared(*f->cta, offset, size, c.event, knower(f));
#endif
  const Mode mode = worker->launch->mode;
  if (mode == Mode::EARLY || (mode == Mode::RANDOM && (next_random() & 1)))
    land(f, c);
  else
    memset(f->shared + offset, 0xff, size);
#if !TDS_CHECKED
  if (c.landed) return;
#endif
  f->copies.push_back(c);
}

extern "C" void tds_rt_cp_async_commit() {
  ++self()->groups;
  may_yield();
}

extern "C" void tds_rt_cp_async_wait(int pending, Site at) {
  Fiber* f = self();
  on_copies_awaited(f, pending, at);
  size_t kept = 0;
  for (Copy& c : f->copies) {
    if (c.group + static_cast<u64>(pending) < f->groups) {
      land(f, c);
#if TDS_CHECKED
      complete_event(c.event, f->number, f->clock.own);
#endif
    } else {
      f->copies[kept++] = c;
    }
  }
  f->copies.resize(kept);
}

// ---- checks and output

extern "C" void tds_rt_check_failed(const char* message, int assumed, Site at) {
  fail(assumed ? 810 : 809, at, {{"message", message}, {"where", where()}});
}

extern "C" void tds_rt_print(const char* format, ...) {
  char line[1024];
  __builtin_va_list values;
  __builtin_va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  __builtin_va_end(values);
  worker->output += line;
}
