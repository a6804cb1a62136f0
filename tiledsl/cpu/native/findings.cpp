// Findings: collected by group, bounded, and handed over as JSON.
#include <cstdio>
#include <cstring>

#include "runtime.h"

namespace tds {

const KindRow KINDS[] = {
    {"a load", 804},          {"a store", 804},         {"an atomic access", 804},
    {"ldmatrix", 804},        {"stmatrix", 804},        {"the write of cp.async", 804},
    {"the read of cp.async", 804}, {"the write of a bulk load", 816}, {"the read of a bulk store", 817},
    {"the read of a bulk copy to another block", 819},
    {"a bulk copy", 817},     {"the read of A by wgmma", 818}, {"the read of B by wgmma", 818},
    {"the initialisation of an mbarrier", 804},
};
static_assert(sizeof(KINDS) / sizeof(KINDS[0]) == static_cast<size_t>(Kind::COUNT), "one row for each kind");

constexpr size_t MAX_FINDINGS_OF_A_GROUP = 64, MAX_FINDINGS = 256;

std::string block_name(const int* b) {
  return "block (" + std::to_string(b[0]) + ", " + std::to_string(b[1]) + ", " + std::to_string(b[2]) + ")";
}

std::string where() {
  const Fiber* f = self();
  return block_name(f->block) + ", thread " + std::to_string(f->index);
}

std::string line_of(Site at) { return "line " + std::to_string(at.line); }

void add_place(Facts& facts, const Launch& l, u32 offset) {
  for (const SharedTile& t : l.tiles) {
    const u32 inside = offset - t.offset;
    if (offset < t.offset || inside >= t.bytes) continue;
    facts.push_back({"buffer", t.name});
    if (t.stage_bytes && t.stage_bytes < t.bytes) facts.push_back({"stage", std::to_string(inside / t.stage_bytes)});
    const u32 in_stage = t.stage_bytes ? inside % t.stage_bytes : inside;
    facts.push_back({"element", std::to_string(in_stage / (t.element_bytes ? t.element_bytes : 1))});
    facts.push_back({"offset", std::to_string(inside)});
    return;
  }
  facts.push_back({"buffer", "shared memory"});
  facts.push_back({"offset", std::to_string(offset)});
}

Finding finding(int code, Site at, Facts facts) {
  const Fiber* f = self();
  Finding made;
  made.code = code;
  made.at = at.file ? at : f->at;
  made.thread = f->index;
  memcpy(made.block, f->block, sizeof made.block);
  made.facts = std::move(facts);
  return made;
}

static bool same_site(Site a, Site b) {
  if (a.line != b.line || !a.file != !b.file) return false;
  return a.file == b.file || strcmp(a.file, b.file) == 0;
}

static bool same_kind(const Finding& a, const Finding& b) {
  return a.code == b.code && same_site(a.at, b.at) && same_site(a.other_at, b.other_at);
}

static void add(std::vector<Finding>& to, const Finding& f, size_t limit) {
  for (Finding& known : to) {
    if (!same_kind(known, f)) continue;
    known.count += f.count;
    known.fatal |= f.fatal;
    return;
  }
  if (to.size() < limit) to.push_back(f);
}

void add_finding(std::vector<Finding>& to, const Finding& f) { add(to, f, MAX_FINDINGS); }

bool count_again(int code, Site at, Site other_at) {
  for (Finding& f : worker->findings) {
    if (f.code != code || !same_site(f.at, at) || !same_site(f.other_at, other_at)) continue;
    ++f.count;
    return true;
  }
  return worker->findings.size() >= MAX_FINDINGS_OF_A_GROUP;
}

void report(Finding f) { add(worker->findings, f, MAX_FINDINGS_OF_A_GROUP); }

void fail(Finding f) {
  f.fatal = true;
  add(worker->findings, f, MAX_FINDINGS_OF_A_GROUP + 1);
  leave_group();
}

void fail(int code, Site at, Facts facts) { fail(finding(code, at, std::move(facts))); }

// A read of bytes that a later write races with found nothing written: only the race is worth telling.
void drop_explained(std::vector<Finding>& all) {
  std::vector<Finding> kept;
  for (const Finding& f : all) {
    bool explained = false;
    for (const Finding& race : all)
      explained |= f.code == 803 && race.other_thread != NO_THREAD && same_site(race.at, f.at);
    if (!explained) kept.push_back(f);
  }
  all = std::move(kept);
}

// ---- JSON

static void quote(std::string& to, const std::string& text) {
  to += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (static_cast<unsigned char>(c) < 32) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      to += escaped;
    } else {
      to += c;
    }
  }
  to += '"';
}

static void write_site(std::string& to, Site at) {
  to += '[';
  quote(to, at.file ? at.file : "");
  to += ',' + std::to_string(at.line) + ']';
}

static void write_index(std::string& to, const int* b) {
  to += '[' + std::to_string(b[0]) + ',' + std::to_string(b[1]) + ',' + std::to_string(b[2]) + ']';
}

static void write_finding(std::string& to, const Finding& f) {
  to += "{\"code\":" + std::to_string(f.code) + ",\"at\":";
  write_site(to, f.at);
  to += ",\"other_at\":";
  write_site(to, f.other_at);
  to += ",\"thread\":" + std::to_string(f.thread) + ",\"other_thread\":" + std::to_string(f.other_thread);
  to += ",\"block\":";
  write_index(to, f.block);
  to += ",\"other_block\":";
  write_index(to, f.other_block);
  to += std::string(",\"fatal\":") + (f.fatal ? "true" : "false");
  to += ",\"count\":" + std::to_string(f.count) + ",\"facts\":{";
  for (size_t i = 0; i < f.facts.size(); ++i) {
    if (i) to += ',';
    quote(to, f.facts[i].first);
    to += ':';
    quote(to, f.facts[i].second);
  }
  to += "}}";
}

// All groups' findings in the order of the groups, those alike as one.
std::string as_json(const Launch& l) {
  std::vector<Finding> all;
  for (const auto& group : l.findings)
    for (const Finding& f : group.second) add(all, f, MAX_FINDINGS);
  std::string text = "{\"findings\":[";
  for (size_t i = 0; i < all.size(); ++i) {
    if (i) text += ',';
    write_finding(text, all[i]);
  }
  text += "],\"clock_work\":" + std::to_string(l.clock_work) + ",\"switches\":" + std::to_string(l.switches) + "}";
  return text;
}

}  // namespace tds
