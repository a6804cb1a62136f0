// Copies by the copy engine: tiles by tensor maps, and consecutive bytes. Source: PTX ISA, "Data Movement and Conversion
// Instructions: Bulk copy", "Tensor copy".
#include <cstring>
#include <utility>

#include "hopper.h"
#include "observer.h"
#include "reduction.h"
#include "tensor_map.h"

namespace tds {

// ---- checks at the issue

static void check_aligned(u64 value, u32 alignment, const char* what, Site at) {
  if (value % alignment == 0) return;
  fail(806, at, {{"buffer", what}, {"bytes", number(alignment)}, {"offset", number(static_cast<i64>(value))},
                 {"where", where()}});
}

static void check_coordinates(const TensorMap& map, const int* c, bool store, Site at) {
  constexpr int ABSENT = -2147483647 - 1;
  int given = 0;
  while (given <= MAX_COORDINATES && c[given] != ABSENT) ++given;
  const int expected = map.is_im2col ? 2 * map.rank - 2 : map.rank;
  if (given != expected || (store && map.is_im2col))
    fail(854, at, {{"given", number(given)}, {"expected", number(expected)}, {"rank", number(map.rank)},
                   {"where", where()}});
}

#if TDS_CHECKED
static void touch_engine(Cta& cta, u32 offset, u32 bytes, u32 id, const Knower& k) {
  for (u32 x = 0; x < bytes; x += 16) touch_shared(cta, offset + x, 16, id, k);
}
#endif

// ---- loads

// Data on its way into shared memory; complete on a barrier.
struct Load : AsyncOperation {
  Cta* cta;
  u32 offset;
  Mbarrier* barrier;
  Site at;
  u32 event = 0;

  // Bytes have arrived; with the last ones the write is known to those who wait for the phase in which they count.
  void arrived(u32 bytes, bool last) {
#if TDS_CHECKED
    if (last) {
      complete_event(event, agent_of(*barrier), next_phase(*barrier));
      barrier->brought = {next_phase(*barrier), offset, at};
    }
#else
    (void)last;
#endif
    complete_bytes(*barrier, bytes);
  }
};

// Before the data arrives its destination holds NaNs.
static void begin_load(Fiber* f, Load& l, u32 bytes) {
  check_for_copy_engine(*l.barrier, l.at);
  for (u32 x = 0; x < bytes; x += 16) check_shared_bounds(*l.cta, l.offset + x, 16, l.at);
#if TDS_CHECKED
  l.event = new_event(Event{l.at, agent_of(*l.barrier), f->number, 0, Kind::BULK_LOAD, WRITES | ASYNC | PENDING});
  touch_engine(*l.cta, l.offset, bytes, l.event, knower(f));
#else
  (void)f;
#endif
  if (worker->observer) {
    on_operation(f, "bulk load", l.at);
    expect_at(*l.barrier, l.cta == f->cta ? on_flight(f, l.offset, bytes, "bulk load", l.at) : moment(f));
  }
  if (worker->launch->mode != Mode::EARLY) memset(l.cta->shared + l.offset, 0xff, bytes);
}

static void read_global(Fiber* f, const void* p, u32 bytes, Site at) {
  if (!bytes) return;
  const Memory& m = check_global_bounds(p, bytes, 1, at);
#if TDS_CHECKED
  if (m.written) touch_global(p, bytes, new_event(Event{at, f->number, f->number, f->clock.own, Kind::BULK_GLOBAL, ASYNC}),
                              knower_of_global(f));
#else
  (void)f, (void)m;
#endif
}

struct TileLoad : Load {
  Box box;
  u32 row = 0;

  void load_row() {
    const BoxRow from = row_of(box, row);
    const u32 bytes = box.bytes_of_row();
    const u8 fill = box.map.fill_nan ? 0xff : 0;
    for (u32 x = 0; x < bytes; x += 16) {
      char unit[16];
      for (u32 i = 0; i < 16; ++i)
        unit[i] = x + i >= from.begin && x + i < from.end ? from.memory[x + i] : static_cast<char>(fill);
      memcpy(cta->shared + swizzled(offset + row * bytes + x, box.map.swizzle), unit, 16);
    }
    ++row;
  }
  bool step() override {
    const u32 left = box.rows() - row;
    const u32 now = worker->launch->mode == Mode::RANDOM ? 1 + static_cast<u32>(next_random() % left) : left;
    for (u32 i = 0; i < now; ++i) load_row();
    const bool complete = row == box.rows();
    arrived(now * box.bytes_of_row(), complete);
    return complete;
  }
};

struct BytesLoad : Load {
  const char* from;
  u32 bytes;
  Cta* source = nullptr;  // the block whose shared memory it reads
  u32 read_event = 0;

  bool step() override {
    memcpy(cta->shared + offset, from, bytes);
    if (source) has_read();
    arrived(bytes, true);
    return true;
  }

  // Those know that the source has been read who wait for the phase in which the bytes count. Whoever owns the source
  // must be one of them when it ends.
  void has_read() {
#if TDS_CHECKED
    complete_event(read_event, agent_of(*barrier), next_phase(*barrier));
    if (source != cta) hopper(*source).visits.push_back(Visit{agent_of(*barrier), next_phase(*barrier), at});
#endif
  }
};

// The blocks that a load with this mask of ranks goes to; with 0 the one that the address belongs to.
template <class F>
static void for_each_receiver(u32 to, u32 ranks, u32 barrier, Site at, F start) {
  Fiber* f = self();
  u32 offset, barrier_offset;
  Cta& own = owner_of(to, offset);
  Cta& barrier_owner = owner_of(barrier, barrier_offset);
  if (!ranks) return start(own, offset, mbarrier_at(barrier, "a bulk load", at));
  (void)barrier_owner;
  for (u32 rank = 0; rank < 32; ++rank) {
    if (!(ranks >> rank & 1)) continue;
    Cta* peer = cluster_peer(*f->cta, rank);
    if (!peer) fail(857, at, {{"problem", "the cluster has no block of rank " + number(rank)}, {"where", where()}});
    start(*peer, offset, mbarrier_of(*peer, barrier_offset, "a bulk load", at));
  }
}

// ---- stores

struct TileStore : BulkStore {
  Fiber* fiber;
  Box box;
  int reduction;

  void perform() override {
    const u32 bytes = box.bytes_of_row();
    for (u32 r = 0; r < box.rows(); ++r) {
      const BoxRow to = row_of(box, r);
      for (u32 x = to.begin; x < to.end;) {
        const u32 n = (to.end < (x | 15) + 1 ? to.end : (x | 15) + 1) - x;
        const char* from = fiber->shared + swizzled((offset + r * bytes + x) & ~15u, box.map.swizzle) + (x & 15);
        if (reduction == REPLACE)
          memcpy(to.memory + x, from, n);
        else
          reduce(to.memory + x, from, n, reduction, box.map.data_type);
        x += n;
      }
    }
    done = true;
  }
};

struct BytesStore : BulkStore {
  Fiber* fiber;
  char* to;
  u32 bytes;
  void perform() override {
    memcpy(to, fiber->shared + offset, bytes);
    done = true;
  }
};

struct Deferred : AsyncOperation {
  std::shared_ptr<BulkStore> store;
  bool step() override {
    if (!store->done) store->perform();
    return true;
  }
};

static void begin_store(Fiber* f, std::shared_ptr<BulkStore> s, u32 bytes) {
  for (u32 x = 0; x < bytes; x += 16) check_shared_bounds(*f->cta, s->offset + x, 16, s->at);
  s->group = hopper_thread(f).bulk_groups;
#if TDS_CHECKED
  s->read_event = new_event(Event{s->at, f->number, f->number, 0, Kind::BULK_STORE, ASYNC | PENDING});
  touch_engine(*f->cta, s->offset, bytes, s->read_event, knower(f));
#endif
  hopper_thread(f).stores.push_back(s);
  on_operation(f, "bulk store", s->at);
  on_flight(f, s->offset, bytes, "bulk store", s->at);
}

static void write_global(Fiber* f, BulkStore& s, const void* p, u32 bytes, bool atomically) {
  if (!bytes) return;
  check_global_bounds(p, bytes, 1, s.at);
#if TDS_CHECKED
  const u8 flags = static_cast<u8>(WRITES | ASYNC | PENDING | (atomically ? ATOMICALLY : 0));
  if (!s.write_event) s.write_event = new_event(Event{s.at, f->number, f->number, 0, Kind::BULK_GLOBAL, flags});
  touch_global(p, bytes, s.write_event, knower_of_global(f));
#else
  (void)f, (void)atomically;
#endif
}

static void start(std::shared_ptr<BulkStore> s) {
  auto deferred = std::make_unique<Deferred>();
  deferred->store = std::move(s);
  post(std::move(deferred));
}

// The thread knows that the sources have been read, and if `written` that the data is there.
static void complete(Fiber* f, BulkStore& s, bool written) {
  if (!s.done) s.perform();
  [[maybe_unused]] const bool known = std::exchange(s.read, true);
#if TDS_CHECKED
  if (!known) complete_event(s.read_event, f->number, f->clock.own);  // a later wait tells nothing new
  if (written && s.write_event) complete_event(s.write_event, f->number, f->clock.own);
#else
  (void)f, (void)written;
#endif
}

void end_bulk(Fiber* f) {
  for (const auto& s : hopper_thread(f).stores) {
#if TDS_CHECKED
    if (!s->read) report(finding_at(853, s->at, s->offset));
#endif
    complete(f, *s, true);
  }
  hopper_thread(f).stores.clear();
}

}  // namespace tds

using namespace tds;

extern "C" void tds_rt_tma_load(u32 to, const TensorMap* map, u32 barrier, u32 ranks, const int* c, Site at) {
  Fiber* f = self();
  f->at = at;
  check_coordinates(*map, c, false, at);
  Box box;
  box.map = *map;
  memcpy(box.coordinates, c, sizeof(int) * static_cast<size_t>(map->is_im2col ? 2 * map->rank - 2 : map->rank));
  for (u32 row = 0; row < box.rows(); ++row) {
    const BoxRow r = row_of(box, row);
    read_global(f, r.memory + r.begin, r.end - r.begin, at);
  }
  for_each_receiver(to, ranks, barrier, at, [&](Cta& cta, u32 offset, Mbarrier& m) {
    auto load = std::make_unique<TileLoad>();
    load->cta = &cta;
    load->offset = offset;
    load->barrier = &m;
    load->at = at;
    load->box = box;
    check_aligned(offset, 128, "shared memory", at);
    begin_load(f, *load, box.bytes());
    post(std::move(load));
  });
  may_yield();
}

static void load_bytes(u32 to, const void* from, u32 bytes, u32 barrier, u32 ranks, Cta* source, Site at) {
  Fiber* f = self();
  check_aligned(bytes, 16, "the size of a bulk copy", at);
  for_each_receiver(to, ranks, barrier, at, [&](Cta& cta, u32 offset, Mbarrier& m) {
    auto load = std::make_unique<BytesLoad>();
    load->cta = &cta;
    load->offset = offset;
    load->barrier = &m;
    load->at = at;
    load->from = static_cast<const char*>(from);
    load->bytes = bytes;
    load->source = source;
#if TDS_CHECKED
    if (source) {
      load->read_event = new_event(Event{at, agent_of(m), f->number, 0, Kind::BULK_SEND, ASYNC | PENDING});
      touch_engine(*source, static_cast<u32>(load->from - source->shared), bytes, load->read_event, knower(f));
    }
#endif
    begin_load(f, *load, bytes);
    post(std::move(load));
  });
  may_yield();
}

extern "C" void tds_rt_bulk_load(u32 to, const void* from, u32 bytes, u32 barrier, u32 ranks, Site at) {
  Fiber* f = self();
  f->at = at;
  check_aligned(reinterpret_cast<u64>(from), 16, "the source of a bulk copy", at);
  read_global(f, from, bytes, at);
  load_bytes(to, from, bytes, barrier, ranks, nullptr, at);
}

extern "C" void tds_rt_bulk_copy_cluster(u32 to, u32 from, u32 bytes, u32 barrier, Site at) {
  Fiber* f = self();
  f->at = at;
  const u32 offset = from - SHARED_BASE;
  for (u32 x = 0; x < bytes; x += 16) check_shared_bounds(*f->cta, offset + x, 16, at);
  check_aligned(offset, 16, "the source of a bulk copy", at);
  load_bytes(to, f->shared + offset, bytes, barrier, 0, f->cta, at);
}

extern "C" void tds_rt_tma_store(const TensorMap* map, u32 from, int reduction, const int* c, Site at) {
  Fiber* f = self();
  f->at = at;
  check_coordinates(*map, c, true, at);
  auto s = std::make_shared<TileStore>();
  s->fiber = f;
  s->at = at;
  s->offset = from - SHARED_BASE;
  s->reduction = reduction;
  s->box.map = *map;
  memcpy(s->box.coordinates, c, sizeof(int) * map->rank);
  check_aligned(s->offset, 128, "shared memory", at);
  begin_store(f, s, s->box.bytes());
  for (u32 row = 0; row < s->box.rows(); ++row) {
    const BoxRow r = row_of(s->box, row);
    write_global(f, *s, r.memory + r.begin, r.end - r.begin, reduction != REPLACE);
  }
  start(s);
}

extern "C" void tds_rt_bulk_store(void* to, u32 from, u32 bytes, Site at) {
  Fiber* f = self();
  f->at = at;
  check_aligned(bytes, 16, "the size of a bulk copy", at);
  check_aligned(reinterpret_cast<u64>(to), 16, "the destination of a bulk copy", at);
  auto s = std::make_shared<BytesStore>();
  s->fiber = f;
  s->at = at;
  s->offset = from - SHARED_BASE;
  s->to = static_cast<char*>(to);
  s->bytes = bytes;
  begin_store(f, s, bytes);
  write_global(f, *s, to, bytes, false);
  start(s);
}

extern "C" void tds_rt_bulk_commit(Site) {
  ++hopper_thread(self()).bulk_groups;
  may_yield();
}

extern "C" void tds_rt_bulk_wait(int pending, int until_read, Site at) {
  Fiber* f = self();
  f->at = at;
  HopperThread& t = hopper_thread(f);
  size_t kept = 0;
  for (size_t i = 0; i < t.stores.size(); ++i) {
    std::shared_ptr<BulkStore> s = t.stores[i];
    const bool waited = s->group + static_cast<u64>(pending) < t.bulk_groups;
    if (waited) complete(f, *s, !until_read);
    if (!waited || until_read) t.stores[kept++] = s;
  }
  t.stores.resize(kept);
}
