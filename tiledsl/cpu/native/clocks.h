// Vector clocks: what each thread knows of the past of all others.
//
// An entry counts the releases of one agent (a thread, or hardware that works beside the threads). Vectors never change
// once they are shared, so threads that know the same hold the same vector: after a barrier of the whole block that is
// all of them, and a barrier of T threads costs O(T). The own entry of a thread is kept beside its vector.
#pragma once

#include <vector>

#include "types.h"

namespace tds {

struct Vector {
  u32 references;
  u32 size;
  u64 serial;  // differs between any two vectors that ever were
  Vector* next;
  u32 values[1];  // `size` of them
};

// The vectors of one worker.
class Clocks {
 public:
  void resize(u32 agents);  // from now on vectors have `agents` entries
  Vector* fresh();          // with one reference and unset values
  void release(Vector* v);
  Vector* joined(Vector* a, Vector* b);  // the greater of each entry, with a reference more
  Vector* amended(Vector* v, const u32* agents, const u32* values, u32 count);  // a copy with entries raised

  u32 size = 0;
  const u32* nothing() const { return zeros.data(); }  // a vector's values when nothing is known
  u64 work = 0;  // entries that were read or written so far

 private:
  struct Memo {
    u64 a, b, serial;
    Vector* result;
  };
  static constexpr u32 MEMOS = 1024;
  std::vector<u32> zeros;
  std::vector<Memo> memos;
  Vector* unused = nullptr;
  u64 serials = 0;
};

extern thread_local Clocks* clocks;  // of the worker

// A counted reference to a vector; null: nothing is known.
class Known {
 public:
  Known() = default;
  explicit Known(Vector* owned) : vector(owned) {}
  Known(const Known& o) : vector(o.vector) {
    if (vector) ++vector->references;
  }
  Known& operator=(const Known& o) {
    if (vector == o.vector) return *this;
    if (o.vector) ++o.vector->references;
    drop();
    vector = o.vector;
    return *this;
  }
  ~Known() { drop(); }

  const u32* values() const { return vector ? vector->values : clocks->nothing(); }
  bool operator==(const Known& o) const { return vector == o.vector; }
  void join(const Known& o) {
    if (vector == o.vector || !o.vector) return;
    if (!vector) {
      *this = o;
      return;
    }
    Vector* both = clocks->joined(vector, o.vector);
    drop();
    vector = both;
  }
  void raise(const u32* agents, const u32* values, u32 count) {
    if (!count) return;
    Vector* v = clocks->amended(vector, agents, values, count);
    drop();
    vector = v;
  }

 private:
  void drop() {
    if (vector && --vector->references == 0) clocks->release(vector);
    vector = nullptr;
  }
  Vector* vector = nullptr;
};

// What a thread knows: `known` of others, `own` of itself. Of it the async proxy sees the writes to shared memory of one
// part and those to global memory of another: fences say which.
struct Seen {
  Known others;
  u32 own = 0;
};
struct Clock {
  Known known;
  u32 own = 1;
  Seen shared, global;
};

// The join of what several agents know.
class Joined {
 public:
  void add(const Known& others) { known.join(others); }
  void add(u32 agent, u32 clock) {
    if (!clock) return;
    agents.push_back(agent);
    clocks.push_back(clock);
  }
  void add(const Joined& o) {
    known.join(o.known);
    agents.insert(agents.end(), o.agents.begin(), o.agents.end());
    clocks.insert(clocks.end(), o.clocks.begin(), o.clocks.end());
  }
  // Makes one vector of it, so that many can acquire it for O(1) each.
  void settle() {
    known.raise(agents.data(), clocks.data(), static_cast<u32>(agents.size()));
    agents.clear();
    clocks.clear();
  }

  Known known;  // complete after settle()

 private:
  std::vector<u32> agents, clocks;
};

// What arrives at a barrier, a flag in memory, ..., for those who wait there.
struct Gathered {
  Joined known, shared, global;

  // The past of a thread. Its next step has to be counted: `release` in detector.h does.
  void add(u32 agent, const Clock& c) {
    known.add(c.known);
    known.add(agent, c.own);
    shared.add(c.shared.others);
    shared.add(agent, c.shared.own);
    global.add(c.global.others);
    global.add(agent, c.global.own);
  }
  void add(const Gathered& o) {
    known.add(o.known);
    shared.add(o.shared);
    global.add(o.global);
  }
  // That agent's step has been completed, and the async proxy sees what it wrote, which is in shared memory.
  void add(u32 agent, u32 clock) {
    known.add(agent, clock);
    shared.add(agent, clock);
  }
  // The same, but the async proxy sees only what has come by itself: cp.async writes as threads do.
  void add_unseen(u32 agent, u32 clock) { known.add(agent, clock); }
  void settle() {
    known.settle();
    shared.settle();
    global.settle();
  }
  void clear() { *this = Gathered(); }
};

}  // namespace tds
