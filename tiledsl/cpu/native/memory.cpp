// Accesses to shared and global memory, asynchronous copies, checks of the program's own.
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "runtime.h"

namespace tds {

static std::string number(i64 x) { return std::to_string(x); }

#if TDS_CHECKED
static void check_state(Fiber* f, u32 offset, u32 bytes, int access, Site at) {
  Byte* state = &worker->state[offset];
  for (u32 i = 0; i < bytes; ++i) {
    if (state[i] == Byte::IN_FLIGHT)
      fail(805, at, fact("offset", number(offset + i)) + fact("where", where()));
    if (state[i] == Byte::UNWRITTEN && access != WRITE)
      fail(803, at, fact("offset", number(offset + i)) + fact("where", where()));
  }
  if (access != READ) memset(state, static_cast<int>(Byte::WRITTEN), bytes);
  (void)f;
}
#endif

void check_shared(Fiber* f, u32 offset, u32 bytes, int access, Site at) {
  if (static_cast<u64>(offset) + bytes > f->shared_size) {
    const i64 index = static_cast<i32>(offset);
    fail(802, at, fact("buffer", "shared memory") + fact("what", "the byte offset") + fact("index", number(index)) +
                      fact("extent", number(static_cast<i64>(f->shared_size))) + fact("where", where()));
  }
  if (offset & (bytes - 1))
    fail(806, at, fact("buffer", "shared memory") + fact("bytes", number(bytes)) + fact("offset", number(offset)) +
                      fact("where", where()));
#if TDS_CHECKED
  check_state(f, offset, bytes, access, at);
#else
  (void)access;
#endif
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
  fail(802, at, fact("buffer", nearest ? nearest->name : "global memory") + fact("what", "the byte offset") +
                    fact("index", number(nearest ? p - nearest->begin : reinterpret_cast<i64>(p))) +
                    fact("extent", number(nearest ? static_cast<i64>(nearest->size) : 0)) + fact("where", where()));
}

}  // namespace tds

using namespace tds;

extern "C" char* tds_rt_shared(u32 address, int bytes, int access, Site at) {
  Fiber* f = self();
  f->at = at;
  check_shared(f, address - SHARED_BASE, static_cast<u32>(bytes), access, at);
  return f->shared + (address - SHARED_BASE);
}

extern "C" char* tds_rt_global(const void* pointer, int bytes, int access, Site at) {
  Fiber* f = self();
  f->at = at;
  char* p = static_cast<char*>(const_cast<void*>(pointer));
  if (p >= f->shared && p < f->shared + f->shared_size)  // an atomic update through a generic pointer
    return tds_rt_shared(static_cast<u32>(p - f->shared) + SHARED_BASE, bytes, access, at);
  const Memory* m = containing(p, static_cast<u64>(bytes));
  if (!m) out_of_bounds(p, at);
  if (reinterpret_cast<u64>(p) & static_cast<u64>(bytes - 1))
    fail(806, at, fact("buffer", m->name) + fact("bytes", number(bytes)) + fact("offset", number(p - m->begin)) +
                      fact("where", where()));
  f->hot_begin = reinterpret_cast<u64>(m->begin);
  f->hot_size = m->size;
  return p;
}

extern "C" void tds_rt_bad_register(i64 index, int size, Site at) {
  fail(802, at, fact("buffer", "registers") + fact("what", "the index") + fact("index", number(index)) +
                    fact("extent", number(size)) + fact("where", where()));
}

// ---- asynchronous copies. In the modes late and random the destination holds NaNs until the wait.

extern "C" void tds_rt_cp_async(u32 to, const void* from, int bytes, int valid, Site at) {
  Fiber* f = self();
  f->at = at;
  const u32 offset = to - SHARED_BASE, size = static_cast<u32>(bytes);
  check_shared(f, offset, size, WRITE, at);
  const char* source = valid ? tds_rt_global(from, bytes, READ, at) : nullptr;
  Copy c{offset, size, source, f->groups, false, at};
  const Mode mode = worker->launch->mode;
  if (mode == Mode::EARLY || (mode == Mode::RANDOM && (next_random() & 1)))
    land(f, c);
  else
    memset(f->shared + offset, 0xff, size);
#if TDS_CHECKED
  memset(static_cast<void*>(&worker->state[offset]), static_cast<int>(Byte::IN_FLIGHT), size);
#else
  if (c.landed) return;
#endif
  f->copies.push_back(c);
}

extern "C" void tds_rt_cp_async_commit() { ++self()->groups; }

extern "C" void tds_rt_cp_async_wait(int pending) {
  Fiber* f = self();
  size_t kept = 0;
  for (Copy& c : f->copies) {
    if (c.group + static_cast<u64>(pending) < f->groups) {
      land(f, c);
#if TDS_CHECKED
      memset(static_cast<void*>(&worker->state[c.offset]), static_cast<int>(Byte::WRITTEN), c.bytes);
#endif
    } else {
      f->copies[kept++] = c;
    }
  }
  f->copies.resize(kept);
}

// ---- checks and output

extern "C" void tds_rt_check_failed(const char* message, int assumed, Site at) {
  fail(assumed ? 810 : 809, at, fact("message", message) + fact("where", where()));
}

extern "C" void tds_rt_print(const char* format, ...) {
  char line[1024];
  __builtin_va_list values;
  __builtin_va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  __builtin_va_end(values);
  worker->output += line;
}
