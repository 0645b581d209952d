#include "loop/training_corpus.hpp"

#include <cmath>
#include <exception>

#include "comm/agreement.hpp"
#include "loop/baselines.hpp"

namespace klmesh::loop {

CorpusReport report_of(const Corpus& corpus) {
  CorpusReport r;
  r.train_texts = corpus.train.documents();
  r.train_tokens = static_cast<std::int64_t>(corpus.train.tokens.size());
  r.validation_tokens = static_cast<std::int64_t>(corpus.validation.tokens.size());
  r.heldout_texts = corpus.heldout.documents();
  r.heldout_tokens = static_cast<std::int64_t>(corpus.heldout.tokens.size());
  r.vocab_size = corpus.vocabulary.size();
  r.unknown_heldout = unknown_fraction(corpus.heldout);
  return r;
}

std::uint64_t fingerprint_of(const Corpus& corpus) {
  Fingerprint fingerprint;
  for (std::int64_t word = 0; word < corpus.vocabulary.size(); ++word) {
    fingerprint.add(corpus.vocabulary.decode(static_cast<std::int32_t>(word)));
  }
  for (const std::string& subject : corpus.subjects) fingerprint.add(subject);
  for (const TextPart* part : {&corpus.train, &corpus.validation, &corpus.heldout}) {
    for (const std::int32_t token : part->tokens) fingerprint.add(token);
    for (const std::int64_t offset : part->offsets) fingerprint.add(offset);
    for (const std::int32_t subject : part->subject) fingerprint.add(subject);
  }
  return fingerprint.value();
}

Corpus load_agreed_corpus(Mesh& mesh, const TrainConfig& config) {
  Corpus corpus;
  const std::exception_ptr failure = failure_of([&] { corpus = load_corpus(config.data, config.seed); });
  agree(mesh.world(), "the corpus", failure ? 0 : fingerprint_of(corpus), failure);
  return corpus;
}

std::vector<float> log_unigram(const Corpus& corpus) {
  const NgramCounts counts(corpus.train, corpus.vocabulary.size());
  std::vector<float> logs;
  for (std::int64_t word = 0; word < corpus.vocabulary.size(); ++word) {
    logs.push_back(static_cast<float>(std::log(counts.unigram(static_cast<std::int32_t>(word), 1.0))));
  }
  return logs;
}

}  // namespace klmesh::loop
