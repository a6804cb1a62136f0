// The device API on the CPU: the same names as codegen/prelude.cuh (a test compares them). With TDS_CHECKED every access
// to memory goes through the runtime; else only bounds and alignment are looked at, inline.
#pragma once
#include "types.h"

#ifndef TDS_CHECKED
#define TDS_CHECKED 0
#endif

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

// ---- who and where

TDS_DEVICE int block_x() { return tds_thread->block[0]; }
TDS_DEVICE int block_y() { return tds_thread->block[1]; }
TDS_DEVICE int block_z() { return tds_thread->block[2]; }
TDS_DEVICE int thread_index() { return tds_thread->index; }

// ---- mathematics

TDS_DEVICE float exp(float x) { return __builtin_expf(x); }
TDS_DEVICE double exp(double x) { return __builtin_exp(x); }
TDS_DEVICE float exp2(float x) { return __builtin_exp2f(x); }
TDS_DEVICE double exp2(double x) { return __builtin_exp2(x); }
TDS_DEVICE float log(float x) { return __builtin_logf(x); }
TDS_DEVICE double log(double x) { return __builtin_log(x); }
TDS_DEVICE float log2(float x) { return __builtin_log2f(x); }
TDS_DEVICE double log2(double x) { return __builtin_log2(x); }
TDS_DEVICE float log10(float x) { return __builtin_log10f(x); }
TDS_DEVICE double log10(double x) { return __builtin_log10(x); }
TDS_DEVICE float sqrt(float x) { return __builtin_sqrtf(x); }
TDS_DEVICE double sqrt(double x) { return __builtin_sqrt(x); }
TDS_DEVICE float sin(float x) { return __builtin_sinf(x); }
TDS_DEVICE double sin(double x) { return __builtin_sin(x); }
TDS_DEVICE float cos(float x) { return __builtin_cosf(x); }
TDS_DEVICE double cos(double x) { return __builtin_cos(x); }
TDS_DEVICE float tan(float x) { return __builtin_tanf(x); }
TDS_DEVICE double tan(double x) { return __builtin_tan(x); }
TDS_DEVICE float sinh(float x) { return __builtin_sinhf(x); }
TDS_DEVICE double sinh(double x) { return __builtin_sinh(x); }
TDS_DEVICE float cosh(float x) { return __builtin_coshf(x); }
TDS_DEVICE double cosh(double x) { return __builtin_cosh(x); }
TDS_DEVICE float asin(float x) { return __builtin_asinf(x); }
TDS_DEVICE double asin(double x) { return __builtin_asin(x); }
TDS_DEVICE float acos(float x) { return __builtin_acosf(x); }
TDS_DEVICE double acos(double x) { return __builtin_acos(x); }
TDS_DEVICE float atan(float x) { return __builtin_atanf(x); }
TDS_DEVICE double atan(double x) { return __builtin_atan(x); }
TDS_DEVICE float tanh(float x) { return __builtin_tanhf(x); }
TDS_DEVICE double tanh(double x) { return __builtin_tanh(x); }
TDS_DEVICE float floor(float x) { return __builtin_floorf(x); }
TDS_DEVICE double floor(double x) { return __builtin_floor(x); }
TDS_DEVICE float ceil(float x) { return __builtin_ceilf(x); }
TDS_DEVICE double ceil(double x) { return __builtin_ceil(x); }
TDS_DEVICE float trunc(float x) { return __builtin_truncf(x); }
TDS_DEVICE double trunc(double x) { return __builtin_trunc(x); }
TDS_DEVICE float erf(float x) { return __builtin_erff(x); }
TDS_DEVICE double erf(double x) { return __builtin_erf(x); }
TDS_DEVICE float exp10(float x) { return (float)__builtin_pow(10.0, (double)x); }
TDS_DEVICE double exp10(double x) { return __builtin_pow(10.0, x); }
TDS_DEVICE float rsqrt(float x) { return (float)(1.0 / __builtin_sqrt((double)x)); }
TDS_DEVICE double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }

TDS_DEVICE float abs(float x) { return __builtin_fabsf(x); }
TDS_DEVICE double abs(double x) { return __builtin_fabs(x); }
template <class T>
TDS_DEVICE T abs(T x) {
  return x < T(0) ? T(-u64(x)) : x;
}

TDS_DEVICE float round(float x) { return __builtin_rintf(x); }
TDS_DEVICE double round(double x) { return __builtin_rint(x); }
TDS_DEVICE float round_half_away(float x) { return __builtin_roundf(x); }
TDS_DEVICE double round_half_away(double x) { return __builtin_round(x); }
TDS_DEVICE float fmod(float a, float b) { return __builtin_fmodf(a, b); }
TDS_DEVICE double fmod(double a, double b) { return __builtin_fmod(a, b); }
TDS_DEVICE float copysign(float a, float b) { return __builtin_copysignf(a, b); }
TDS_DEVICE double copysign(double a, double b) { return __builtin_copysign(a, b); }
TDS_DEVICE float atan2(float a, float b) { return __builtin_atan2f(a, b); }
TDS_DEVICE double atan2(double a, double b) { return __builtin_atan2(a, b); }

TDS_DEVICE bool isnan(float x) { return x != x; }
TDS_DEVICE bool isnan(double x) { return x != x; }
TDS_DEVICE bool isinf(float x) { return (bitcast<u32>(x) << 1) == 0xff000000u; }
TDS_DEVICE bool isinf(double x) { return (bitcast<u64>(x) << 1) == 0xffe0000000000000ull; }
TDS_DEVICE bool isfinite(float x) { return (bitcast<u32>(x) << 1) < 0xff000000u; }
TDS_DEVICE bool isfinite(double x) { return (bitcast<u64>(x) << 1) < 0xffe0000000000000ull; }

TDS_DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TDS_DEVICE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
template <class T>
TDS_DEVICE T fma(T a, T b, T c) {
  return T(u64(a) * u64(b) + u64(c));
}

// NaN if an operand is NaN.
template <class T>
TDS_DEVICE T min(T a, T b) {
  return a != a || a < b ? a : b;
}
template <class T>
TDS_DEVICE T max(T a, T b) {
  return a != a || a > b ? a : b;
}

// The exact functions stand in for the approximations.
TDS_DEVICE float fast_exp(float x) { return exp(x); }
TDS_DEVICE double fast_exp(double x) { return exp(x); }
TDS_DEVICE float fast_exp2(float x) { return exp2(x); }
TDS_DEVICE double fast_exp2(double x) { return exp2(x); }
TDS_DEVICE float fast_exp10(float x) { return exp10(x); }
TDS_DEVICE double fast_exp10(double x) { return exp10(x); }
TDS_DEVICE float fast_log(float x) { return log(x); }
TDS_DEVICE double fast_log(double x) { return log(x); }
TDS_DEVICE float fast_log2(float x) { return log2(x); }
TDS_DEVICE double fast_log2(double x) { return log2(x); }
TDS_DEVICE float fast_log10(float x) { return log10(x); }
TDS_DEVICE double fast_log10(double x) { return log10(x); }
TDS_DEVICE float fast_sin(float x) { return sin(x); }
TDS_DEVICE double fast_sin(double x) { return sin(x); }
TDS_DEVICE float fast_cos(float x) { return cos(x); }
TDS_DEVICE double fast_cos(double x) { return cos(x); }
TDS_DEVICE float fast_tan(float x) { return tan(x); }
TDS_DEVICE double fast_tan(double x) { return tan(x); }
TDS_DEVICE float fast_rcp(float x) { return 1.0f / x; }
TDS_DEVICE double fast_rcp(double x) { return 1.0 / x; }

TDS_DEVICE int popcount(u32 x) { return __builtin_popcountll((u32)x); }
TDS_DEVICE int popcount(u64 x) { return __builtin_popcountll((u64)x); }
TDS_DEVICE int popcount(i32 x) { return __builtin_popcountll((u32)x); }
TDS_DEVICE int popcount(i64 x) { return __builtin_popcountll((u64)x); }
TDS_DEVICE int popcount(u16 x) { return __builtin_popcountll((u16)x); }
TDS_DEVICE int popcount(i16 x) { return __builtin_popcountll((u16)x); }
TDS_DEVICE int popcount(u8 x) { return __builtin_popcountll((u8)x); }
TDS_DEVICE int popcount(i8 x) { return __builtin_popcountll((u8)x); }

TDS_DEVICE int clz(u32 x) { return (u32)x ? __builtin_clzll((u32)x) - 32 : 32; }
TDS_DEVICE int clz(u64 x) { return (u64)x ? __builtin_clzll((u64)x) - 0 : 64; }
TDS_DEVICE int clz(i32 x) { return (u32)x ? __builtin_clzll((u32)x) - 32 : 32; }
TDS_DEVICE int clz(i64 x) { return (u64)x ? __builtin_clzll((u64)x) - 0 : 64; }
TDS_DEVICE int clz(u16 x) { return (u16)x ? __builtin_clzll((u16)x) - 48 : 16; }
TDS_DEVICE int clz(i16 x) { return (u16)x ? __builtin_clzll((u16)x) - 48 : 16; }
TDS_DEVICE int clz(u8 x) { return (u8)x ? __builtin_clzll((u8)x) - 56 : 8; }
TDS_DEVICE int clz(i8 x) { return (u8)x ? __builtin_clzll((u8)x) - 56 : 8; }

// Bytes of (a, b) chosen by the nibbles of the selector; bit 3 of a nibble replicates the sign of its byte.
template <class T>
TDS_DEVICE T prmt(T a, T b, T selector) {
  const u64 pool = (u64)(u32)b << 32 | (u32)a;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 nibble = (u32)selector >> (4 * i) & 15u;
    const u32 byte = (u32)(pool >> (8 * (nibble & 7u))) & 0xffu;
    result |= (nibble & 8u ? (byte & 0x80u ? 0xffu : 0u) : byte) << (8 * i);
  }
  return (T)result;
}

TDS_DEVICE i32 dp4a(i32 a, i32 b, i32 c) {
  for (int i = 0; i < 32; i += 8) c += (i8)(a >> i) * (i8)(b >> i);
  return c;
}
TDS_DEVICE u32 dp4a(u32 a, u32 b, u32 c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 0xffu) * (b >> i & 0xffu);
  return c;
}

#include "portable.cuh"

TDS_DEVICE float pow(float a, float b) { return __builtin_powf(a, b); }
TDS_DEVICE double pow(double a, double b) { return __builtin_pow(a, b); }
template <class T>
TDS_DEVICE T pow(T a, T b) {
  return integer_power(a, b);
}

// ---- conversions: floats to integers truncate and clamp (PTX ISA, "cvt")

template <class T, class F>
TDS_DEVICE T clamped(F x, T if_nan) {
  constexpr T high = T(-1) < T(0) ? T((1ull << (sizeof(T) * 8 - 1)) - 1) : T(~0ull);
  constexpr T low = T(-1) < T(0) ? T(-i64(high) - 1) : T(0);
  constexpr double end = 2.0 * (double)(1ull << (sizeof(T) * 8 - 1)) / (T(-1) < T(0) ? 2.0 : 1.0);
  if (x != x) return if_nan;
  return (double)x >= end ? high : (double)x <= (double)low ? low : (T)x;
}

TDS_DEVICE i32 to_i32(float x) { return clamped<i32>(x, 0); }
TDS_DEVICE i32 to_i32(double x) { return clamped<i32>(x, -2147483647 - 1); }
TDS_DEVICE u32 to_u32(float x) { return clamped<u32>(x, 0u); }
TDS_DEVICE u32 to_u32(double x) { return clamped<u32>(x, 0x80000000u); }
TDS_DEVICE i64 to_i64(float x) { return clamped<i64>(x, -9223372036854775807ll - 1); }
TDS_DEVICE i64 to_i64(double x) { return clamped<i64>(x, -9223372036854775807ll - 1); }
TDS_DEVICE u64 to_u64(float x) { return clamped<u64>(x, 0x8000000000000000ull); }
TDS_DEVICE u64 to_u64(double x) { return clamped<u64>(x, 0x8000000000000000ull); }

TDS_DEVICE float f16_to_f32(f16 x) { return widen_to_f32<5, 10, IEEE>(x.bits); }
template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE f16 f32_to_f16(float x) {
  return f16{(u16)narrow_f32<5, 10, IEEE, MODE, SATURATE>(x)};
}

TDS_DEVICE float bf16_to_f32(bf16 x) { return bitcast<float>((u32)x.bits << 16); }
template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE bf16 f32_to_bf16(float x) {
  return bf16{(u16)narrow_f32<8, 7, IEEE, MODE, SATURATE>(x)};
}

TDS_DEVICE float e4m3_to_f32(e4m3 x) { return widen_to_f32<4, 3, FN>(x.bits); }
template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e4m3 f32_to_e4m3(float x) {
  return e4m3{(u8)narrow_f32<4, 3, FN, MODE, SATURATE>(x)};
}

// a * b is exact in float64. What rounding the sum to float64 loses goes into its last bit, so that the second rounding
// is as good as one (two-sum: Knuth, TAOCP 2, 4.2.2).
TDS_DEVICE float fma_odd(float a, float b, float c) {
  const double product = (double)a * (double)b, addend = c, sum = product + addend;
  const double shadow = sum - product, lost = (product - (sum - shadow)) + (addend - shadow);
  const u64 bits = bitcast<u64>(sum);
  if (lost == 0.0 || !isfinite(lost) || (bits & 1u)) return f64_to_f32_odd(sum);
  return f64_to_f32_odd(bitcast<double>((lost > 0) == (sum > 0) ? bits + 1 : bits - 1));
}
TDS_DEVICE f16 fma_f16(f16 a, f16 b, f16 c) { return f32_to_f16(fma_odd(f16_to_f32(a), f16_to_f32(b), f16_to_f32(c))); }
TDS_DEVICE bf16 fma_bf16(bf16 a, bf16 b, bf16 c) {
  return f32_to_bf16(fma_odd(bf16_to_f32(a), bf16_to_f32(b), bf16_to_f32(c)));
}

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
  return (T*)shared_at(address, sizeof(T), UPDATE, at);
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
  __builtin_memcpy(global_at(p, BYTES, WRITE, at), registers, BYTES);
}

template <int BYTES>
TDS_DEVICE void load_shared_vector(void* registers, u32 address, TDS_HERE) {
  __builtin_memcpy(registers, shared_at(address, BYTES, READ, at), BYTES);
}

template <int BYTES>
TDS_DEVICE void store_shared_vector(u32 address, const void* registers, TDS_HERE) {
  __builtin_memcpy(shared_at(address, BYTES, WRITE, at), registers, BYTES);
}

// ---- barriers and asynchronous copies

TDS_DEVICE void barrier(TDS_HERE) { tds_rt_barrier(0, 0, at); }
TDS_DEVICE void barrier_named(int id, int count, TDS_HERE) { tds_rt_barrier(id, count, at); }
TDS_DEVICE void fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
TDS_DEVICE void cp_async_commit() { tds_rt_cp_async_commit(); }
template <int PENDING>
TDS_DEVICE void cp_async_wait() {
  tds_rt_cp_async_wait(PENDING);
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
TDS_DEVICE T atomic_loop(T* p, F&& update, Site at) {
  typedef typename Word<sizeof(T)>::type W;
  W* word = (W*)global_at(p, sizeof(T), UPDATE, at);
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

#define TDS_ATOMIC(name, expression)                                      \
  template <class T>                                                      \
  TDS_DEVICE T atomic_##name(T* p, typename type_is<T>::type v, TDS_HERE) { \
    return atomic_loop(p, [&](T old) -> T { return expression; }, at);    \
  }
TDS_ATOMIC(add, plus(old, v))
TDS_ATOMIC(max, less(old, v) ? v : old)
TDS_ATOMIC(min, less(v, old) ? v : old)
TDS_ATOMIC(and, T(old& v))
TDS_ATOMIC(or, T(old | v))
TDS_ATOMIC(xor, T(old ^ v))
TDS_ATOMIC(exch, ((void)old, v))
TDS_ATOMIC(store, ((void)old, v))
#undef TDS_ATOMIC

template <class T>
TDS_DEVICE T atomic_load(T* p, TDS_HERE) {
  return atomic_loop(p, [](T old) { return old; }, at);
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
