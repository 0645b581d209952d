// The reward of a text, from one score per word. Host and device: the same order of additions, the same bits.
#pragma once

#include <cstdint>

#include "klmesh/host_device.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

/// sum / divisor, over the words of a text; special tokens are none.
struct TextReward {
  double mean = 0;
  double divisor = 1;
  bool valid = true;  ///< no token is outside the vocabulary
};

KLMESH_HD inline TextReward text_reward(const float* scores, std::int64_t vocab_size, const std::int32_t* tokens,
                                        std::int64_t count, std::int64_t min_words) {
  TextReward text;
  double sum = 0;
  std::int64_t words = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t token = tokens[i];
    if (token < 0 || token >= vocab_size) {
      text.valid = false;
    } else if (token >= Vocabulary::special_tokens) {
      sum += static_cast<double>(scores[token]);
      ++words;
    }
  }
  text.divisor = static_cast<double>(words > min_words ? words : min_words);
  text.mean = sum / text.divisor;
  return text;
}

}  // namespace klmesh::loop
