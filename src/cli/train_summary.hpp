// The summary at the end of a training run.
#pragma once

#include <string>

#include "loop/training.hpp"

namespace klmesh::cli {

/// Lines that begin with '#': what was learnt, how far the policy moved, what each estimator would have said, texts
/// before and after, and what memory it took.
std::string format_summary(const loop::TrainingSummary& summary);

}  // namespace klmesh::cli
