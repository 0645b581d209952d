// A few sampled texts for people to read.
#pragma once

#include <string>
#include <vector>

#include "loop/policy.hpp"
#include "loop/train_config.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

/// Texts from `policy`, with noise that no training step uses; the same texts on every rank and mesh. Collective
/// over the world.
std::vector<std::string> sample_texts(const Policy& policy, const Vocabulary& vocabulary, const TrainConfig& config);

}  // namespace klmesh::loop
