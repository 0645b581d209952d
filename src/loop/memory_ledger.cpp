#include "loop/memory_ledger.hpp"

#include <algorithm>

namespace klmesh::loop {

std::string_view name(CopyReason reason) noexcept {
  constexpr std::array<std::string_view, kCopyReasons> names{"start",       "batch",       "step report", "held-out text",
                                                             "samples",     "token trace", "logits dump", "checkpoint"};
  return names[static_cast<std::size_t>(reason)];
}

void MemoryLedger::allocated(std::string_view name, std::int64_t bytes) {
  by_name_.try_emplace(std::string(name)).first->second += bytes;
  now_ += bytes;
  ++allocations_;
  if (now_ <= peak_) return;
  peak_ = now_;
  at_peak_ = by_name_;
}

void MemoryLedger::released(std::string_view name, std::int64_t bytes) noexcept {
  if (const auto found = by_name_.find(name); found != by_name_.end()) found->second -= bytes;
  now_ -= bytes;
}

std::vector<NamedBytes> MemoryLedger::at_peak() const {
  std::vector<NamedBytes> all;
  for (const auto& [name, bytes] : at_peak_) {
    if (bytes > 0) all.push_back({name, bytes});
  }
  std::ranges::stable_sort(all, std::greater(), &NamedBytes::bytes);
  return all;
}

void MemoryLedger::add(Counts& counts, CopyReason reason, std::int64_t bytes) noexcept {
  CopyCount& count = counts[static_cast<std::size_t>(reason)];
  ++count.calls;
  count.bytes += bytes;
}

}  // namespace klmesh::loop
