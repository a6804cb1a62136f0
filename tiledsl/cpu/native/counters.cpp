// Requests of warps, and what they cost. The same definitions as in analysis/requests.py.
#include "counters.h"

#if TDS_CHECKED

#include <algorithm>

namespace tds {

// ---- the cost of one request

// Lanes of a phase fill 128 bytes together; it takes as many wavefronts as there are different words in one bank.
static void count_shared(const Request& r, Tally& t) {
  const u32 words = std::max(1u, r.bytes / BANK_BYTES), lanes = std::min(LANES, BANKS / words);
  for (u32 first = 0; first < LANES; first += lanes) {
    u64 wanted[BANKS][LANES];
    u32 different[BANKS] = {}, most = 0;
    for (u32 lane = first; lane < first + lanes; ++lane) {
      if (!(r.lanes >> lane & 1)) continue;
      for (u32 w = 0; w < words; ++w) {
        const u64 word = r.address[lane] / BANK_BYTES + w;
        const u32 bank = word % BANKS;
        u64* const end = wanted[bank] + different[bank];
        if (std::find(wanted[bank], end, word) != end) continue;
        *end = word;
        most = std::max(most, ++different[bank]);
      }
    }
    t.transactions += most;
    t.ideal += most > 0;
  }
}

static u64 distinct(u64* values, u32 count) {
  std::sort(values, values + count);
  return static_cast<u64>(std::unique(values, values + count) - values);
}

static void count_global(const Request& r, Tally& t) {
  u64 sectors[2 * LANES], starts[LANES];
  u32 n = 0;
  for (u32 lane = 0; lane < LANES; ++lane) {
    if (!(r.lanes >> lane & 1)) continue;
    sectors[2 * n] = r.address[lane] / SECTOR_BYTES;
    sectors[2 * n + 1] = (r.address[lane] + r.bytes - 1) / SECTOR_BYTES;
    starts[n++] = r.address[lane];
  }
  t.transactions += distinct(sectors, 2 * n);
  t.ideal += (distinct(starts, n) * r.bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
}

void Counters::add(const RowKey& key, const Request& r) {
  Tally& t = table[key];
  ++t.requests;
  t.bytes += static_cast<u64>(__builtin_popcount(r.lanes)) * r.bytes;
  if (key.place == Place::SHARED)
    count_shared(r, t);
  else
    count_global(r, t);
}

// ---- requests from the accesses of single lanes

u32 Counters::number_of(const CallSite& site) {
  std::vector<u32>& same = by_caller[site.caller];
  for (u32 n : same) {
    const RowKey& k = sites[n].key;
    // Tiles that share bytes make several buffers of one: a request of shared memory is named by its first lane.
    const bool same_buffer = k.place == Place::SHARED || k.buffer == site.key.buffer;
    if (k.place == site.key.place && same_buffer && k.what == site.key.what) return n;
  }
  sites.push_back(site);
  same.push_back(static_cast<u32>(sites.size() - 1));
  return same.back();
}

void Counters::access(const Fiber* f, Place place, u64 address, u32 buffer, u32 bytes, const char* what, Site at,
                      const void* caller) {
  const u32 site = number_of(CallSite{RowKey{at, what, place, buffer}, caller});
  if (f->warp->number >= warps.size()) warps.resize(f->warp->number + 1);
  WarpState& w = warps[f->warp->number];
  if (site >= w.requests.size()) w.requests.resize(sites.size());
  std::vector<Execution>& own = w.executions[f->lane];
  if (site >= own.size()) own.resize(sites.size());
  Execution& e = own[site];
  if (e.round != w.round) e = Execution{w.round, 0};
  std::vector<Request>& requests = w.requests[site];
  if (requests.empty()) w.touched.push_back(site);
  if (e.count >= requests.size()) requests.emplace_back();
  Request& r = requests[e.count++];
  r.lanes |= 1u << f->lane;
  r.bytes = bytes;
  r.address[f->lane] = address;
}

void Counters::rows(const Warp& w, int matrices, const char* what) {
  Request r;
  r.bytes = 16;
  for (u32 lane = 0; lane < 8 * static_cast<u32>(matrices); ++lane) {
    r.lanes |= 1u << lane;
    r.address[lane] = w.address[lane] - SHARED_BASE;
  }
  add(RowKey{w.at, what, Place::SHARED, shared_buffer(launch, r.address[0])}, r);
}

void Counters::operation(const char* what, Site at) { ++table[RowKey{at, what, Place::WARP, NO_BUFFER}].requests; }

void Counters::meet(u32 warp) {
  if (warp >= warps.size()) return;
  WarpState& w = warps[warp];
  for (u32 site : w.touched) {
    for (const Request& r : w.requests[site]) {
      RowKey key = sites[site].key;
      if (key.place == Place::SHARED)
        key.buffer = shared_buffer(launch, static_cast<u32>(r.address[__builtin_ctz(r.lanes)]));
      add(key, r);
    }
    w.requests[site].clear();
  }
  w.touched.clear();
  ++w.round;
}

void Counters::meet_all() {
  for (u32 warp = 0; warp < warps.size(); ++warp) meet(warp);
}

}  // namespace tds

#endif
