// Which bytes a copy by tensor map moves: rows of a box, or pixels of im2col.
#pragma once

#include "types_hopper.h"

namespace tds {

constexpr int MAX_COORDINATES = 8;

// One copy: the map is copied, as the thread that gave it may have ended when the data moves.
struct Box {
  TensorMap map;
  int coordinates[MAX_COORDINATES];

  u32 loaded(int dim) const { return (map.box[dim] + map.step[dim] - 1) / map.step[dim]; }
  u32 elements_of_row() const { return map.is_im2col ? map.channels : loaded(0); }
  u32 bytes_of_row() const { return elements_of_row() * map.element_bytes; }
  u32 rows() const {
    if (map.is_im2col) return map.pixels;
    u32 n = 1;
    for (int i = 1; i < map.rank; ++i) n *= loaded(i);
    return n;
  }
  u32 bytes() const { return rows() * bytes_of_row(); }
};

// A row in global memory: bytes [begin, end) of it exist, at `memory` + their number; the others are out of bounds.
struct BoxRow {
  char* memory;
  u32 begin, end;
};

BoxRow row_of(const Box& box, u32 row);

// Where byte `offset` of shared memory lies in a tile with this swizzle: bits 7 and up are XORed into bits 4 and up.
// The tile may begin anywhere: the pattern belongs to the address (PTX ISA, "Swizzling Modes").
inline u32 swizzled(u32 offset, int mode) {
  constexpr u32 MASK[] = {0, 1, 3, 7};  // none, 32, 64, 128 bytes
  return offset ^ (offset >> 7 & MASK[mode]) << 4;
}

}  // namespace tds
