// The device API on the CPU: the same names as codegen/prelude.cuh (a test compares them). With TDS_CHECKED every access
// to memory goes through the runtime; else only bounds and alignment are looked at, inline.
#pragma once
#include "mathematics.h"
#include "types.h"

#ifndef TDS_CHECKED
#define TDS_CHECKED 0
#endif

// What follows are wrappers that vanish when inlined; mathematics.h leaves that choice to the compiler.
#undef TDS_DEVICE
#define TDS_DEVICE static inline __attribute__((always_inline))

#define TDS_KERNEL(...) static void
#define TDS_EXPORT(name) \
  extern "C" void tds_entry_##name(void** arguments) { ::tds::host::invoke(name, arguments); }
#define TDS_RESTRICT __restrict__
#define TDS_UNROLL
#define TDS_UNROLL_BY(n)
#if TDS_CHECKED
#define TDS_LOCAL(type, name, size) ::tds::Registers<type, size> name
#else
#define TDS_LOCAL(type, name, size) alignas(16) type name[size]
#endif

// CUDA source of the user's own may say these.
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict

namespace tds {

// ---- calling a kernel with an array of pointers to its arguments, as cuLaunchKernel does

namespace host {

template <int... I>
struct Sequence {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
  typedef Sequence<I...> type;
};
template <class T>
TDS_DEVICE T argument(void* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof(T));
  return value;
}
template <class... P, int... I>
TDS_DEVICE void call(void (*kernel)(P...), void** arguments, Sequence<I...>) {
  kernel(argument<P>(arguments[I])...);
}
template <class... P>
TDS_DEVICE void invoke(void (*kernel)(P...), void** arguments) {
  call(kernel, arguments, typename Count<sizeof...(P)>::type());
}

}  // namespace host

// ---- registers that know their size

#if TDS_CHECKED
template <class T, int SIZE>
struct Registers {
  alignas(16) T values[SIZE];
  Registers() { __builtin_memset((void*)values, 0xff, sizeof(values)); }
  T& operator[](i64 i) {
    if (i < 0 || i >= SIZE) tds_rt_bad_register(i, SIZE, Site{0, 0});
    if (tds_thread->holds_registers) tds_rt_use_registers(&values[i], sizeof(T), Site{0, 0});
    return values[i];
  }
};

template <class T, class S, int SIZE>
TDS_DEVICE T* view(Registers<S, SIZE>& registers) {
  return (T*)registers.values;
}
#endif

template <class T, class S>
TDS_DEVICE T* view(S* memory) {
  return (T*)memory;
}

// Registers are read by an access of several at once.
TDS_DEVICE void watch(const void* registers, int bytes, Site at) {
#if TDS_CHECKED
  if (tds_thread->holds_registers) tds_rt_use_registers(registers, bytes, at);
#endif
}

// ---- who and where

TDS_DEVICE int block_x() { return tds_thread->block[0]; }
TDS_DEVICE int block_y() { return tds_thread->block[1]; }
TDS_DEVICE int block_z() { return tds_thread->block[2]; }
TDS_DEVICE int thread_index() { return tds_thread->index; }

// ---- memory

TDS_DEVICE char* shared_at(u32 address, u32 bytes, int access, Site at) {
#if !TDS_CHECKED
  const u32 offset = address - SHARED_BASE;
  if (__builtin_expect((u64)offset + bytes <= tds_thread->shared_size && !(offset & (bytes - 1)), 1))
    return tds_thread->shared + offset;
#endif
  return tds_rt_shared(address, (int)bytes, access, at);
}

TDS_DEVICE char* global_at(const void* p, u32 bytes, int access, Site at) {
#if !TDS_CHECKED
  const u64 offset = (u64)p - tds_thread->hot_begin;
  if (__builtin_expect(offset < tds_thread->hot_size && offset + bytes <= tds_thread->hot_size && !((u64)p & (bytes - 1)), 1))
    return (char*)p;
#endif
  return tds_rt_global(p, (int)bytes, access, at);
}

TDS_DEVICE u32 shared_base() { return SHARED_BASE; }

template <class T>
TDS_DEVICE T* shared_pointer(u32 address, TDS_HERE) {
  return (T*)shared_at(address, sizeof(T), ADDRESS, at);
}

template <class T>
TDS_DEVICE T load(const T* p, TDS_HERE) {
  T value;
  __builtin_memcpy(&value, global_at(p, sizeof(T), READ, at), sizeof(T));
  return value;
}

template <class T>
TDS_DEVICE void store(T* p, typename type_is<T>::type value, TDS_HERE) {
  __builtin_memcpy(global_at(p, sizeof(T), WRITE, at), &value, sizeof(T));
}

template <class T>
TDS_DEVICE T load_shared(u32 address, TDS_HERE) {
  T value;
  __builtin_memcpy(&value, shared_at(address, sizeof(T), READ, at), sizeof(T));
  return value;
}

template <class T>
TDS_DEVICE void store_shared(u32 address, T value, TDS_HERE) {
  __builtin_memcpy(shared_at(address, sizeof(T), WRITE, at), &value, sizeof(T));
}

template <int BYTES>
TDS_DEVICE void load_vector(void* registers, const void* p, TDS_HERE) {
  __builtin_memcpy(registers, global_at(p, BYTES, READ, at), BYTES);
}

template <int BYTES>
TDS_DEVICE void store_vector(void* p, const void* registers, TDS_HERE) {
  watch(registers, BYTES, at);
  __builtin_memcpy(global_at(p, BYTES, WRITE, at), registers, BYTES);
}

template <int BYTES>
TDS_DEVICE void load_shared_vector(void* registers, u32 address, TDS_HERE) {
  __builtin_memcpy(registers, shared_at(address, BYTES, READ, at), BYTES);
}

template <int BYTES>
TDS_DEVICE void store_shared_vector(u32 address, const void* registers, TDS_HERE) {
  watch(registers, BYTES, at);
  __builtin_memcpy(shared_at(address, BYTES, WRITE, at), registers, BYTES);
}

// ---- barriers and asynchronous copies

TDS_DEVICE void barrier(TDS_HERE) { tds_rt_barrier(0, 0, at); }
TDS_DEVICE void barrier_named(int id, int count, TDS_HERE) { tds_rt_barrier(id, count, at); }
TDS_DEVICE void fence(TDS_HERE) { tds_rt_fence(at); }
TDS_DEVICE void cp_async_commit() { tds_rt_cp_async_commit(); }
template <int PENDING>
TDS_DEVICE void cp_async_wait(TDS_HERE) {
  tds_rt_cp_async_wait(PENDING, at);
}

// ---- between the lanes of a warp

template <class T>
TDS_DEVICE T shuffle(int kind, T value, int argument, Site at) {
  u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = tds_rt_shuffle(kind, bits, argument, at);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class T, class L>
TDS_DEVICE T shfl_xor(T value, L mask, TDS_HERE) {
  return shuffle(SHUFFLE_XOR, value, (int)mask, at);
}
template <class T, class L>
TDS_DEVICE T shfl_up(T value, L offset, TDS_HERE) {
  return shuffle(SHUFFLE_UP, value, (int)offset, at);
}
template <class T, class L>
TDS_DEVICE T shfl_down(T value, L offset, TDS_HERE) {
  return shuffle(SHUFFLE_DOWN, value, (int)offset, at);
}
template <class T, class L>
TDS_DEVICE T shfl_idx(T value, L lane, TDS_HERE) {
  return shuffle(SHUFFLE_INDEX, value, (int)lane, at);
}
template <class T>
TDS_DEVICE T warp_uniform(T value, TDS_HERE) {
  return shuffle(SHUFFLE_INDEX, value, 0, at);
}
template <class T>
TDS_DEVICE bool warp_any(T value, TDS_HERE) {
  return tds_rt_vote(VOTE_ANY, value != T(0), at) != 0;
}
template <class T>
TDS_DEVICE bool warp_all(T value, TDS_HERE) {
  return tds_rt_vote(VOTE_ALL, value != T(0), at) != 0;
}

// ---- atomic updates: each returns the old value

template <int BYTES>
struct Word {};
template <>
struct Word<2> {
  typedef u16 type;
};
template <>
struct Word<4> {
  typedef u32 type;
};
template <>
struct Word<8> {
  typedef u64 type;
};
template <class T, class F>
TDS_DEVICE T atomic_loop(T* p, F&& update, int access, Site at) {
  typedef typename Word<sizeof(T)>::type W;
  W* word = (W*)tds_rt_atomic(p, sizeof(T), access, at);
  W before = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &before, bitcast<W>(update(bitcast<T>(before))), true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  return bitcast<T>(before);
}

TDS_DEVICE float plus(float a, float b) { return a + b; }
TDS_DEVICE double plus(double a, double b) { return a + b; }
TDS_DEVICE f16 plus(f16 a, f16 b) { return f32_to_f16(f16_to_f32(a) + f16_to_f32(b)); }
TDS_DEVICE bf16 plus(bf16 a, bf16 b) { return f32_to_bf16(bf16_to_f32(a) + bf16_to_f32(b)); }
template <class T>
TDS_DEVICE T plus(T a, T b) {
  return T(u64(a) + u64(b));
}
TDS_DEVICE bool less(f16 a, f16 b) { return f16_to_f32(a) < f16_to_f32(b); }
TDS_DEVICE bool less(bf16 a, bf16 b) { return bf16_to_f32(a) < bf16_to_f32(b); }
template <class T>
TDS_DEVICE bool less(T a, T b) {
  return a < b;
}

#define TDS_ATOMIC(name, access, expression)                                \
  template <class T>                                                        \
  TDS_DEVICE T atomic_##name(T* p, typename type_is<T>::type v, TDS_HERE) { \
    return atomic_loop(p, [&](T old) -> T { return expression; }, access, at); \
  }
TDS_ATOMIC(add, UPDATE, plus(old, v))
TDS_ATOMIC(max, UPDATE, less(old, v) ? v : old)
TDS_ATOMIC(min, UPDATE, less(v, old) ? v : old)
TDS_ATOMIC(and, UPDATE, T(old& v))
TDS_ATOMIC(or, UPDATE, T(old | v))
TDS_ATOMIC(xor, UPDATE, T(old ^ v))
TDS_ATOMIC(exch, UPDATE, ((void)old, v))
TDS_ATOMIC(store, ATOMIC_WRITE, ((void)old, v))
#undef TDS_ATOMIC

template <class T>
TDS_DEVICE T atomic_load(T* p, TDS_HERE) {
  return atomic_loop(p, [](T old) { return old; }, ATOMIC_READ, at);
}

// ---- checks and output

TDS_DEVICE void check(bool condition, const char* message, TDS_HERE) {
  if (!condition) tds_rt_check_failed(message, 0, at);
}

TDS_DEVICE void assume(bool condition, TDS_HERE) {
  if (!condition) tds_rt_check_failed("", 1, at);
}

template <class... Values>
TDS_DEVICE void print(const char* format, Values... values) {
  tds_rt_print(format, values...);
}

// ---- instructions, generated from their rows

#include "atoms.h"

}  // namespace tds

#include "device_hopper.h"
