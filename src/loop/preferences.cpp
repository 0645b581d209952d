#include "loop/preferences.hpp"

#include <Random123/philox.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <string>
#include <string_view>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

using Texts = std::vector<std::span<const std::int32_t>>;

/// The texts of a subject in some parts of the corpus.
/// @throws InvalidData if there are none
Texts texts_of(const std::string& subject, const Corpus& corpus, std::initializer_list<const TextPart*> parts,
               std::string_view purpose) {
  Texts texts;
  for (const TextPart* part : parts) {
    for (std::int64_t i = 0; i < part->documents(); ++i) {
      if (corpus.subjects[part->subject[i]] == subject) texts.push_back(part->document(i));
    }
  }
  if (texts.empty()) {
    throw InvalidData(fmt::format("subject '{}' has no texts to {}; the subjects are: {}", subject, purpose,
                                  fmt::join(corpus.subjects, ", ")));
  }
  return texts;
}

/// Pair i takes text i of either list, going round; each full turn shifts the second list by one, so that the
/// first |preferred| * |rejected| pairs are all different.
std::vector<PreferencePair> even_pairs(const Texts& preferred, const Texts& rejected, std::int64_t limit) {
  const auto p = static_cast<std::int64_t>(preferred.size()), r = static_cast<std::int64_t>(rejected.size());
  const std::int64_t turn = std::lcm(p, r);
  std::vector<PreferencePair> pairs;
  for (std::int64_t i = 0; i < std::min(limit, p * r); ++i) {
    pairs.push_back({preferred[i % p], rejected[(i + i / turn) % r]});
  }
  return pairs;
}

/// Scales 32 random bits to [0, size); the bias is below size / 2^32.
std::size_t pick(std::uint32_t random, std::size_t size) { return std::uint64_t{random} * size >> 32; }

}  // namespace

Preferences::Preferences(const Corpus& corpus, const RewardConfig& reward, std::uint64_t seed) : seed_(seed) {
  if (reward.preferred == reward.rejected) {
    throw InvalidData(fmt::format("reward.preferred and reward.rejected are both '{}'", reward.preferred));
  }
  preferred_ = texts_of(reward.preferred, corpus, {&corpus.train}, "train on");
  rejected_ = texts_of(reward.rejected, corpus, {&corpus.train}, "train on");
  const auto measured = {&corpus.validation, &corpus.heldout};
  heldout_ = even_pairs(texts_of(reward.preferred, corpus, measured, "measure on"),
                        texts_of(reward.rejected, corpus, measured, "measure on"), max_heldout_pairs);
}

PreferencePair Preferences::training_pair(std::uint32_t step, std::uint32_t index) const {
  // A low byte of zero is no RandomPurpose (random.hpp), so nothing else uses these counters.
  constexpr std::uint32_t stream = 0x50524600;
  const r123::Philox4x32::ctr_type counter{{index, 0, stream, step}};
  const r123::Philox4x32::key_type key{
      {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)}};
  const auto random = r123::Philox4x32{}(counter, key);
  return {preferred_[pick(random[0], preferred_.size())], rejected_[pick(random[1], rejected_.size())]};
}

}  // namespace klmesh::loop
