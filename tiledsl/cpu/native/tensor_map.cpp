#include "tensor_map.h"

namespace tds {

static BoxRow row_at(const Box& box, const i64* position) {  // of all dimensions but the innermost
  const TensorMap& m = box.map;
  char* p = reinterpret_cast<char*>(m.address);
  bool inside = true;
  for (int i = 1; i < m.rank; ++i) {
    inside &= position[i] >= 0 && position[i] < static_cast<i64>(m.extent[i]);
    p += position[i] * static_cast<i64>(m.stride[i]);
  }
  const i64 first = box.coordinates[0], n = box.elements_of_row(), extent = static_cast<i64>(m.extent[0]);
  i64 begin = first < 0 ? -first : 0, end = first + n > extent ? extent - first : n;
  if (!inside || begin >= end) begin = end = 0;
  return BoxRow{p + first * m.element_bytes, static_cast<u32>(begin) * m.element_bytes,
                static_cast<u32>(end) * m.element_bytes};
}

// The pixels run through the box between the corners, from the one that the coordinates name, then through the next
// images. The offsets of the filter, which follow the coordinates, move each pixel.
static BoxRow pixel_of(const Box& box, u32 pixel) {
  const TensorMap& m = box.map;
  i64 at[5];
  for (int i = 0; i < m.rank; ++i) at[i] = box.coordinates[i];
  for (; pixel; --pixel) {
    int dim = 1;
    for (; dim < m.rank - 1; ++dim) {
      at[dim] += m.step[dim];
      if (at[dim] < static_cast<i64>(m.extent[dim]) + m.upper[dim - 1]) break;
      at[dim] = m.lower[dim - 1];
    }
    if (dim == m.rank - 1) ++at[dim];
  }
  for (int i = 1; i < m.rank - 1; ++i) at[i] += box.coordinates[m.rank + i - 1];
  return row_at(box, at);
}

BoxRow row_of(const Box& box, u32 row) {
  if (box.map.is_im2col) return pixel_of(box, row);
  i64 at[5];
  for (int i = 1; i < box.map.rank; ++i) {
    at[i] = box.coordinates[i] + static_cast<i64>(row % box.loaded(i)) * box.map.step[i];
    row /= box.loaded(i);
  }
  return row_at(box, at);
}

}  // namespace tds
