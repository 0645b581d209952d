// The corpus: texts as token numbers, in a part to learn from and two to measure on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "loop/corpus_files.hpp"
#include "loop/train_config.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

/// The texts of one part, one after another, without <bos> and <eos>.
struct TextPart {
  std::vector<std::int32_t> tokens;      // (all tokens)
  std::vector<std::int64_t> offsets{0};  // (documents + 1) document i is tokens [offsets[i], offsets[i + 1])
  std::vector<std::int32_t> subject;     // (documents) number in Corpus::subjects

  std::int64_t documents() const noexcept { return static_cast<std::int64_t>(subject.size()); }

  /// The tokens of document i in [0, documents()).
  std::span<const std::int32_t> document(std::int64_t i) const {
    return std::span(tokens).subspan(offsets[i], offsets[i + 1] - offsets[i]);
  }

  /// What a language model predicts: every token, and the <eos> of every document.
  std::int64_t predictions() const noexcept { return static_cast<std::int64_t>(tokens.size()) + documents(); }
};

struct Corpus {
  Vocabulary vocabulary;              ///< of the training part
  std::vector<std::string> subjects;  ///< sorted names
  TextPart train;
  TextPart validation;  ///< tunes and selects
  TextPart heldout;     ///< is reported, never tuned on
};

enum class Split { train, validation, heldout };

/// The part a text belongs to: a hash of the seed and of the text alone, so that no other text can move it.
Split split_of(const Document& document, const DataConfig& data, std::uint64_t seed);

/// Reads, splits and numbers the texts. The same bits on every rank that reads the same files.
/// @throws InvalidArgument  fractions that are negative or leave no training part; vocab_size (see
/// Vocabulary)
/// @throws InvalidData      a part got no text
/// and what read_documents throws.
Corpus load_corpus(const DataConfig& data, std::uint64_t seed);

/// Fraction of the tokens that are <unk>.
double unknown_fraction(const TextPart& part);

}  // namespace klmesh::loop
