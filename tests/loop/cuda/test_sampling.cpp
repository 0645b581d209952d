// Positions of sequences on the device: contexts and tokens as the host's sampler makes them.
#include <gmock/gmock.h>

#include "core/cuda/device_array.hpp"
#include "loop/context_words.hpp"
#include "loop/cuda/sampling.hpp"

namespace klmesh::loop {
namespace {

using test::DeviceArray;
using test::TestStream;
using testing::ElementsAre;

TEST(CudaSampling, ContextsAreTheWordsBefore) {
  constexpr std::int64_t kSequences = 70, kLength = 6, kContext = 4;
  std::vector<std::int32_t> tokens(kSequences * kLength);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(10 + i);
  const TestStream stream;
  const DeviceArray<std::int32_t> there(tokens), contexts(kSequences * kContext),
      all(std::vector<std::int32_t>(kSequences * kLength * kContext, -7));
  for (std::int64_t position = 0; position < kLength; ++position) {
    const SamplePosition at{kSequences, kLength, position, 0, kContext};
    cuda::fill_contexts(at, there.span(), all.span(), contexts.span(), stream.ref());
    const std::vector<std::int32_t> got = contexts.host(), kept = all.host();
    for (std::int64_t s = 0; s < kSequences; ++s) {
      std::vector<std::int32_t> want;
      for (std::int64_t c = 0; c < kContext; ++c) {
        const std::int64_t source = position - kContext + c;
        want.push_back(source < 0 ? Vocabulary::begin : tokens[static_cast<std::size_t>(s * kLength + source)]);
      }
      EXPECT_THAT(std::span(got).subspan(s * kContext, kContext), testing::ElementsAreArray(want));
      EXPECT_THAT(std::span(kept).subspan((s * kLength + position) * kContext, kContext), testing::ElementsAreArray(want));
    }
  }
  EXPECT_THAT(all.host(), testing::Not(testing::Contains(-7)));
}

// Four sequences: one has ended, one ends now, one has no valid logit, one goes on.
TEST(CudaSampling, WritesTheWinnersOfSequencesThatGoOn) {
  const TestStream stream;
  const DeviceArray<GumbelMax> winners(std::vector<GumbelMax>{
      {1.0, 9}, {1.0, Vocabulary::end}, {0.0, GumbelMax::invalid}, {1.0, 8}});
  const DeviceArray<std::int32_t> tokens(std::vector<std::int32_t>(12, Vocabulary::end));
  const DeviceArray<std::uint8_t> mask(std::vector<std::uint8_t>(12, 0)), ended(std::vector<std::uint8_t>{1, 0, 0, 0});
  const DeviceArray<std::uint64_t> invalid(std::vector<std::uint64_t>{5});
  cuda::write_tokens({4, 3, 1, 0, 2}, winners.span(), {tokens.span(), mask.span(), ended.span(), invalid.span(), {}},
                     stream.ref());
  const std::int32_t eos = Vocabulary::end;
  EXPECT_THAT(tokens.host(), ElementsAre(eos, eos, eos, eos, eos, eos, eos, eos, eos, eos, 8, eos));
  EXPECT_THAT(mask.host(), ElementsAre(0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0));
  EXPECT_THAT(ended.host(), ElementsAre(1, 1, 1, 0));
  EXPECT_THAT(invalid.host(), ElementsAre(6u));
}

}  // namespace
}  // namespace klmesh::loop
