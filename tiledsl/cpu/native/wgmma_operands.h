// The operands of wgmma in shared memory: descriptors (isa/descriptor.py), and elements as float64.
#pragma once

#include <cstring>

#include "hopper.h"
#include "mathematics.h"

namespace tds {

constexpr int M = 64, MAX_N = 256, MAX_K = 32;
enum Layout { UNSWIZZLED, SWIZZLE_128, SWIZZLE_64, SWIZZLE_32 };

inline int bytes_of(Element e) {
  switch (e) {
    case Element::TF32:
    case Element::F32:
    case Element::S32: return 4;
    case Element::F16:
    case Element::BF16: return 2;
    default: return 1;
  }
}

inline double value_of(Element e, const void* p) {
  switch (e) {
    case Element::F16: return widen_to_f32<5, 10, IEEE>(*static_cast<const u16*>(p));
    case Element::BF16: return bitcast<float>(static_cast<u32>(*static_cast<const u16*>(p)) << 16);
    case Element::TF32: return bitcast<float>(*static_cast<const u32*>(p) & 0xffffe000u);
    case Element::F32: return *static_cast<const float*>(p);
    case Element::E4M3: return widen_to_f32<4, 3, FN>(*static_cast<const u8*>(p));
    case Element::E5M2: return widen_to_f32<5, 2, IEEE>(*static_cast<const u8*>(p));
    case Element::S8: return *static_cast<const i8*>(p);
    case Element::U8: return *static_cast<const u8*>(p);
    default: return *static_cast<const i32*>(p);
  }
}

// Values of 16 bits by table: they are most of what is multiplied.
inline const double* table_of(Element e) {
  static double f16[1 << 16], bf16[1 << 16];
  static const bool filled = [] {
    for (u32 i = 0; i < 1u << 16; ++i) {
      const u16 bits = static_cast<u16>(i);
      f16[i] = value_of(Element::F16, &bits);
      bf16[i] = value_of(Element::BF16, &bits);
    }
    return true;
  }();
  (void)filled;
  return e == Element::F16 ? f16 : e == Element::BF16 ? bf16 : nullptr;
}

inline void widen(double* to, const char* from, int count, Element e) {
  const double* table = table_of(e);
  const int size = bytes_of(e);
  for (int i = 0; i < count; ++i) {
    if (table) {
      u16 bits;
      memcpy(&bits, from + 2 * i, 2);
      to[i] = table[bits];
    } else {
      to[i] = value_of(e, from + size * i);
    }
  }
}

// ---- descriptors

struct Descriptor {
  u32 start, leading, stride, base_offset;
  int layout;
  explicit Descriptor(u64 bits)
      : start((bits & 0x3fff) << 4),
        leading((bits >> 16 & 0x3fff) << 4),
        stride((bits >> 32 & 0x3fff) << 4),
        base_offset(bits >> 49 & 7),
        layout(static_cast<int>(bits >> 62)) {}

  // The address of 16 bytes. K-major: `row` along m or n, `unit` along k; else `row` along k, `unit` along m or n.
  u32 address(u32 row, u32 unit, bool along_k) const {
    constexpr u32 UNITS[] = {1, 8, 4, 2};
    const u32 w = UNITS[layout];
    u32 a = start + row % 8 * w * 16;
    if (layout == UNSWIZZLED) return a + row / 8 * (along_k ? stride : leading) + unit * (along_k ? leading : stride);
    a += row / 8 * stride + (along_k ? unit * 16 : unit % w * 16 + unit / w * leading);
    return a ^ (a / 128 - base_offset) % w * 16;
  }
};

// Calls visit(offset in shared memory, row, unit) for the 16 bytes each that an operand of `extent` x k consists of.
template <class F>
inline void for_each_unit(u64 descriptor, int extent, Element e, int k, bool along_k, F visit) {
  const Descriptor d(descriptor);
  const int per_unit = 16 / bytes_of(e);
  const int rows = along_k ? extent : k, units = (along_k ? k : extent) / per_unit;
  for (int row = 0; row < rows; ++row)
    for (int unit = 0; unit < units; ++unit)
      visit(d.address(static_cast<u32>(row), static_cast<u32>(unit), along_k) - SHARED_BASE, row, unit);
}

// The operand as a matrix of `extent` x k, or with `transposed` of k x extent.
inline void read_operand(const Cta& cta, u64 descriptor, int extent, Element e, int k, bool along_k, bool transposed,
                         double* to) {
  const int n = 16 / bytes_of(e);
  for_each_unit(descriptor, extent, e, k, along_k, [&](u32 offset, int row, int unit) {
    double values[16];
    widen(values, cta.shared + offset, n, e);
    for (int i = 0; i < n; ++i) {
      const int line = along_k ? row : unit * n + i, column = along_k ? unit * n + i : row;
      to[transposed ? column * extent + line : line * k + column] = values[i];
    }
  });
}

inline void check_operand(Cta& cta, u64 descriptor, int extent, Element e, int k, bool along_k, Site at) {
  for_each_unit(descriptor, extent, e, k, along_k, [&](u32 offset, int, int) { check_shared_bounds(cta, offset, 16, at); });
}

}  // namespace tds
