// What the device found to be wrong, as data.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "types.h"

namespace tds {

struct Cta;
struct Launch;

// How memory was accessed. Rows of KINDS say it in words.
enum class Kind : u8 {
  LOAD,
  STORE,
  ATOMIC,
  LDMATRIX,
  STMATRIX,
  CP_ASYNC,
  CP_ASYNC_SOURCE,
  BULK_LOAD,   // into shared memory, completes on an mbarrier
  BULK_STORE,  // out of shared memory, completes in a bulk group
  BULK_SEND,   // out of shared memory to that of another block, completes on an mbarrier there
  BULK_GLOBAL,  // the side in global memory of the first two
  WGMMA_A,
  WGMMA_B,
  MBARRIER_INIT,
  COUNT
};

struct KindRow {
  const char* name;
  int code;  // catalogue code of a race with an earlier access of this kind
};
extern const KindRow KINDS[];

typedef std::vector<std::pair<std::string, std::string>> Facts;

constexpr int NO_THREAD = -1;

// `code` is the catalogue's number, `facts` fill its message. What is not known has a null file, -1 or nothing.
struct Finding {
  int code = 0;
  Site at = {};
  Site other_at = {};
  int thread = NO_THREAD, other_thread = NO_THREAD;
  int block[3] = {0, 0, 0};
  int other_block[3] = {0, 0, 0};
  Facts facts;
  u64 count = 1;
  bool fatal = false;  // the group could not go on
};

// Where in shared memory: buffer, stage, element, offset.
void add_place(Facts& facts, const Launch& l, u32 offset);

// A finding about the running fiber: its thread, block and site are filled in where the caller has not.
Finding finding(int code, Site at, Facts facts = {});
// Adds it to those of the group, or counts it if one of the same code and sites is there; the fiber goes on.
void report(Finding f);
// Counts a finding of the group once more; false if it has none of this code and these sites, and room for one.
bool count_again(int code, Site at, Site other_at);
void add_finding(std::vector<Finding>& to, const Finding& f);
void drop_explained(std::vector<Finding>& all);  // what follows from another one of them
// `report`, and gives up the group.
[[noreturn]] void fail(Finding f);
[[noreturn]] void fail(int code, Site at, Facts facts = {});

// Words of facts.
inline std::string number(i64 x) { return std::to_string(x); }
std::string block_name(const int* index);  // "block (0, 1, 0)"
std::string where();                       // "block (0, 1, 0), thread 5"
std::string line_of(Site at);
std::string as_json(const Launch& l);

}  // namespace tds
