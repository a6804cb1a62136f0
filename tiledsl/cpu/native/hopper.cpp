// The extension of a block, places for reports, and what is left at the end.
#include "hopper.h"

namespace tds {

Hopper::Hopper(Cta& c) : cta(c) {
  const u32 n = worker->launch->threads;
  mbarrier_at_word.resize(worker->launch->shared_bytes / 8 + 1);
  threads.resize(n);
  warps.resize((n + LANES - 1) / LANES);
  warpgroups.resize((n + WARPGROUP - 1) / WARPGROUP);
}

Hopper& hopper(Cta& cta) {
  if (!cta.extension) cta.extension = std::make_unique<Hopper>(cta);
  return static_cast<Hopper&>(*cta.extension);
}

u32 cluster_blocks() {
  const u32* c = worker->launch->cluster;
  return c[0] * c[1] * c[2];
}

Cta* cluster_peer(const Cta& cta, u32 rank) {
  const u32 n = cluster_blocks();
  return rank < n ? worker->ctas[cta.rank / n * n + rank].get() : nullptr;
}

Facts place_of(u32 offset) {
  Facts facts;
  add_place(facts, *worker->launch, offset);
  return facts;
}

std::string place_text(u32 offset) {
  std::string buffer, stage, element, at;
  for (const auto& fact : place_of(offset)) {
    if (fact.first == "buffer") buffer = fact.second;
    if (fact.first == "stage") stage = fact.second;
    if (fact.first == "element") element = fact.second;
    if (fact.first == "offset") at = fact.second;
  }
  if (!stage.empty()) return buffer + "[stage " + stage + "]";
  return element.empty() ? buffer + " at byte " + at : buffer + "[" + element + "]";
}

Finding finding_at(int code, Site at, u32 offset, Facts facts) {
  Finding made = finding(code, at, place_of(offset));
  made.facts.insert(made.facts.end(), facts.begin(), facts.end());
  made.facts.push_back({"barrier", place_text(offset)});
  made.facts.push_back({"where", where()});
  return made;
}

void Hopper::thread_ends(Fiber* f) {
  end_bulk(f);
  end_wgmma(f);
#if TDS_CHECKED
  if (cluster_blocks() > 1) ends.add(f->number, f->clock);
#endif
}

void Hopper::group_ends() {
#if TDS_CHECKED
  tds_thread = worker->fibers[cta.first_fiber].get();
  end_mbarriers(cta);
  end_registers(cta);
  end_visits(cta);
#endif
}

}  // namespace tds
