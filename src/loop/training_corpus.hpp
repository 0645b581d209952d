// What a training run makes of its texts before the first step.
#pragma once

#include <cstdint>
#include <vector>

#include "klmesh/mesh.hpp"
#include "loop/corpus.hpp"
#include "loop/train_config.hpp"
#include "loop/training_report.hpp"

namespace klmesh::loop {

CorpusReport report_of(const Corpus& corpus);

/// A hash of words, subjects and texts: equal for equal corpora, wherever the files are.
std::uint64_t fingerprint_of(const Corpus& corpus);

/// Every rank reads the files itself, and on another node they may be others, or missing. Collective over the world.
/// @throws InvalidData on every rank, if the texts differ; else as load_corpus()
Corpus load_agreed_corpus(Mesh& mesh, const TrainConfig& config);

/// Log probabilities of single words, add-one smoothed: where the output bias starts.
std::vector<float> log_unigram(const Corpus& corpus);

}  // namespace klmesh::loop
