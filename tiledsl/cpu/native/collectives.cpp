// What the lanes of a warp do together: shuffles, votes, ldmatrix, stmatrix, mma.
#include <cstring>

#include "mathematics.h"
#include "detector.h"
#include "observer.h"

namespace tds {

#include "atoms.inc"

static std::string at_collective(const Fiber& f) {
  return std::string("wait at ") + f.warp->what + " in " + line_of(f.at);
}

bool last_to_arrive(Fiber* f, const char* what, Site at, const void* caller) {
  Warp& w = *f->warp;
  f->at = at;
  if (!w.arrived) {
    w.what = what;
    w.at = at;
    w.caller = caller;
  } else if (w.caller != caller || (w.what != what && strcmp(w.what, what) != 0)) {
    const std::string other = std::string(w.what) + " in " + line_of(w.at);
    Finding wrong = finding(811, at);
    wrong.other_at = w.at;
    wrong.facts = {{"what", std::string(what) + " (other threads of the warp are at " + other + ")"}, {"where", where()}};
    fail(std::move(wrong));
  }
  w.arrived |= 1u << f->lane;
  if (w.arrived == w.lanes) return true;
  wait_as(at_collective);
  return false;
}

void release_warp(Warp& w) {
  on_meeting(w);
  w.arrived = 0;
  make_ready(w, w.lanes);
}

void require_whole_warp(const Warp& w, const char* what, Site at) {
  if (w.lanes != ~0u) fail(811, at, {{"what", what}, {"where", where()}});
}

static u32 source_lane(int kind, u32 lane, int argument) {
  const i64 from = kind == SHUFFLE_XOR  ? static_cast<i64>(lane ^ static_cast<u32>(argument))
                   : kind == SHUFFLE_UP ? static_cast<i64>(lane) - argument
                   : kind == SHUFFLE_DOWN ? static_cast<i64>(lane) + argument
                                          : static_cast<i64>(argument & 31);
  return from < 0 || from >= LANES ? lane : static_cast<u32>(from);  // out of range: the own value (PTX ISA, "shfl.sync")
}

// ---- matrix multiply-accumulate. Products are exact in float64, as are most sums; the result is rounded once.

static const float* f16_values() {
  static float table[1 << 16];
  static const bool filled = [] {
    for (u32 i = 0; i < 1u << 16; ++i) table[i] = widen_to_f32<5, 10, IEEE>(i);
    return true;
  }();
  (void)filled;
  return table;
}

// T is what a register holds, `value` its meaning as float64.
template <class T, class F>
static void gather_as(double* tile, const Operand& o, const void* const* registers, F value) {
  const u16* position = o.positions;
  for (u32 lane = 0; lane < LANES; ++lane) {
    const T* held = static_cast<const T*>(registers[lane]);
    for (int r = 0; r < o.registers; ++r) tile[*position++] = value(held[r]);
  }
}

static void gather(double* tile, const Operand& o, const void* const* registers) {
  const float* f16 = f16_values();
  const auto plain = [](auto x) { return static_cast<double>(x); };
  switch (o.element) {
    case Element::F16: return gather_as<u16>(tile, o, registers, [&](u16 x) { return f16[x]; });
    case Element::BF16: return gather_as<u16>(tile, o, registers, [](u16 x) { return bitcast<float>((u32)x << 16); });
    case Element::TF32: return gather_as<u32>(tile, o, registers, [](u32 x) { return bitcast<float>(x & 0xffffe000u); });
    case Element::E4M3: return gather_as<u8>(tile, o, registers, [](u8 x) { return widen_to_f32<4, 3, FN>(x); });
    case Element::E5M2: return gather_as<u8>(tile, o, registers, [](u8 x) { return widen_to_f32<5, 2, IEEE>(x); });
    case Element::F32: return gather_as<float>(tile, o, registers, plain);
    case Element::F64: return gather_as<double>(tile, o, registers, plain);
    case Element::S8: return gather_as<i8>(tile, o, registers, plain);
    case Element::U8: return gather_as<u8>(tile, o, registers, plain);
    case Element::S32: return gather_as<i32>(tile, o, registers, plain);
    case Element::U16: return gather_as<u16>(tile, o, registers, plain);
  }
}

static void scatter(const double* tile, const Operand& o, void* const* registers) {
  for (u32 lane = 0; lane < LANES; ++lane) {
    for (int r = 0; r < o.registers; ++r) {
      const double x = tile[o.positions[lane * o.registers + r]];
      switch (o.element) {
        case Element::F64: static_cast<double*>(registers[lane])[r] = x; break;
        case Element::F32: static_cast<float*>(registers[lane])[r] = static_cast<float>(x); break;
        case Element::F16:
          static_cast<u16*>(registers[lane])[r] =
              static_cast<u16>(narrow_f32<5, 10, IEEE, RN, false>(f64_to_f32_odd(x)));
          break;
        default: static_cast<u32*>(registers[lane])[r] = static_cast<u32>(static_cast<i64>(x)); break;  // wraps
      }
    }
  }
}

// The dense matrix (m, k) of the kept elements (m, k / 2), in place. Words of metadata have four bits for each pair.
static void expand(double* a, const MmaRow& row, const Warp& w, Site at) {
  constexpr int GROUPS = 4, WORDS = 4, M = 16;  // of a word; of a row at most
  double words[M * WORDS], dense[M * WORDS * GROUPS * 4] = {};
  const int pairs = row.k / 4, words_of_row = row.k / 16;
  gather(words, row.e, w.metadata);
  for (int i = 0; i < row.m; ++i)
    for (int p = 0; p < pairs; ++p) {
      const u32 word = static_cast<u32>(words[i * words_of_row + p / GROUPS]) >> (p % GROUPS * 4);
      const u32 first = word & 3, second = word >> 2 & 3;
      if (first >= second)
        fail(864, at, {{"row", std::to_string(i)}, {"group", std::to_string(p)}, {"first", std::to_string(first)},
                       {"second", std::to_string(second)}});
      dense[i * row.k + p * 4 + first] = a[(i * pairs + p) * 2];
      dense[i * row.k + p * 4 + second] = a[(i * pairs + p) * 2 + 1];
    }
  memcpy(a, dense, sizeof(double) * row.m * row.k);
}

static void multiply(const MmaRow& row, Warp& w, Site at) {
  constexpr int N = 8, MAX_M = 16, MAX_K = 64;  // n is 8 in every row of mma.sync
  alignas(64) double a[MAX_M * MAX_K], b[MAX_K * N], d[MAX_M * N];
  gather(a, row.a, w.from);
  if (row.e.registers) expand(a, row, w, at);
  gather(b, row.b, w.also_from);
  gather(d, row.d, w.to);
  for (int i = 0; i < row.m; ++i) {
    double sum[N];
    for (int j = 0; j < N; ++j) sum[j] = d[i * N + j];
    for (int k = 0; k < row.k; ++k)
      for (int j = 0; j < N; ++j) sum[j] += a[i * row.k + k] * b[k * N + j];
    for (int j = 0; j < N; ++j) d[i * N + j] = sum[j];
  }
  scatter(d, row.d, w.to);
}

}  // namespace tds

using namespace tds;

extern "C" u64 tds_rt_shuffle(int kind, u64 value, int argument, Site at) {
  Fiber* f = self();
  Warp& w = *f->warp;
  w.value[f->lane] = value;
  w.argument[f->lane] = argument;
  if (!last_to_arrive(f, "a shuffle", at, TDS_CALLER(at))) return w.value[f->lane];
  u64 result[LANES];
  for (u32 lane = 0; lane < LANES; ++lane) {
    if (!(w.lanes >> lane & 1)) continue;
    const u32 source = source_lane(kind, lane, w.argument[lane]);
    if (!(w.lanes >> source & 1))
      fail(832, at, {{"lane", std::to_string(lane)}, {"source", std::to_string(source)}, {"where", where()}});
    result[lane] = w.value[source];
  }
  memcpy(w.value, result, sizeof result);
  release_warp(w);
  return result[f->lane];
}

extern "C" int tds_rt_vote(int kind, int value, Site at) {
  Fiber* f = self();
  Warp& w = *f->warp;
  w.value[f->lane] = value != 0;
  if (!last_to_arrive(f, "a vote", at, TDS_CALLER(at))) return static_cast<int>(w.value[f->lane]);
  u32 votes = 0;
  for (u32 lane = 0; lane < LANES; ++lane)
    if (w.lanes >> lane & 1) votes |= static_cast<u32>(w.value[lane]) << lane;
  const int result = kind == VOTE_ANY ? votes != 0 : votes == w.lanes;
  for (u64& v : w.value) v = static_cast<u64>(result);
  release_warp(w);
  return result;
}


// PTX ISA, "ldmatrix": lane 8 * q + r gives the address of row r of matrix q; each lane gets two neighbours of a row, or
// with .trans of a column.
extern "C" void tds_rt_ldmatrix(void* registers, u32 row, int matrices, int transposed, Site at) {
  Fiber* f = self();
  Warp& w = *f->warp;
  require_whole_warp(w, "ldmatrix", at);
  w.to[f->lane] = registers;
  w.address[f->lane] = row;
  if (!last_to_arrive(f, "ldmatrix", at, TDS_CALLER(at))) return;
  on_rows(w, matrices, transposed);
  for (int q = 0; q < matrices; ++q) {
    u16 tile[8][8];
    for (int r = 0; r < 8; ++r) {
      const u32 offset = w.address[8 * q + r] - SHARED_BASE;
      check_shared(w.fibers[8 * q + r], *f->cta, offset, 16, READ, Kind::LDMATRIX, at);
      memcpy(tile[r], f->shared + offset, 16);
    }
    for (u32 lane = 0; lane < LANES; ++lane) {
      const u32 r = lane / 4, c = lane % 4 * 2;
      u16* to = static_cast<u16*>(w.to[lane]) + 2 * q;
      to[0] = transposed ? tile[c][r] : tile[r][c];
      to[1] = transposed ? tile[c + 1][r] : tile[r][c + 1];
    }
  }
  release_warp(w);
}

extern "C" void tds_rt_stmatrix(u32 row, const void* registers, int matrices, int transposed, Site at) {
  Fiber* f = self();
  Warp& w = *f->warp;
  require_whole_warp(w, "stmatrix", at);
#if TDS_CHECKED
  if (f->cta->extension) f->cta->extension->registers_used(f, registers, static_cast<u32>(4 * matrices), at);
#endif
  w.from[f->lane] = registers;
  w.address[f->lane] = row;
  if (!last_to_arrive(f, "stmatrix", at, TDS_CALLER(at))) return;
  on_rows(w, matrices, transposed);
  for (int q = 0; q < matrices; ++q) {
    u16 tile[8][8];
    for (u32 lane = 0; lane < LANES; ++lane) {
      const u32 r = lane / 4, c = lane % 4 * 2;
      const u16* from = static_cast<const u16*>(w.from[lane]) + 2 * q;
      (transposed ? tile[c][r] : tile[r][c]) = from[0];
      (transposed ? tile[c + 1][r] : tile[r][c + 1]) = from[1];
    }
    for (int r = 0; r < 8; ++r) {
      const u32 offset = w.address[8 * q + r] - SHARED_BASE;
      check_shared(w.fibers[8 * q + r], *f->cta, offset, 16, WRITE, Kind::STMATRIX, at);
      memcpy(f->shared + offset, tile[r], 16);
    }
  }
  release_warp(w);
}

extern "C" void tds_rt_mma(int row, void* d, const void* a, const void* b, const void* e, Site at) {
  Fiber* f = self();
  Warp& w = *f->warp;
  require_whole_warp(w, MMA_ROWS[row].name, at);
#if TDS_CHECKED
  if (f->cta->extension) f->cta->extension->registers_used(f, d, 4, at);
#endif
  w.to[f->lane] = d;
  w.from[f->lane] = a;
  w.also_from[f->lane] = b;
  w.metadata[f->lane] = e;
  if (!last_to_arrive(f, MMA_ROWS[row].name, at, TDS_CALLER(at))) return;
  multiply(MMA_ROWS[row], w, at);
  release_warp(w);
}

static std::string at_syncwarp(const Fiber& f) { return "wait at __syncwarp in " + line_of(f.at); }

// Subsets of a warp meet by their mask; all lanes of it must come.
extern "C" void tds_rt_syncwarp(u32 lanes, Site at) {
  Fiber* f = self();
  Warp& w = *f->warp;
  f->at = at;
  lanes &= w.lanes;
  if (!(lanes >> f->lane & 1)) fail(811, at, {{"what", "a __syncwarp whose mask lacks the thread"}, {"where", where()}});
  u32 here = 1u << f->lane;
  for (u32 lane = 0; lane < LANES; ++lane)
    if ((lanes >> lane & 1) && w.fibers[lane]->waits_for == at_syncwarp && w.fibers[lane]->wait_argument == lanes)
      here |= 1u << lane;
  if (here != lanes) return wait_as(at_syncwarp, nullptr, lanes);
  join_lanes(w, lanes);
  for (u32 lane = 0; lane < LANES; ++lane)
    if (lanes >> lane & 1) w.fibers[lane]->waits_for = nullptr;
  make_ready(w, lanes);
  may_yield();
}
