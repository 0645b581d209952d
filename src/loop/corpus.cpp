#include "loop/corpus.hpp"

#include <Random123/philox.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

/// FNV-1a, 64 bits: a fixed function of the bytes, where std::hash may differ between machines.
std::uint64_t fnv1a(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return hash;
}

/// A number in [0, 1) from the seed and a text. Philox mixes what FNV leaves correlated.
double uniform_of(const Document& document, std::uint64_t seed) {
  // A low byte of zero is no RandomPurpose (random.hpp), so nothing else uses these counters.
  constexpr std::uint32_t stream = 0x53504c00;
  const auto low = [](std::uint64_t word) { return static_cast<std::uint32_t>(word); };
  const std::uint64_t hash = fnv1a(content(document));
  const r123::Philox4x32::ctr_type counter{{low(hash), low(hash >> 32), stream, 0}};
  const r123::Philox4x32::key_type key{{low(seed), low(seed >> 32)}};
  return r123::Philox4x32{}(counter, key)[0] * 0x1p-32;
}

void check_fractions(const DataConfig& data) {
  const double validation = data.validation_fraction, heldout = data.heldout_fraction;
  if (!(validation >= 0) || !(heldout >= 0) || !(validation + heldout < 1)) {
    throw InvalidArgument(
        fmt::format("validation_fraction = {}, heldout_fraction = {}: must not be negative, and leave "
                    "something to train on",
                    validation, heldout));
  }
}

TextPart number_texts(const std::vector<Document>& documents, const Corpus& corpus) {
  TextPart part;
  for (const Document& document : documents) {
    const std::vector<std::int32_t> tokens = corpus.vocabulary.encode(document.tokens);
    part.tokens.insert(part.tokens.end(), tokens.begin(), tokens.end());
    part.offsets.push_back(static_cast<std::int64_t>(part.tokens.size()));
    const auto subject = std::ranges::lower_bound(corpus.subjects, document.subject);
    part.subject.push_back(static_cast<std::int32_t>(subject - corpus.subjects.begin()));
  }
  return part;
}

void check_part(const std::vector<Document>& part, std::string_view name, std::size_t all) {
  if (part.empty()) {
    throw InvalidData(
        fmt::format("the corpus is too small: of {} different texts none falls into the {} part; give more "
                    "text or another fraction",
                    all, name));
  }
}

}  // namespace

Split split_of(const Document& document, const DataConfig& data, std::uint64_t seed) {
  const double uniform = uniform_of(document, seed);
  if (uniform < data.validation_fraction) return Split::validation;
  return uniform < data.validation_fraction + data.heldout_fraction ? Split::heldout : Split::train;
}

Corpus load_corpus(const DataConfig& data, std::uint64_t seed) {
  check_fractions(data);
  std::vector<Document> documents = read_documents(data);
  std::vector<Document> train, validation, heldout;
  std::set<std::string> subjects;
  const std::size_t all = documents.size();
  for (Document& document : documents) {
    subjects.insert(document.subject);
    const Split split = split_of(document, data, seed);
    auto& part = split == Split::train ? train : split == Split::validation ? validation : heldout;
    part.push_back(std::move(document));
  }
  check_part(train, "training", all);
  check_part(validation, "validation", all);
  check_part(heldout, "held-out", all);

  WordCounts counts;
  for (const Document& document : train) count_words(document.tokens, counts);
  Corpus corpus;
  corpus.vocabulary = Vocabulary(counts, data.vocab_size);
  corpus.subjects.assign(subjects.begin(), subjects.end());
  corpus.train = number_texts(train, corpus);
  corpus.validation = number_texts(validation, corpus);
  corpus.heldout = number_texts(heldout, corpus);
  return corpus;
}

double unknown_fraction(const TextPart& part) {
  if (part.tokens.empty()) return 0;
  const auto unknown = std::ranges::count(part.tokens, Vocabulary::unknown);
  return static_cast<double>(unknown) / static_cast<double>(part.tokens.size());
}

}  // namespace klmesh::loop
