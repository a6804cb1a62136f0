// Vector clocks: made, joined, recycled.
#include "clocks.h"

#include <cstdlib>
#include <cstring>

namespace tds {

thread_local Clocks* clocks;

void Clocks::resize(u32 agents) {
  const u32 padded = (agents + 15) & ~15u;
  if (padded == size) return;
  size = padded;
  zeros.assign(size, 0);
  memos.assign(MEMOS, Memo{});
  while (unused) {
    Vector* next = unused->next;
    free(unused);
    unused = next;
  }
}

Vector* Clocks::fresh() {
  Vector* v = unused;
  if (v)
    unused = v->next;
  else
    v = static_cast<Vector*>(malloc(sizeof(Vector) + size * sizeof(u32)));
  v->references = 1;
  v->size = size;
  v->serial = ++serials;
  v->next = nullptr;
  return v;
}

void Clocks::release(Vector* v) {
  v->serial = 0;
  if (v->size != size) {  // of an earlier launch
    free(v);
    return;
  }
  v->next = unused;
  unused = v;
}

Vector* Clocks::joined(Vector* a, Vector* b) {
  Memo& memo = memos[(a->serial * 0x9e3779b97f4a7c15ull ^ b->serial * 0xd1b54a32d192ed03ull) >> 54 & (MEMOS - 1)];
  if (memo.a != a->serial || memo.b != b->serial || !memo.result || memo.result->serial != memo.serial) {
    work += size;
    u32 a_greater = 0, b_greater = 0;
    for (u32 i = 0; i < size; ++i) {
      a_greater |= a->values[i] > b->values[i];
      b_greater |= b->values[i] > a->values[i];
    }
    Vector* result = !b_greater ? a : !a_greater ? b : nullptr;
    if (!result) {
      result = fresh();
      result->references = 0;
      for (u32 i = 0; i < size; ++i)
        result->values[i] = a->values[i] > b->values[i] ? a->values[i] : b->values[i];
    }
    memo = Memo{a->serial, b->serial, result->serial, result};
  }
  ++memo.result->references;
  return memo.result;
}

Vector* Clocks::amended(Vector* v, const u32* agents, const u32* values, u32 count) {
  work += size + count;
  Vector* result = fresh();
  if (v)
    memcpy(result->values, v->values, size * sizeof(u32));
  else
    memset(result->values, 0, size * sizeof(u32));
  for (u32 i = 0; i < count; ++i)
    if (result->values[agents[i]] < values[i]) result->values[agents[i]] = values[i];
  return result;
}

}  // namespace tds
