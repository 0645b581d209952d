// What a back end's memory is used for, and what is copied between it and the host.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace klmesh::loop {

/// Why something is copied between the host and the memory of the back end. These are all the copies there are, beside
/// the one of Engine::reduce().
enum class CopyReason : int {
  start,        ///< initial parameters, constants of a phase; before its first step
  batch,        ///< phases 1 and 4: the words of a step's rows, from the corpus
  step_report,  ///< what a step's record needs beside the statistics: validity, rewards
  heldout,      ///< rows of held-out text, and what its words are followed by
  samples,      ///< texts for people to read
  token_trace,  ///< --dump-tokens, --replay-tokens
  logits_dump,  ///< --dump-logits
  checkpoint,   ///< generations, written and restored
};
inline constexpr int kCopyReasons = 8;
std::string_view name(CopyReason reason) noexcept;

struct CopyCount {
  std::int64_t calls = 0;
  std::int64_t bytes = 0;

  friend bool operator==(const CopyCount&, const CopyCount&) = default;
};

struct NamedBytes {
  std::string name;
  std::int64_t bytes = 0;
};

/// Counts; allocates and copies nothing itself.
class MemoryLedger {
 public:
  void allocated(std::string_view name, std::int64_t bytes);
  void released(std::string_view name, std::int64_t bytes) noexcept;
  void uploaded(CopyReason reason, std::int64_t bytes) noexcept { add(uploads_, reason, bytes); }
  void downloaded(CopyReason reason, std::int64_t bytes) noexcept { add(downloads_, reason, bytes); }

  std::int64_t bytes_now() const noexcept { return now_; }
  std::int64_t peak_bytes() const noexcept { return peak_; }
  /// How often anything was allocated.
  std::int64_t allocations() const noexcept { return allocations_; }
  /// What made up the peak, the largest first.
  std::vector<NamedBytes> at_peak() const;

  const CopyCount& uploads(CopyReason reason) const noexcept { return uploads_[static_cast<std::size_t>(reason)]; }
  const CopyCount& downloads(CopyReason reason) const noexcept { return downloads_[static_cast<std::size_t>(reason)]; }

 private:
  using Counts = std::array<CopyCount, kCopyReasons>;
  static void add(Counts& counts, CopyReason reason, std::int64_t bytes) noexcept;

  std::map<std::string, std::int64_t, std::less<>> by_name_, at_peak_;
  std::int64_t now_ = 0, peak_ = 0, allocations_ = 0;
  Counts uploads_{}, downloads_{};
};

}  // namespace klmesh::loop
