#include "loop/reward_phase.hpp"

#include <chrono>

#include "loop/partition.hpp"

namespace klmesh::loop {

RewardPhase::RewardPhase(Mesh& mesh, RewardModel& model, const Preferences& preferences, const TrainConfig& config)
    : mesh_(mesh), model_(model), preferences_(preferences), config_(config) {}

StepRecord RewardPhase::step() {
  const auto start = std::chrono::steady_clock::now();
  ++step_;
  const RowRange mine = part_of_rows(config_.reward.pairs, 1, mesh_.world().rank(), mesh_.world().size());
  std::vector<PreferencePair> pairs;
  std::vector<std::int64_t> words{0};
  for (std::int64_t i = mine.begin; i < mine.end; ++i) {
    pairs.push_back(preferences_.training_pair(static_cast<std::uint32_t>(step_), static_cast<std::uint32_t>(i)));
    words[0] += static_cast<std::int64_t>(pairs.back().preferred.size() + pairs.back().rejected.size());
  }
  StepRecord record;
  record.phase = Phase::reward;
  record.step = step_;
  record.loss = model_.step(pairs, config_.reward.pairs, mesh_.world());
  mesh_.world().all_reduce(words, {});
  record.tokens = words[0];
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

}  // namespace klmesh::loop
