// Bulk copies that combine with what is in global memory, element by element. Other blocks may do so at the same time.
#pragma once

#include "mathematics.h"
#include "types_hopper.h"

namespace tds {

template <int BYTES>
struct ReductionWord {};
template <>
struct ReductionWord<2> {
  typedef u16 type;
};
template <>
struct ReductionWord<4> {
  typedef u32 type;
};
template <>
struct ReductionWord<8> {
  typedef u64 type;
};

inline float as_number(f16 x) { return f16_to_f32(x); }
inline float as_number(bf16 x) { return bf16_to_f32(x); }
template <class T>
inline T as_number(T x) {
  return x;
}
inline f16 from_number(f16, float x) { return f32_to_f16(x); }
inline bf16 from_number(bf16, float x) { return f32_to_bf16(x); }
template <class T, class N>
inline T from_number(T, N x) {
  return static_cast<T>(x);
}

template <class T>
inline T combined(T old, T value, int reduction) {
  typedef typename ReductionWord<sizeof(T)>::type W;
  const W a = bitcast<W>(old), b = bitcast<W>(value);
  switch (reduction) {
    case REDUCE_ADD: return from_number(T{}, as_number(old) + as_number(value));
    case REDUCE_MIN: return as_number(value) < as_number(old) ? value : old;
    case REDUCE_MAX: return as_number(old) < as_number(value) ? value : old;
    case REDUCE_AND: return bitcast<T>(static_cast<W>(a & b));
    case REDUCE_OR: return bitcast<T>(static_cast<W>(a | b));
    default: return bitcast<T>(static_cast<W>(a ^ b));
  }
}

template <class T>
inline void reduce_as(char* to, const char* from, u32 bytes, int reduction) {
  typedef typename ReductionWord<sizeof(T)>::type W;
  for (u32 x = 0; x < bytes; x += sizeof(T)) {
    T value;
    __builtin_memcpy(&value, from + x, sizeof(T));
    W* word = reinterpret_cast<W*>(to + x);
    W seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(word, &seen, bitcast<W>(combined(bitcast<T>(seen), value, reduction)), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
  }
}

// `data_type` is that of tiledsl/tensor_map.py; single bytes have no reductions.
inline void reduce(char* to, const char* from, u32 bytes, int reduction, int data_type) {
  switch (data_type) {
    case 1: return reduce_as<u16>(to, from, bytes, reduction);
    case 2: return reduce_as<u32>(to, from, bytes, reduction);
    case 3: return reduce_as<i32>(to, from, bytes, reduction);
    case 4: return reduce_as<u64>(to, from, bytes, reduction);
    case 5: return reduce_as<i64>(to, from, bytes, reduction);
    case 6: return reduce_as<f16>(to, from, bytes, reduction);
    case 7: return reduce_as<float>(to, from, bytes, reduction);
    case 8: return reduce_as<double>(to, from, bytes, reduction);
    case 9: return reduce_as<bf16>(to, from, bytes, reduction);
    default: return;
  }
}

}  // namespace tds
