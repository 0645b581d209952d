// Words and their numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace klmesh::loop {

/// Lets a map of strings be asked with a string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};

using WordCounts = std::unordered_map<std::string, std::int64_t, StringHash, std::equal_to<>>;

/// Counts the words of one more text.
void count_words(std::span<const std::string> tokens, WordCounts& counts);

/// The tokens a model knows: three special ones, then words by falling frequency.
class Vocabulary {
 public:
  static constexpr std::int32_t unknown = 0;  ///< <unk>: every other word; predicted and scored like a word
  static constexpr std::int32_t begin = 1;    ///< <bos>: context of a text's first word, never predicted
  static constexpr std::int32_t end = 2;      ///< <eos>: follows a text's last word
  static constexpr std::int64_t special_tokens = 3;

  /// The special tokens alone.
  Vocabulary();

  /// Takes the most frequent words; of equally frequent ones, the first in byte order.
  /// @param vocab_size  tokens at most, special ones included; fewer if there are fewer words
  /// @throws InvalidArgument unless special_tokens < vocab_size < 2^31
  Vocabulary(const WordCounts& counts, std::int64_t vocab_size);

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(words_.size()); }

  /// The number of a word, `unknown` if it has none.
  std::int32_t encode(std::string_view word) const;
  std::vector<std::int32_t> encode(std::span<const std::string> words) const;

  /// The word of a number.
  /// @throws InvalidArgument if it is outside [0, size())
  const std::string& decode(std::int32_t token) const;
  std::vector<std::string> decode(std::span<const std::int32_t> tokens) const;

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>> numbers_;
};

}  // namespace klmesh::loop
