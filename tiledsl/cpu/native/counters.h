// Counters of the checked build: for each source line, operation and buffer what its requests cost.
//
// A request is what the lanes of a warp do at one place of the code for the k-th time since they last met (in an
// operation of the warp, or a barrier). Lanes that skip an execution shift their later ones; where all lanes that take
// part at all take part from the first execution on, requests are those of the GPU.
#pragma once

#include <unordered_map>

#include "observer.h"

#if TDS_CHECKED

namespace tds {

constexpr u32 BANKS = 32, BANK_BYTES = 4, SECTOR_BYTES = 32;

struct Request {
  u32 lanes = 0;
  u32 bytes = 0;  // of each lane
  u64 address[LANES];
};

struct Counters {
  explicit Counters(const Launch& l) : launch(l) {}

  void access(const Fiber* f, Place place, u64 address, u32 buffer, u32 bytes, const char* what, Site at,
              const void* caller);
  void rows(const Warp& w, int matrices, const char* what);
  void operation(const char* what, Site at);  // of a warp, without an address
  void meet(u32 warp);                        // the lanes of this warp have met
  void meet_all();

  std::map<RowKey, Tally> table;

 private:
  struct CallSite {
    RowKey key;
    const void* caller;
  };
  struct Execution {
    u32 round = 0, count = 0;
  };
  struct WarpState {
    u32 round = 1;
    std::vector<u32> touched;                    // call sites with requests in this round
    std::vector<std::vector<Request>> requests;  // by call site, one an execution
    std::vector<Execution> executions[LANES];    // by call site
  };

  u32 number_of(const CallSite& site);
  void add(const RowKey& key, const Request& r);

  const Launch& launch;
  std::vector<CallSite> sites;
  std::unordered_map<const void*, std::vector<u32>> by_caller;
  std::vector<WarpState> warps;
};

}  // namespace tds

#endif
