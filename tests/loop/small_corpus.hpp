// A small language for tests of the phases: two subjects whose texts follow a pattern that can be learnt.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "loop/corpus.hpp"
#include "loop/step_record.hpp"
#include "loop/text_directory.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// A word of letters alone: "sb", "sc" ...
inline std::string small_word(char subject, int number) {
  std::string word(1, subject);
  do word += static_cast<char>('a' + number % 26);
  while ((number /= 26) > 0);
  return word;
}

/// `texts` texts of about ten words out of 60: the next word depends on the one before, with a little variation.
inline std::string small_texts(char subject, int texts) {
  std::string bytes;
  for (int text = 0; text < texts; ++text) {
    int word = text * 7 % 60;
    const int words = 5 + text % 9;
    for (int i = 0; i < words; ++i) {
      bytes += small_word(subject, word);
      bytes += ' ';
      word = (word * 5 + 1 + (text + i) % 2) % 60;
    }
    bytes += small_word('t', text);  // no two texts are equal
    bytes += "\n%\n";
  }
  return bytes;
}

/// Sizes of a run of seconds. data.paths is the directory, which holds the subjects "science" and "songs".
inline TrainConfig small_config(const TextDirectory& directory) {
  directory.write("science", small_texts('s', 120));
  directory.write("songs", small_texts('m', 120));
  TrainConfig config;
  config.data.paths = {directory.path()};
  config.data.vocab_size = 300;
  config.data.validation_fraction = 0.15;
  config.data.heldout_fraction = 0.15;
  config.model = {.context = 2, .embedding = 6, .hidden = 10};
  config.mle.steps = 4;
  config.mle.batch_tokens = 300;
  config.mle.learning_rate = 2e-2;
  config.reward = {.steps = 3, .preferred = "science", .rejected = "songs", .pairs = 7};
  config.rlhf.steps = 3;
  config.rlhf.sequences = 24;
  config.rlhf.length = 6;
  config.rlhf.learning_rate = 1e-2;
  return config;
}

/// All numbers of a step but the clock's, as bits; every NaN is the same one.
inline std::vector<std::uint64_t> bits_of(const StepRecord& record) {
  std::vector<std::uint64_t> bits{static_cast<std::uint64_t>(record.phase), static_cast<std::uint64_t>(record.step),
                                  static_cast<std::uint64_t>(record.tokens)};
  const auto add = [&](double value) {
    bits.push_back(std::isnan(value) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(value));
  };
  for (const double value : {record.loss, record.reward_mean, record.reward_stddev, record.perplexity_heldout,
                             record.beta, record.stop_limit.value_or(-1)}) {
    add(value);
  }
  if (!record.statistics) return bits;
  bits.push_back(static_cast<std::uint64_t>(record.statistics->masked_tokens));
  for (const QuantityStatistics& q : record.statistics->quantities) {
    for (const std::int64_t count : {q.count, q.infinite, q.negative}) bits.push_back(static_cast<std::uint64_t>(count));
    for (const double value : {q.sum, q.mean, q.min, q.max, q.standard_deviation, q.standard_error,
                               q.standard_error_clustered}) {
      add(value);
    }
  }
  return bits;
}

/// A step of one mesh is that of another: the same bits. Says where the first difference is.
inline std::string difference_of(const std::vector<StepRecord>& steps, const std::vector<StepRecord>& expected) {
  if (steps.size() != expected.size()) return "numbers of steps differ";
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto a = bits_of(steps[i]), b = bits_of(expected[i]);
    if (a.size() != b.size()) return "step " + std::to_string(i + 1) + ": other statistics";
    for (std::size_t j = 0; j < a.size(); ++j) {
      if (a[j] != b[j]) return "step " + std::to_string(i + 1) + ", value " + std::to_string(j) + " differs";
    }
  }
  return "";
}

}  // namespace klmesh::loop
