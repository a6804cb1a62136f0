// Scalar functions on the CPU, in namespace tds: mathematics, bits, conversions. Part of device.h and of the runtime.
#pragma once
#include "types.h"

namespace tds {

// In the last bit libraries differ, so a float is computed as a double and rounded, as `cpu/values.py` does: the
// executions then agree, and a kernel has the same results on every machine.
#define TDS_TRANSCENDENTAL(name)                                          \
  TDS_DEVICE float name(float x) { return (float)__builtin_##name(x); }   \
  TDS_DEVICE double name(double x) { return __builtin_##name(x); }
TDS_TRANSCENDENTAL(exp)
TDS_TRANSCENDENTAL(exp2)
TDS_TRANSCENDENTAL(log)
TDS_TRANSCENDENTAL(log2)
TDS_TRANSCENDENTAL(log10)
TDS_TRANSCENDENTAL(sin)
TDS_TRANSCENDENTAL(cos)
TDS_TRANSCENDENTAL(tan)
TDS_TRANSCENDENTAL(sinh)
TDS_TRANSCENDENTAL(cosh)
TDS_TRANSCENDENTAL(asin)
TDS_TRANSCENDENTAL(acos)
TDS_TRANSCENDENTAL(atan)
TDS_TRANSCENDENTAL(tanh)
TDS_TRANSCENDENTAL(erf)
#undef TDS_TRANSCENDENTAL

TDS_DEVICE float sqrt(float x) { return __builtin_sqrtf(x); }
TDS_DEVICE double sqrt(double x) { return __builtin_sqrt(x); }
TDS_DEVICE float floor(float x) { return __builtin_floorf(x); }
TDS_DEVICE double floor(double x) { return __builtin_floor(x); }
TDS_DEVICE float ceil(float x) { return __builtin_ceilf(x); }
TDS_DEVICE double ceil(double x) { return __builtin_ceil(x); }
TDS_DEVICE float trunc(float x) { return __builtin_truncf(x); }
TDS_DEVICE double trunc(double x) { return __builtin_trunc(x); }
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
TDS_DEVICE float atan2(float a, float b) { return (float)__builtin_atan2(a, b); }
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

#define TDS_ROUNDED_TO(operation, name, direction)                                 \
  TDS_DEVICE float operation##_##name(float a, float b = 0.0f, float c = 0.0f) {   \
    return tds_rt_rounded_f32(ROUNDED_##operation, direction, a, b, c);            \
  }                                                                                \
  TDS_DEVICE double operation##_##name(double a, double b = 0.0, double c = 0.0) { \
    return tds_rt_rounded_f64(ROUNDED_##operation, direction, a, b, c);            \
  }
#define TDS_ROUNDED(operation)                                          \
  TDS_ROUNDED_TO(operation, rn, RN) TDS_ROUNDED_TO(operation, rz, RZ)   \
  TDS_ROUNDED_TO(operation, ru, RP) TDS_ROUNDED_TO(operation, rd, RM)
TDS_ROUNDED(add)
TDS_ROUNDED(sub)
TDS_ROUNDED(mul)
TDS_ROUNDED(div)
TDS_ROUNDED(rcp)
TDS_ROUNDED(sqrt)
TDS_ROUNDED(fma)
// Rounding twice is no different: no float has its exact value so near to the middle of two (all were tried).
TDS_DEVICE float rsqrt_rn(float x) { return (float)(1.0 / __builtin_sqrt((double)x)); }

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

TDS_DEVICE u32 product_high(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }

#include "portable.cuh"

TDS_DEVICE float pow(float a, float b) { return (float)__builtin_pow(a, b); }
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

// Narrower integers. NaN becomes 0, or from float64 the pattern of the sign bit.
template <class T, class F>
TDS_DEVICE T to_small(F x) {
  if (x != x) return sizeof(F) == 8 ? T(1u << (8 * sizeof(T) - 1)) : T(0);
  return saturate<T>(to_i32(x));
}

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

TDS_DEVICE void f32_to_f16_pair(f16* d, float low, float high) {
  d[0] = f32_to_f16(low);
  d[1] = f32_to_f16(high);
}
TDS_DEVICE void f32_to_bf16_pair(bf16* d, float low, float high) {
  d[0] = f32_to_bf16(low);
  d[1] = f32_to_bf16(high);
}

TDS_DEVICE float e4m3_to_f32(e4m3 x) { return widen_to_f32<4, 3, FN>(x.bits); }
template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e4m3 f32_to_e4m3(float x) {
  return e4m3{(u8)narrow_f32<4, 3, FN, MODE, SATURATE>(x)};
}

TDS_DEVICE float e5m2_to_f32(e5m2 x) { return widen_to_f32<5, 2, IEEE>(x.bits); }
template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e5m2 f32_to_e5m2(float x) {
  return e5m2{(u8)narrow_f32<5, 2, IEEE, MODE, SATURATE>(x)};
}

template <bool SATURATE = false>
TDS_DEVICE void f32_to_e4m3_pair(e4m3* d, float low, float high) {
  d[0] = f32_to_e4m3<RN, SATURATE>(low);
  d[1] = f32_to_e4m3<RN, SATURATE>(high);
}
template <bool SATURATE = false>
TDS_DEVICE void f32_to_e5m2_pair(e5m2* d, float low, float high) {
  d[0] = f32_to_e5m2<RN, SATURATE>(low);
  d[1] = f32_to_e5m2<RN, SATURATE>(high);
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

// ---- two 16-bit floats that share a register: each half is rounded once, NaN is 0x7fff, -0 is less than +0

struct F16Half {
  static float widen(u16 bits) { return f16_to_f32(f16{bits}); }
  static u16 narrow(float x) { return f32_to_f16(x).bits; }
};
struct Bf16Half {
  static float widen(u16 bits) { return bf16_to_f32(bf16{bits}); }
  static u16 narrow(float x) { return f32_to_bf16(x).bits; }
};
template <class Half>
struct PairOf {
  static u16 rounded(float x) { return x != x ? (u16)0x7fff : Half::narrow(x); }
  static u16 add(u16 a, u16 b, u16) { return rounded(Half::widen(a) + Half::widen(b)); }
  static u16 sub(u16 a, u16 b, u16) { return rounded(Half::widen(a) - Half::widen(b)); }
  static u16 mul(u16 a, u16 b, u16) { return rounded(Half::widen(a) * Half::widen(b)); }
  static u16 fma(u16 a, u16 b, u16 c) { return rounded(fma_odd(Half::widen(a), Half::widen(b), Half::widen(c))); }
  static u16 max(u16 a, u16 b, u16) { return chosen(a, b, a & b, Half::widen(a) > Half::widen(b)); }
  static u16 min(u16 a, u16 b, u16) { return chosen(a, b, a | b, Half::widen(a) < Half::widen(b)); }
  static u16 abs(u16 a, u16, u16) { return Half::widen(a) != Half::widen(a) ? 0x7fff : a & 0x7fff; }
  static u16 chosen(u16 a, u16 b, int of_zeros, bool first) {
    const float x = Half::widen(a), y = Half::widen(b);
    if (x != x || y != y) return 0x7fff;
    return x == 0.0f && y == 0.0f ? (u16)of_zeros : first ? a : b;
  }
};
#define TDS_PAIRED_AS(name, pair, half)                                                   \
  TDS_DEVICE u32 name##_##pair(u32 a, u32 b = 0, u32 c = 0) {                             \
    return PairOf<half>::name((u16)a, (u16)b, (u16)c) |                                   \
           (u32)PairOf<half>::name((u16)(a >> 16), (u16)(b >> 16), (u16)(c >> 16)) << 16; \
  }
#define TDS_PAIRED(name) TDS_PAIRED_AS(name, f16x2, F16Half) TDS_PAIRED_AS(name, bf16x2, Bf16Half)
TDS_PAIRED(add)
TDS_PAIRED(sub)
TDS_PAIRED(mul)
TDS_PAIRED(fma)
TDS_PAIRED(max)
TDS_PAIRED(min)
TDS_PAIRED(abs)

}  // namespace tds
