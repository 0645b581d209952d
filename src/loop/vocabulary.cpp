#include "loop/vocabulary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::loop {

void count_words(std::span<const std::string> tokens, WordCounts& counts) {
  for (const std::string& token : tokens) ++counts[token];
}

Vocabulary::Vocabulary() : words_{"<unk>", "<bos>", "<eos>"} {
  for (std::int32_t i = 0; i < special_tokens; ++i) numbers_.emplace(words_[i], i);
}

Vocabulary::Vocabulary(const WordCounts& counts, std::int64_t vocab_size) : Vocabulary() {
  if (vocab_size <= special_tokens || vocab_size > std::numeric_limits<std::int32_t>::max()) {
    throw InvalidArgument(
        fmt::format("vocab_size = {}: must be at least {} (the special tokens and a word) and fit 32 bits",
                    vocab_size, special_tokens + 1));
  }
  std::vector<std::pair<std::string_view, std::int64_t>> ranking(counts.begin(), counts.end());
  std::ranges::sort(ranking, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (const auto& [word, count] : ranking) {
    if (size() == vocab_size) return;
    const bool is_new = numbers_.emplace(word, static_cast<std::int32_t>(size())).second;
    if (is_new) words_.emplace_back(word);
  }
}

std::int32_t Vocabulary::encode(std::string_view word) const {
  const auto found = numbers_.find(word);
  return found == numbers_.end() ? unknown : found->second;
}

std::vector<std::int32_t> Vocabulary::encode(std::span<const std::string> words) const {
  std::vector<std::int32_t> tokens;
  tokens.reserve(words.size());
  for (const std::string& word : words) tokens.push_back(encode(word));
  return tokens;
}

const std::string& Vocabulary::decode(std::int32_t token) const {
  if (token < 0 || token >= size()) {
    throw InvalidArgument(fmt::format("token {} is outside the vocabulary of {} words", token, size()));
  }
  return words_[token];
}

std::vector<std::string> Vocabulary::decode(std::span<const std::int32_t> tokens) const {
  std::vector<std::string> words;
  words.reserve(tokens.size());
  for (const std::int32_t token : tokens) words.push_back(decode(token));
  return words;
}

}  // namespace klmesh::loop
