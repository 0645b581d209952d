#include "loop/samples.hpp"

#include <algorithm>
#include <span>

#include "loop/sampler.hpp"
#include "loop/text.hpp"

namespace klmesh::loop {

std::vector<std::string> sample_texts(const Policy& policy, const Vocabulary& vocabulary, const TrainConfig& config) {
  constexpr std::int64_t kTexts = 3;
  constexpr std::uint32_t kStep = 0;  // training steps count from 1
  // Every batch part samples the same sequences: three rows are not worth splitting.
  const SampleBatch batch = sample_sequences(policy, {0, kTexts, config.rlhf.length, config.seed, kStep});
  const std::vector<std::int32_t> tokens = batch.tokens.download(CopyReason::samples);
  std::vector<std::string> texts;
  for (std::int64_t s = 0; s < kTexts; ++s) {
    const auto row = std::span(tokens)
                         .subspan(static_cast<std::size_t>(s * batch.length), static_cast<std::size_t>(batch.length));
    const auto words = static_cast<std::size_t>(std::find(row.begin(), row.end(), Vocabulary::end) - row.begin());
    texts.push_back(detokenise(vocabulary.decode(row.first(words))));
  }
  return texts;
}

}  // namespace klmesh::loop
