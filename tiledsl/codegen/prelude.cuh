// The device API on the GPU. The emitter pastes the core and the pieces (paragraphs) that a kernel needs above the
// kernel text; nothing is included. cpu/native/device.h defines the same names for the host compiler.
#define TDS_DEVICE __device__ __forceinline__
#define TDS_KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define TDS_EXPORT(name)
#define TDS_RESTRICT __restrict__
#define TDS_PRAGMA(text) _Pragma(#text)
#define TDS_UNROLL _Pragma("unroll")
#define TDS_UNROLL_BY(n) TDS_PRAGMA(unroll n)
#define TDS_LOCAL(type, name, size) alignas(16) type name[size]
namespace tds {
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
// Narrow floats are bits; computing with them goes through float.
struct f16 { u16 bits; };
struct bf16 { u16 bits; };
struct e4m3 { u8 bits; };
struct e5m2 { u8 bits; };
struct e4m3fnuz { u8 bits; };
struct e5m2fnuz { u8 bits; };
struct e8m0 { u8 bits; };
struct e2m3 { u8 bits; };
struct e3m2 { u8 bits; };
enum Rounding { RN, RZ, RM, RP, RNA };
// How a format uses its largest exponent: IEEE has infinities and NaNs, FN one NaN, FNUZ only -0 as NaN, FINITE neither.
enum TopOfRange { IEEE, FN, FNUZ, FINITE };
template <class T> struct type_is { typedef T type; };
template <class To, class From> TDS_DEVICE To bitcast(From x) {
  static_assert(sizeof(To) == sizeof(From), "bitcast keeps the size");
  return *reinterpret_cast<const To*>(&x);
}
}  // namespace tds
// ---- pieces

// ---- who and where

TDS_DEVICE int block_x() { return (int)blockIdx.x; }

TDS_DEVICE int block_y() { return (int)blockIdx.y; }

TDS_DEVICE int block_z() { return (int)blockIdx.z; }

TDS_DEVICE int thread_index() { return (int)threadIdx.x; }

// ---- mathematics

TDS_DEVICE float exp(float x) { return ::expf(x); }
TDS_DEVICE double exp(double x) { return ::exp(x); }

TDS_DEVICE float exp2(float x) { return ::exp2f(x); }
TDS_DEVICE double exp2(double x) { return ::exp2(x); }

TDS_DEVICE float exp10(float x) { return ::exp10f(x); }
TDS_DEVICE double exp10(double x) { return ::exp10(x); }

TDS_DEVICE float log(float x) { return ::logf(x); }
TDS_DEVICE double log(double x) { return ::log(x); }

TDS_DEVICE float log2(float x) { return ::log2f(x); }
TDS_DEVICE double log2(double x) { return ::log2(x); }

TDS_DEVICE float log10(float x) { return ::log10f(x); }
TDS_DEVICE double log10(double x) { return ::log10(x); }

TDS_DEVICE float sqrt(float x) { return ::sqrtf(x); }
TDS_DEVICE double sqrt(double x) { return ::sqrt(x); }

TDS_DEVICE float sin(float x) { return ::sinf(x); }
TDS_DEVICE double sin(double x) { return ::sin(x); }

TDS_DEVICE float cos(float x) { return ::cosf(x); }
TDS_DEVICE double cos(double x) { return ::cos(x); }

TDS_DEVICE float tan(float x) { return ::tanf(x); }
TDS_DEVICE double tan(double x) { return ::tan(x); }

TDS_DEVICE float sinh(float x) { return ::sinhf(x); }
TDS_DEVICE double sinh(double x) { return ::sinh(x); }

TDS_DEVICE float cosh(float x) { return ::coshf(x); }
TDS_DEVICE double cosh(double x) { return ::cosh(x); }

TDS_DEVICE float asin(float x) { return ::asinf(x); }
TDS_DEVICE double asin(double x) { return ::asin(x); }

TDS_DEVICE float acos(float x) { return ::acosf(x); }
TDS_DEVICE double acos(double x) { return ::acos(x); }

TDS_DEVICE float atan(float x) { return ::atanf(x); }
TDS_DEVICE double atan(double x) { return ::atan(x); }

TDS_DEVICE float tanh(float x) { return ::tanhf(x); }
TDS_DEVICE double tanh(double x) { return ::tanh(x); }

TDS_DEVICE float floor(float x) { return ::floorf(x); }
TDS_DEVICE double floor(double x) { return ::floor(x); }

TDS_DEVICE float ceil(float x) { return ::ceilf(x); }
TDS_DEVICE double ceil(double x) { return ::ceil(x); }

TDS_DEVICE float trunc(float x) { return ::truncf(x); }
TDS_DEVICE double trunc(double x) { return ::trunc(x); }

TDS_DEVICE float rsqrt(float x) { return ::rsqrtf(x); }
TDS_DEVICE double rsqrt(double x) { return ::rsqrt(x); }

TDS_DEVICE float rsqrt_rn(float x) { return ::__frsqrt_rn(x); }

TDS_DEVICE float erf(float x) { return ::erff(x); }
TDS_DEVICE double erf(double x) { return ::erf(x); }

TDS_DEVICE float abs(float x) { return ::fabsf(x); }
TDS_DEVICE double abs(double x) { return ::fabs(x); }
template <class T> TDS_DEVICE T abs(T x) { return x < T(0) ? T(-u64(x)) : x; }

TDS_DEVICE float round(float x) { return ::rintf(x); }
TDS_DEVICE double round(double x) { return ::rint(x); }

TDS_DEVICE float round_half_away(float x) { return ::roundf(x); }
TDS_DEVICE double round_half_away(double x) { return ::round(x); }

TDS_DEVICE float fmod(float a, float b) { return ::fmodf(a, b); }
TDS_DEVICE double fmod(double a, double b) { return ::fmod(a, b); }

TDS_DEVICE float copysign(float a, float b) { return ::copysignf(a, b); }
TDS_DEVICE double copysign(double a, double b) { return ::copysign(a, b); }

TDS_DEVICE float atan2(float a, float b) { return ::atan2f(a, b); }
TDS_DEVICE double atan2(double a, double b) { return ::atan2(a, b); }

TDS_DEVICE bool isnan(float x) { return x != x; }
TDS_DEVICE bool isnan(double x) { return x != x; }

TDS_DEVICE bool isinf(float x) { return (bitcast<u32>(x) << 1) == 0xff000000u; }
TDS_DEVICE bool isinf(double x) { return (bitcast<u64>(x) << 1) == 0xffe0000000000000ull; }

TDS_DEVICE bool isfinite(float x) { return (bitcast<u32>(x) << 1) < 0xff000000u; }
TDS_DEVICE bool isfinite(double x) { return (bitcast<u64>(x) << 1) < 0xffe0000000000000ull; }

TDS_DEVICE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
TDS_DEVICE double fma(double a, double b, double c) { return ::fma(a, b, c); }
template <class T> TDS_DEVICE T fma(T a, T b, T c) { return T(u64(a) * u64(b) + u64(c)); }

TDS_DEVICE f16 fma_f16(f16 a, f16 b, f16 c) {
  f16 d;
  asm("fma.rn.f16 %0, %1, %2, %3;" : "=h"(d.bits) : "h"(a.bits), "h"(b.bits), "h"(c.bits));
  return d;
}

TDS_DEVICE bf16 fma_bf16(bf16 a, bf16 b, bf16 c) {
  bf16 d;
  asm("fma.rn.bf16 %0, %1, %2, %3;" : "=h"(d.bits) : "h"(a.bits), "h"(b.bits), "h"(c.bits));
  return d;
}

// NaN if an operand is NaN.
TDS_DEVICE float min(float a, float b) {
  float r;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
TDS_DEVICE double min(double a, double b) { return a != a || a < b ? a : b; }
template <class T> TDS_DEVICE T min(T a, T b) { return a < b ? a : b; }

TDS_DEVICE float max(float a, float b) {
  float r;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
TDS_DEVICE double max(double a, double b) { return a != a || a > b ? a : b; }
template <class T> TDS_DEVICE T max(T a, T b) { return a > b ? a : b; }

// Approximations of the special function unit; float64 has none.
TDS_DEVICE float fast_exp(float x) { return __expf(x); }
TDS_DEVICE double fast_exp(double x) { return ::exp(x); }

TDS_DEVICE float fast_exp2(float x) {
  float r;
  asm("ex2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
TDS_DEVICE double fast_exp2(double x) { return ::exp2(x); }

TDS_DEVICE float fast_exp10(float x) { return __exp10f(x); }
TDS_DEVICE double fast_exp10(double x) { return ::exp10(x); }

TDS_DEVICE float fast_log(float x) { return __logf(x); }
TDS_DEVICE double fast_log(double x) { return ::log(x); }

TDS_DEVICE float fast_log2(float x) { return __log2f(x); }
TDS_DEVICE double fast_log2(double x) { return ::log2(x); }

TDS_DEVICE float fast_log10(float x) { return __log10f(x); }
TDS_DEVICE double fast_log10(double x) { return ::log10(x); }

TDS_DEVICE float fast_sin(float x) { return __sinf(x); }
TDS_DEVICE double fast_sin(double x) { return ::sin(x); }

TDS_DEVICE float fast_cos(float x) { return __cosf(x); }
TDS_DEVICE double fast_cos(double x) { return ::cos(x); }

TDS_DEVICE float fast_tan(float x) { return __tanf(x); }
TDS_DEVICE double fast_tan(double x) { return ::tan(x); }

TDS_DEVICE float fast_rcp(float x) {
  float r;
  asm("rcp.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
TDS_DEVICE double fast_rcp(double x) { return 1.0 / x; }

TDS_DEVICE int popcount(u32 x) { return __popc(x); }
TDS_DEVICE int popcount(u64 x) { return __popcll(x); }
TDS_DEVICE int popcount(i32 x) { return __popc((u32)x); }
TDS_DEVICE int popcount(i64 x) { return __popcll((u64)x); }
TDS_DEVICE int popcount(u16 x) { return __popc(x); }
TDS_DEVICE int popcount(i16 x) { return __popc((u16)x); }
TDS_DEVICE int popcount(u8 x) { return __popc(x); }
TDS_DEVICE int popcount(i8 x) { return __popc((u8)x); }

TDS_DEVICE int clz(u32 x) { return __clz((int)x); }
TDS_DEVICE int clz(u64 x) { return __clzll((long long)x); }
TDS_DEVICE int clz(i32 x) { return __clz(x); }
TDS_DEVICE int clz(i64 x) { return __clzll(x); }
TDS_DEVICE int clz(u16 x) { return __clz(x) - 16; }
TDS_DEVICE int clz(i16 x) { return __clz((u16)x) - 16; }
TDS_DEVICE int clz(u8 x) { return __clz(x) - 24; }
TDS_DEVICE int clz(i8 x) { return __clz((u8)x) - 24; }

// Bytes of (a, b) chosen by the nibbles of the selector; bit 3 of a nibble replicates the sign of its byte.
template <class T> TDS_DEVICE T prmt(T a, T b, T selector) {
  u32 r;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"((u32)a), "r"((u32)b), "r"((u32)selector));
  return (T)r;
}

TDS_DEVICE i32 dp4a(i32 a, i32 b, i32 c) { return __dp4a(a, b, c); }
TDS_DEVICE u32 dp4a(u32 a, u32 b, u32 c) { return __dp4a(a, b, c); }

TDS_DEVICE u32 product_high(u32 a, u32 b) { return ::__umulhi(a, b); }

// ---- portable

TDS_DEVICE float pow(float a, float b) { return ::powf(a, b); }
TDS_DEVICE double pow(double a, double b) { return ::pow(a, b); }
template <class T> TDS_DEVICE T pow(T a, T b) { return integer_power(a, b); }

// ---- conversions: floats to integers truncate and clamp (PTX ISA, "cvt")

TDS_DEVICE i32 to_i32(float x) { return (i32)x; }
TDS_DEVICE i32 to_i32(double x) { return (i32)x; }

TDS_DEVICE u32 to_u32(float x) { return (u32)x; }
TDS_DEVICE u32 to_u32(double x) { return (u32)x; }

TDS_DEVICE i64 to_i64(float x) { return (i64)x; }
TDS_DEVICE i64 to_i64(double x) { return (i64)x; }

TDS_DEVICE u64 to_u64(float x) { return (u64)x; }
TDS_DEVICE u64 to_u64(double x) { return (u64)x; }

// Narrower integers. NaN becomes 0, or from float64 the pattern of the sign bit.
template <class T, class F>
TDS_DEVICE T to_small(F x) {
  if (x != x) return sizeof(F) == 8 ? T(1u << (8 * sizeof(T) - 1)) : T(0);
  return saturate<T>(to_i32(x));
}

TDS_DEVICE float f16_to_f32(f16 x) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
  return r;
}

template <int MODE = RN, bool SATURATE = false> TDS_DEVICE f16 f32_to_f16(float x) {
  f16 r;
  if (MODE == RN && !SATURATE)
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
  else
    r.bits = (u16)narrow_f32<5, 10, IEEE, MODE, SATURATE>(x);
  return r;
}

TDS_DEVICE void f32_to_f16_pair(f16* d, float low, float high) {
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(*(u32*)d) : "f"(high), "f"(low));
}

TDS_DEVICE float bf16_to_f32(bf16 x) { return bitcast<float>((u32)x.bits << 16); }

template <int MODE = RN, bool SATURATE = false> TDS_DEVICE bf16 f32_to_bf16(float x) {
  bf16 r;
  if (MODE == RN && !SATURATE)
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
  else
    r.bits = (u16)narrow_f32<8, 7, IEEE, MODE, SATURATE>(x);
  return r;
}

TDS_DEVICE void f32_to_bf16_pair(bf16* d, float low, float high) {
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(*(u32*)d) : "f"(high), "f"(low));
}

// Two numbers as 8-bit floats, as the hardware has them: too large is the largest number (PTX ISA, "cvt").
TDS_DEVICE u16 satfinite_e4m3x2(float low, float high) {
  u16 pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

TDS_DEVICE u16 satfinite_e5m2x2(float low, float high) {
  u16 pair;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

// What is not saturated instead: beyond 464, the middle of 448 and 480, there is NaN; from 61440 on infinity.
TDS_DEVICE u32 unbounded_e4m3(float x, u32 bits) { return ::fabsf(x) > 464.0f ? bits | 0x7fu : bits; }

TDS_DEVICE u32 unbounded_e5m2(float x, u32 bits) { return ::fabsf(x) >= 61440.0f ? bits & 0x80u | 0x7cu : bits; }

template <int MODE = RN, bool SATURATE = false> TDS_DEVICE e4m3 f32_to_e4m3(float x) {
#if __CUDA_ARCH__ >= 890
  if (MODE == RN) {
    const u32 bits = satfinite_e4m3x2(x, 0.0f);
    return e4m3{(u8)(SATURATE ? bits : unbounded_e4m3(x, bits))};
  }
#endif
  return e4m3{(u8)narrow_f32<4, 3, FN, MODE, SATURATE>(x)};
}

template <bool SATURATE = false> TDS_DEVICE void f32_to_e4m3_pair(e4m3* d, float low, float high) {
#if __CUDA_ARCH__ >= 890
  const u32 pair = satfinite_e4m3x2(low, high);
  *(u16*)d = (u16)(SATURATE ? pair : unbounded_e4m3(low, pair & 0xffu) | unbounded_e4m3(high, pair >> 8) << 8);
#else
  d[0] = f32_to_e4m3<RN, SATURATE>(low);
  d[1] = f32_to_e4m3<RN, SATURATE>(high);
#endif
}

template <int MODE = RN, bool SATURATE = false> TDS_DEVICE e5m2 f32_to_e5m2(float x) {
#if __CUDA_ARCH__ >= 890
  if (MODE == RN) {
    const u32 bits = satfinite_e5m2x2(x, 0.0f);
    return e5m2{(u8)(SATURATE ? bits : unbounded_e5m2(x, bits))};
  }
#endif
  return e5m2{(u8)narrow_f32<5, 2, IEEE, MODE, SATURATE>(x)};
}

template <bool SATURATE = false> TDS_DEVICE void f32_to_e5m2_pair(e5m2* d, float low, float high) {
#if __CUDA_ARCH__ >= 890
  const u32 pair = satfinite_e5m2x2(low, high);
  *(u16*)d = (u16)(SATURATE ? pair : unbounded_e5m2(low, pair & 0xffu) | unbounded_e5m2(high, pair >> 8) << 8);
#else
  d[0] = f32_to_e5m2<RN, SATURATE>(low);
  d[1] = f32_to_e5m2<RN, SATURATE>(high);
#endif
}

// Its bits are the high half of a float16.
TDS_DEVICE float e5m2_to_f32(e5m2 x) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"((u16)(x.bits << 8)));
  return r;
}

TDS_DEVICE float e4m3_to_f32(e4m3 x) {
#if __CUDA_ARCH__ >= 890
  u32 pair;
  float r;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"((u16)x.bits));
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"((u16)pair));
  return r;
#else
  return widen_to_f32<4, 3, FN>(x.bits);
#endif
}

// ---- memory. Shared memory is addressed by numbers: bytes from the start of the window.

extern __shared__ __align__(1024) unsigned char dynamic_shared[];
TDS_DEVICE u32 shared_base() { return (u32)__cvta_generic_to_shared(dynamic_shared); }

template <class T> TDS_DEVICE T* shared_pointer(u32 address) { return (T*)__cvta_shared_to_generic(address); }

template <class T, class S> TDS_DEVICE T* view(S* memory) { return (T*)memory; }

template <class T> TDS_DEVICE T load(const T* p) { return *p; }

template <class T> TDS_DEVICE void store(T* p, typename type_is<T>::type value) { *p = value; }

template <class T> TDS_DEVICE T load_shared(u32 address) { return *shared_pointer<T>(address); }

template <class T> TDS_DEVICE void store_shared(u32 address, T value) { *shared_pointer<T>(address) = value; }

// BYTES consecutive, aligned bytes in one access.
template <int BYTES> struct Chunk {};
template <> struct Chunk<1> { typedef u8 type; };
template <> struct Chunk<2> { typedef u16 type; };
template <> struct Chunk<4> { typedef u32 type; };
template <> struct Chunk<8> { typedef uint2 type; };
template <> struct Chunk<16> { typedef uint4 type; };

template <int BYTES> TDS_DEVICE void load_vector(void* registers, const void* p) {
  typedef typename Chunk<BYTES>::type T;
  *(T*)registers = *(const T*)p;
}

template <int BYTES> TDS_DEVICE void store_vector(void* p, const void* registers) {
  typedef typename Chunk<BYTES>::type T;
  *(T*)p = *(const T*)registers;
}

template <int BYTES> TDS_DEVICE void load_shared_vector(void* registers, u32 address) {
  typedef typename Chunk<BYTES>::type T;
  *(T*)registers = *shared_pointer<T>(address);
}

template <int BYTES> TDS_DEVICE void store_shared_vector(u32 address, const void* registers) {
  typedef typename Chunk<BYTES>::type T;
  *shared_pointer<T>(address) = *(const T*)registers;
}

// ---- barriers and asynchronous copies

TDS_DEVICE void barrier() { __syncthreads(); }

TDS_DEVICE void barrier_named(int id, int count) {
  if (count)
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory");
  else
    asm volatile("bar.sync %0;" ::"r"(id) : "memory");
}

TDS_DEVICE void fence() { __threadfence(); }

TDS_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int PENDING> TDS_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// ---- between the lanes of a warp. Values travel in the words that the hardware's exchange takes.

template <int BYTES> struct LaneWord { typedef u32 type; };
template <> struct LaneWord<8> { typedef u64 type; };
// No loop over words of 32 bits: NVRTC would give such a union an address, which is local memory.
template <class T> union InWord {
  T value;
  typename LaneWord<sizeof(T)>::type word;
  __device__ InWord() {}
};

template <class T, class L> TDS_DEVICE T shfl_xor(T value, L mask) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_xor_sync(0xffffffffu, w.word, (int)mask);
  return w.value;
}

template <class T, class L> TDS_DEVICE T shfl_up(T value, L offset) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_up_sync(0xffffffffu, w.word, (u32)offset);
  return w.value;
}

template <class T, class L> TDS_DEVICE T shfl_down(T value, L offset) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_down_sync(0xffffffffu, w.word, (u32)offset);
  return w.value;
}

template <class T, class L> TDS_DEVICE T shfl_idx(T value, L lane) {
  InWord<T> w;
  w.value = value;
  w.word = __shfl_sync(0xffffffffu, w.word, (int)lane);
  return w.value;
}

// The value of lane 0, which all lanes have: now the compiler knows.
template <class T> TDS_DEVICE T warp_uniform(T value) { return shfl_idx(value, 0); }

template <class T> TDS_DEVICE bool warp_any(T value) { return __any_sync(0xffffffffu, value != T(0)) != 0; }

template <class T> TDS_DEVICE bool warp_all(T value) { return __all_sync(0xffffffffu, value != T(0)) != 0; }

template <class T> TDS_DEVICE i32 warp_ballot(T value) { return (i32)__ballot_sync(0xffffffffu, value != T(0)); }

template <class T> TDS_DEVICE i32 warp_match(T value) { return (i32)__match_any_sync(0xffffffffu, value); }

// ---- atomic updates: each returns the old value. What the hardware lacks is a loop of compare-and-swap.

template <int BYTES> struct Word {};
template <> struct Word<2> { typedef u16 type; };
template <> struct Word<4> { typedef u32 type; };
template <> struct Word<8> { typedef u64 type; };
TDS_DEVICE u16 compare_and_swap(u16* p, u16 expected, u16 desired) {
  u16 old;
  asm volatile("atom.cas.b16 %0, [%1], %2, %3;" : "=h"(old) : "l"(p), "h"(expected), "h"(desired) : "memory");
  return old;
}
TDS_DEVICE u32 compare_and_swap(u32* p, u32 expected, u32 desired) { return atomicCAS(p, expected, desired); }
TDS_DEVICE u64 compare_and_swap(u64* p, u64 expected, u64 desired) { return atomicCAS(p, expected, desired); }
template <class T, class F> TDS_DEVICE T atomic_loop(T* p, F&& update) {
  typedef typename Word<sizeof(T)>::type W;
  W seen = *(volatile W*)p, before;
  do {
    before = seen;
    seen = compare_and_swap((W*)p, before, bitcast<W>(update(bitcast<T>(before))));
  } while (seen != before);
  return bitcast<T>(before);
}

TDS_DEVICE float plus(float a, float b) { return a + b; }
TDS_DEVICE double plus(double a, double b) { return a + b; }
TDS_DEVICE f16 plus(f16 a, f16 b) { return f32_to_f16(f16_to_f32(a) + f16_to_f32(b)); }
TDS_DEVICE bf16 plus(bf16 a, bf16 b) { return f32_to_bf16(bf16_to_f32(a) + bf16_to_f32(b)); }
template <class T> TDS_DEVICE T plus(T a, T b) { return T(u64(a) + u64(b)); }

TDS_DEVICE bool less(f16 a, f16 b) { return f16_to_f32(a) < f16_to_f32(b); }
TDS_DEVICE bool less(bf16 a, bf16 b) { return bf16_to_f32(a) < bf16_to_f32(b); }
template <class T> TDS_DEVICE bool less(T a, T b) { return a < b; }

TDS_DEVICE float atomic_add(float* p, float v) { return atomicAdd(p, v); }
TDS_DEVICE double atomic_add(double* p, double v) { return atomicAdd(p, v); }
TDS_DEVICE i32 atomic_add(i32* p, i32 v) { return atomicAdd(p, v); }
TDS_DEVICE u32 atomic_add(u32* p, u32 v) { return atomicAdd(p, v); }
TDS_DEVICE u64 atomic_add(u64* p, u64 v) { return atomicAdd(p, v); }
TDS_DEVICE i64 atomic_add(i64* p, i64 v) { return (i64)atomicAdd((u64*)p, (u64)v); }
TDS_DEVICE f16 atomic_add(f16* p, f16 v) {
  f16 old;
  asm volatile("atom.add.noftz.f16 %0, [%1], %2;" : "=h"(old.bits) : "l"(p), "h"(v.bits) : "memory");
  return old;
}
template <class T> TDS_DEVICE T atomic_add(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T old) { return plus(old, v); });
}

TDS_DEVICE i32 atomic_max(i32* p, i32 v) { return atomicMax(p, v); }
TDS_DEVICE u32 atomic_max(u32* p, u32 v) { return atomicMax(p, v); }
template <class T> TDS_DEVICE T atomic_max(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T old) { return less(old, v) ? v : old; });
}

TDS_DEVICE i32 atomic_min(i32* p, i32 v) { return atomicMin(p, v); }
TDS_DEVICE u32 atomic_min(u32* p, u32 v) { return atomicMin(p, v); }
template <class T> TDS_DEVICE T atomic_min(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T old) { return less(v, old) ? v : old; });
}

template <class T> TDS_DEVICE T atomic_and(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T old) { return T(old & v); });
}

template <class T> TDS_DEVICE T atomic_or(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T old) { return T(old | v); });
}

template <class T> TDS_DEVICE T atomic_xor(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T old) { return T(old ^ v); });
}

template <class T> TDS_DEVICE T atomic_exch(T* p, typename type_is<T>::type v) {
  return atomic_loop(p, [&](T) { return v; });
}

template <class T> TDS_DEVICE T atomic_load(T* p) {
  typedef typename Word<sizeof(T)>::type W;
  return bitcast<T>((W)(*(volatile W*)p));
}

template <class T> TDS_DEVICE T atomic_store(T* p, typename type_is<T>::type v) {
  typedef typename Word<sizeof(T)>::type W;
  *(volatile W*)p = bitcast<W>(v);
  return v;
}

// ---- checks and output

TDS_DEVICE void check(bool condition, const char* message) {
  if (!condition) {
    printf("assertion failed: %s\n", message);
    __trap();
  }
}

TDS_DEVICE void assume(bool condition) { __builtin_assume(condition); }

template <class... Values> TDS_DEVICE void print(const char* format, Values... values) { printf(format, values...); }
