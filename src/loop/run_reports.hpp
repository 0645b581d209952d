// All that a run has to say so far, as words of a checkpoint: a resumed run's summary is that of a whole one.
#pragma once

#include <cstdint>
#include <vector>

#include "loop/arm_progress.hpp"
#include "loop/training_report.hpp"

namespace klmesh::loop {

struct RunReports {
  TrainingSummary summary;  ///< of phases and arms that are done; corpus, stopped and memory are not kept
  HeldoutReport heldout;    ///< the last evaluation of phase 1
  ArmProgress arm;          ///< of the arm of phase 3 that runs
  DistillReport student{};  ///< of the arm of phase 4 that runs
};

std::vector<std::int64_t> to_words(RunReports reports);

/// @throws InvalidData if the words are not such reports
RunReports reports_of(std::vector<std::int64_t> words);

}  // namespace klmesh::loop
