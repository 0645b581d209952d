#include "loop/rlhf_phase.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "loop/gather.hpp"

namespace klmesh::loop {
namespace {

struct Moments {
  double mean = 0;
  double stddev = 0;
};

Moments moments(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Moments m;
  m.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - m.mean) * (v - m.mean);
  m.stddev = values.size() > 1 ? std::sqrt(squares / (n - 1.0))
                               : std::numeric_limits<double>::quiet_NaN();
  return m;
}

}  // namespace

std::int64_t sequence_unit(std::int64_t length) noexcept { return std::lcm(kRowTile, length) / length; }

RlhfPhase::RlhfPhase(Mesh& mesh, Engine& engine, const Policy& reference, const RewardModel& reward_model,
                     Penalty penalty, const TrainConfig& config, SequenceSource source)
    : mesh_(mesh),
      engine_(engine),
      reference_(reference),
      reward_model_(reward_model),
      penalty_(penalty),
      config_(config),
      controller_(penalty, config.rlhf),
      source_(std::move(source)),
      sequences_(part_of_rows(config.rlhf.sequences, sequence_unit(config.rlhf.length), mesh.batch_part(),
                              mesh.shape().batch)),
      policy_(reference),
      optimizer_(config.adam, static_cast<std::int64_t>(policy_.parameters().flat().size())),
      gradient_(policy_.make_gradient()) {}

StepRecord RlhfPhase::step() {
  const auto start = std::chrono::steady_clock::now();
  StepRecord record;
  record.phase = Phase::rlhf;
  record.step = step_ + 1;
  batch_ = source_(policy_, {sequences_.begin, sequences_.size(), config_.rlhf.length, config_.seed,
                             static_cast<std::uint32_t>(record.step)});
  record.beta = controller_.beta();
  measure(record);
  const std::vector<double> advantages = advantages_of_step(record);
  const double kl = (*record.statistics)[Quantity::kl_reverse].mean;
  if (goes_too_far(kl, config_.rlhf)) {
    record.stop_limit = config_.rlhf.stop_kl;
  } else {
    update(advantages);
  }
  controller_.update(kl);
  ++step_;
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

// Exact KL and estimators of the sampled tokens.
void RlhfPhase::measure(StepRecord& record) {
  const std::int64_t rows = sequences_.size() * config_.rlhf.length;
  const std::int64_t columns = policy_.head_columns();
  const std::int64_t first_row = sequences_.begin * config_.rlhf.length;
  logits_.resize(static_cast<std::size_t>(rows * columns));
  reference_logits_.resize(logits_.size());
  policy_.forward(batch_.contexts, first_row, activations_, logits_);
  reference_.forward(batch_.contexts, first_row, reference_activations_, reference_logits_);

  targets_.assign(batch_.tokens.begin(), batch_.tokens.end());
  sequence_ids_.resize(static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row) {
    sequence_ids_[static_cast<std::size_t>(row)] = sequences_.begin + row / config_.rlhf.length;
  }
  tokens_.resize(static_cast<std::size_t>(rows));
  const RowInputs inputs{.targets = targets_, .mask = batch_.mask, .sequence = sequence_ids_};
  const LogitsView policy = logits_view(logits_.data(), rows, columns);
  const LogitsView reference = logits_view(reference_logits_.data(), rows, columns);
  if (logits_sink_) {
    logits_sink_(record.step, {config_.rlhf.sequences * config_.rlhf.length, first_row, policy, reference, inputs, true});
  }
  engine_.evaluate(policy, reference, inputs, tokens_, host_stream);
  StepSums sums(config_.rlhf.sequences);
  engine_.accumulate(tokens_, inputs, sums);
  record.statistics = engine_.reduce(sums);
  record.tokens = record.statistics->tokens;
}

// Rewards and penalties of all sequences meet on every rank; the advantages come back for this rank's rows alone.
std::vector<double> RlhfPhase::advantages_of_step(StepRecord& record) {
  const auto length = static_cast<std::size_t>(config_.rlhf.length);
  const auto all = static_cast<std::size_t>(config_.rlhf.sequences);
  const auto first = static_cast<std::size_t>(sequences_.begin);
  std::vector<double> rewards(all, 0.0), penalties(all * length, 0.0);
  std::vector<std::int64_t> mask(all * length, 0);
  for (std::size_t s = 0; s < static_cast<std::size_t>(sequences_.size()); ++s) {
    rewards[first + s] = reward_model_.score(std::span(batch_.tokens).subspan(s * length, length));
    for (std::size_t t = 0; t < length; ++t) {
      const std::size_t local = s * length + t;
      if (batch_.mask[local] == 0) continue;
      mask[first * length + local] = 1;
      penalties[first * length + local] = penalty_of(penalty_, tokens_[local]);
    }
  }
  gather_owned(rewards, mesh_.batch());
  gather_owned(penalties, mesh_.batch());
  gather_owned(mask, mesh_.batch());

  const Moments reward = moments(rewards);
  record.reward_mean = reward.mean;
  record.reward_stddev = reward.stddev;
  // Minus the objective that the kind descends, with its exact KL: of a sequence, summed over positions.
  const Quantity divergence = penalty_ == Penalty::k3_loss ? Quantity::kl_forward : Quantity::kl_reverse;
  const double kl = (*record.statistics)[divergence].sum / static_cast<double>(config_.rlhf.sequences);
  record.loss = (penalty_ == Penalty::none ? 0.0 : record.beta * kl) - reward.mean;

  const std::vector<std::uint8_t> mask_bytes(mask.begin(), mask.end());
  const std::vector<double> global =
      advantages(penalty_, record.beta,
                 {config_.rlhf.sequences, config_.rlhf.length, rewards, penalties, mask_bytes});
  const auto begin = global.begin() + static_cast<std::ptrdiff_t>(first * length);
  return {begin, begin + static_cast<std::ptrdiff_t>(tokens_.size())};
}

void RlhfPhase::update(const std::vector<double>& advantages) {
  std::vector<double> logp(tokens_.size()), kl(tokens_.size());
  for (std::size_t row = 0; row < tokens_.size(); ++row) {
    if (batch_.mask[row] == 0) continue;
    const TokenWeights w =
        token_weights(penalty_, controller_.beta(), config_.rlhf.sequences, advantages[row], tokens_[row]);
    logp[row] = w.logp_policy;
    kl[row] = w.kl_reverse;
  }
  const auto rows = static_cast<std::int64_t>(tokens_.size());
  const std::int64_t columns = policy_.head_columns();
  const RowInputs inputs{.targets = targets_, .mask = batch_.mask, .sequence = sequence_ids_};
  engine_.gradient(logits_view(logits_.data(), rows, columns), logits_view(reference_logits_.data(), rows, columns),
                   inputs, tokens_, {.kl_reverse = kl, .kl_forward = {}, .logp_policy = logp, .entropy_policy = {}},
                   gradient_view(logits_.data(), rows, columns), host_stream);
  gradient_.clear();
  policy_.backward(activations_, logits_, gradient_);
  policy_.reduce(gradient_);
  optimizer_.step(policy_.parameters().flat(), gradient_.words(), config_.rlhf.learning_rate, 0.0);
}

}  // namespace klmesh::loop
