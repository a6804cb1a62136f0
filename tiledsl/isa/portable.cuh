// Device functions that are the same C++ on the GPU and on the CPU. codegen/prelude.cuh and cpu/native/device.h take
// them into namespace tds after defining the types, bitcast and the mathematical functions of one argument.
// Pieces are paragraphs: the emitter pastes those that a kernel needs.
// ---- pieces

// C's division and remainder, with a meaning where C++ has none: 0 for the divisor 0, wrap-around for least / -1.
template <class T>
TDS_DEVICE T div(T a, T b) {
  return b == T(0) ? T(0) : b == T(-1) && T(-1) < T(0) ? T(-u64(a)) : T(a / b);
}

template <class T>
TDS_DEVICE T rem(T a, T b) {
  return b == T(0) || (b == T(-1) && T(-1) < T(0)) ? T(0) : T(a % b);
}

// Quotient rounded towards minus infinity, and the remainder with the sign of the divisor.
template <class T>
TDS_DEVICE T floor_div(T a, T b) {
  const T q = div(a, b), r = rem(a, b);
  return r != T(0) && (r < T(0)) != (b < T(0)) ? T(q - 1) : q;
}
template <class T>
TDS_DEVICE T floating_floor_mod(T a, T b) {
  const T r = fmod(a, b);
  if (r == T(0)) return copysign(T(0), b);
  return (r < T(0)) != (b < T(0)) ? r + b : r;
}
template <class T>
TDS_DEVICE T floating_floor_div(T a, T b) {
  if (b == T(0)) return a / b;
  const T r = fmod(a, b);
  T q = (a - r) / b;
  if (r != T(0) && (r < T(0)) != (b < T(0))) q -= T(1);
  if (q == T(0)) return copysign(T(0), a / b);
  const T whole = floor(q);
  return q - whole > T(0.5) ? whole + T(1) : whole;
}
TDS_DEVICE float floor_div(float a, float b) { return floating_floor_div(a, b); }
TDS_DEVICE double floor_div(double a, double b) { return floating_floor_div(a, b); }
template <class T>
TDS_DEVICE T floor_mod(T a, T b) {
  const T r = rem(a, b);
  return r != T(0) && (r < T(0)) != (b < T(0)) ? T(r + b) : r;
}
TDS_DEVICE float floor_mod(float a, float b) { return floating_floor_mod(a, b); }
TDS_DEVICE double floor_mod(double a, double b) { return floating_floor_mod(a, b); }

// base to the power of exponent >= 0, wrapping.
template <class T>
TDS_DEVICE T integer_power(T base, T exponent) {
  u64 result = 1, factor = u64(base);
  for (u64 e = u64(exponent); e && !(exponent < T(0)); e >>= 1, factor *= factor)
    if (e & 1) result *= factor;
  return T(result);
}

template <class T>
TDS_DEVICE T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

// An integer clamped to the range of another type.
template <class To, class From>
TDS_DEVICE To saturate(From x) {
  constexpr bool is_signed = To(-1) < To(0);
  constexpr To high = is_signed ? To((1ull << (sizeof(To) * 8 - 1)) - 1) : To(~0ull);
  constexpr To low = is_signed ? To(-i64(high) - 1) : To(0);
  if (x < From(0)) return is_signed && i64(x) >= i64(low) ? To(x) : low;
  return u64(x) > u64(high) ? high : To(x);
}

// float64 to float32, not exact results with an odd last bit: a second rounding to fewer bits is then as good as one.
TDS_DEVICE float f64_to_f32_odd(double x) {
  const float nearest = (float)x;
  if ((double)nearest == x || x != x) return nearest;
  const u32 bits = bitcast<u32>(nearest);
  const double magnitude = x < 0 ? -x : x, rounded = nearest < 0 ? -(double)nearest : (double)nearest;
  return bitcast<float>((rounded > magnitude ? bits - 1 : bits) | 1u);
}

// The same for integers.
template <class T>
TDS_DEVICE float integer_to_f32_odd(T x) {
  const bool negative = x < T(0);
  u64 magnitude = negative ? -u64(x) : u64(x);
  int shift = 0;
  for (u64 lost = 0; magnitude >= (1ull << 24); ++shift) {
    lost |= magnitude & 1;
    magnitude = magnitude >> 1 | lost;
  }
  const float scaled = (float)(u32)magnitude * bitcast<float>((u32)(127 + shift) << 23);
  return negative ? -scaled : scaled;
}

// float64 to float32 with any rounding.
template <int MODE>
TDS_DEVICE float f64_to_f32(double x) {
  const float nearest = (float)x;
  if (MODE == RN || (double)nearest == x || x != x) return nearest;
  const u32 bits = bitcast<u32>(nearest), sign = (u32)(bitcast<u64>(x) >> 63) << 31;
  const double magnitude = x < 0 ? -x : x, rounded = nearest < 0 ? -(double)nearest : (double)nearest;
  const u32 low = ((rounded > magnitude ? bits - 1 : bits) & 0x7fffffffu) | sign, high = low + 1;
  if (MODE == RZ) return bitcast<float>(low);
  if (MODE == RM) return bitcast<float>(sign ? high : low);
  if (MODE == RP) return bitcast<float>(sign ? low : high);
  const double middle = ((double)bitcast<float>(low & 0x7fffffffu) + (double)bitcast<float>(high & 0x7fffffffu)) * 0.5;
  return magnitude == middle ? bitcast<float>(high) : nearest;
}

// float32 to the bits of a format of E bits of exponent and M of mantissa, rounded once. Out of range becomes infinity
// or NaN as the format has it, the largest finite value if SATURATE, or if it has neither.
template <int E, int M, int TOP, int MODE, bool SATURATE>
TDS_DEVICE u32 narrow_f32(float x) {
  constexpr int bias = (1 << (E - 1)) - 1 + (TOP == FNUZ ? 1 : 0);
  constexpr u32 sign_bit = 1u << (E + M), all_ones = sign_bit - 1u, infinity = all_ones >> M << M;
  constexpr u32 largest = TOP == IEEE ? infinity - 1u : TOP == FN ? all_ones - 1u : all_ones;
  const u32 bits = bitcast<u32>(x), magnitude = bits & 0x7fffffffu;
  const bool negative = bits >> 31 != 0;
  const u32 sign = negative ? sign_bit : 0u;
  if (magnitude > 0x7f800000u) {
    if (TOP == IEEE) return sign | infinity | 1u << (M - 1) | (magnitude & 0x7fffffu) >> (23 - M);
    return TOP == FN ? sign | all_ones : TOP == FNUZ ? sign_bit : largest;
  }
  const int biased = (int)(magnitude >> 23);
  const u32 significand = biased ? (magnitude & 0x7fffffu) | 0x800000u : magnitude;
  int field = (biased ? biased : 1) - 127 + bias, drop = 23 - M;
  if (field < 1) {
    drop = drop + 1 - field < 25 ? drop + 1 - field : 25;
    field = 1;
  }
  const u32 kept = significand >> drop, rest = significand & ((1u << drop) - 1u), half = 1u << (drop - 1);
  const bool up = MODE == RN    ? rest > half || (rest == half && (kept & 1u))
                  : MODE == RNA ? rest >= half
                  : MODE == RP  ? rest != 0u && !negative
                  : MODE == RM  ? rest != 0u && negative
                                : false;
  u32 result = kept + (up ? 1u : 0u) + ((u32)(field - 1) << M);
  if (result > largest) {
    const bool towards_zero = MODE == RZ || (MODE == RM && !negative) || (MODE == RP && negative);
    if (SATURATE || TOP == FINITE || (towards_zero && magnitude != 0x7f800000u)) {
      result = largest;
    } else {
      result = TOP == IEEE ? infinity : all_ones;
      if (TOP == FNUZ) return sign_bit;
    }
  }
  return TOP == FNUZ && result == 0u ? 0u : sign | result;
}

// The value of the bits of a format narrower than float32; exact.
template <int E, int M, int TOP>
TDS_DEVICE float widen_to_f32(u32 bits) {
  constexpr int bias = (1 << (E - 1)) - 1 + (TOP == FNUZ ? 1 : 0);
  constexpr u32 sign_bit = 1u << (E + M), all_ones = sign_bit - 1u, infinity = all_ones >> M << M;
  const u32 magnitude = bits & all_ones, sign = (bits & sign_bit) ? 0x80000000u : 0u;
  if (TOP == IEEE && magnitude >= infinity)
    return bitcast<float>(sign | 0x7f800000u | (magnitude - infinity) << (23 - M));
  if ((TOP == FN && magnitude == all_ones) || (TOP == FNUZ && bits == sign_bit)) return bitcast<float>(0x7fffffffu);
  if (magnitude >> M)
    return bitcast<float>(sign | (magnitude + ((u32)(127 - bias) << M)) << (23 - M));
  const float subnormal = (float)magnitude * bitcast<float>((u32)(128 - bias - M) << 23);
  return sign ? -subnormal : subnormal;
}

template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE float f32_to_tf32(float x) {
  return bitcast<float>(narrow_f32<8, 10, IEEE, MODE, SATURATE>(x) << 13);
}

template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e4m3fnuz f32_to_e4m3fnuz(float x) {
  return e4m3fnuz{(u8)narrow_f32<4, 3, FNUZ, MODE, SATURATE>(x)};
}

TDS_DEVICE float e4m3fnuz_to_f32(e4m3fnuz x) { return widen_to_f32<4, 3, FNUZ>(x.bits); }

template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e5m2fnuz f32_to_e5m2fnuz(float x) {
  return e5m2fnuz{(u8)narrow_f32<5, 2, FNUZ, MODE, SATURATE>(x)};
}

TDS_DEVICE float e5m2fnuz_to_f32(e5m2fnuz x) { return widen_to_f32<5, 2, FNUZ>(x.bits); }

template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e2m3 f32_to_e2m3(float x) {
  return e2m3{(u8)narrow_f32<2, 3, FINITE, MODE, SATURATE>(x)};
}

TDS_DEVICE float e2m3_to_f32(e2m3 x) { return widen_to_f32<2, 3, FINITE>(x.bits); }

template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e3m2 f32_to_e3m2(float x) {
  return e3m2{(u8)narrow_f32<3, 2, FINITE, MODE, SATURATE>(x)};
}

TDS_DEVICE float e3m2_to_f32(e3m2 x) { return widen_to_f32<3, 2, FINITE>(x.bits); }

// A power of two without sign: 2**(bits - 127), 255 is NaN, as is what has no such power.
template <int MODE = RN, bool SATURATE = false>
TDS_DEVICE e8m0 f32_to_e8m0(float x) {
  const u32 bits = bitcast<u32>(x);
  if (x != x || (bits >> 31) || (bits == 0x7f800000u && !SATURATE)) return e8m0{(u8)255};
  if (bits < 0x00400000u) {  // less than the least power
    const bool up = MODE == RN ? bits > 0x00200000u : MODE == RNA ? bits >= 0x00200000u : MODE == RP && bits != 0u;
    return e8m0{(u8)(up ? 0 : 255)};
  }
  const bool subnormal = bits < 0x00800000u;  // 2**-127 has half the mantissa of its successor
  const u32 power = subnormal ? 0u : bits >> 23, fraction = subnormal ? (bits - 0x00400000u) << 1 : bits & 0x7fffffu;
  const bool up = MODE == RN || MODE == RNA ? fraction >= 0x400000u : MODE == RP ? fraction != 0u : false;
  const u32 result = power + (up ? 1u : 0u);
  return e8m0{(u8)(result > 254u ? (SATURATE ? 254u : 255u) : result)};
}

TDS_DEVICE float e8m0_to_f32(e8m0 x) {
  return bitcast<float>(x.bits == 255u ? 0x7fffffffu : x.bits ? (u32)x.bits << 23 : 0x00400000u);
}

// Philox4x32-10 (Salmon et al., SC 2011): the word at a position of a sequence. Four words make a block.
TDS_DEVICE u32 random_bits(u32 low, u32 high, u32 sequence, u32 sequence_high, u32 key, u32 key_high) {
  u32 c0 = low >> 2 | high << 30, c1 = high >> 2, c2 = sequence, c3 = sequence_high;
  for (int i = 0; i < 10; ++i) {
    const u32 first = product_high(c0, 0xd2511f53u), second = product_high(c2, 0xcd9e8d57u);
    const u32 rest = c0 * 0xd2511f53u;
    c0 = second ^ c1 ^ key;
    c1 = c2 * 0xcd9e8d57u;
    c2 = first ^ c3 ^ key_high;
    c3 = rest;
    key += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
  return low & 2u ? (low & 1u ? c3 : c2) : (low & 1u ? c1 : c0);
}
