#include "loop/rlhf_phase.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

#include "klmesh/error.hpp"

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

SequenceShare share_of(const RlhfConfig& config, Mesh& mesh) {
  const RowRange mine =
      part_of_rows(config.sequences, sequence_unit(config.length), mesh.batch_part(), mesh.shape().batch);
  return {config.sequences, mine.begin, mine.size(), config.length};
}

// sequence_terms() and policy_weights() read the statistics of every row on every rank: by_rows has those of owned rows.
EvaluateOptions all_rows_everywhere() {
  EvaluateOptions options;
  options.schedule = Schedule::gather;
  return options;
}

std::vector<std::int64_t> sequence_ids(const SequenceShare& share) {
  std::vector<std::int64_t> ids;
  for (std::int64_t row = 0; row < share.count * share.length; ++row) ids.push_back(share.first + row / share.length);
  return ids;
}

}  // namespace

std::int64_t sequence_unit(std::int64_t length) noexcept { return std::lcm(kRowTile, length) / length; }

RlhfPhase::RlhfPhase(Engine& engine, const Policy& reference, const RewardModel& reward_model, Penalty penalty,
                     const TrainConfig& config, SequenceSource source)
    : ops_(reference.ops()),
      engine_(engine),
      reference_(reference),
      reward_model_(reward_model),
      penalty_(penalty),
      config_(config),
      controller_(penalty, config.rlhf),
      source_(std::move(source)),
      share_(share_of(config.rlhf, ops_.mesh())),
      rows_(share_.count * share_.length),
      policy_(reference),
      optimizer_(ops_, config.adam, policy_.parameters().layout().size()),
      gradient_(policy_.make_gradient()),
      sums_(engine.make_device_sums(share_.total)),
      batch_(ops_),
      targets_(ops_, "rows", rows_),
      sequence_ids_(ops_, "rows", sequence_ids(share_), CopyReason::start),
      activations_(ops_),
      reference_activations_(ops_),
      logits_(ops_, "logits", rows_ * policy_.head_columns()),
      reference_logits_(ops_, "logits", logits_.size()),
      tokens_(ops_, "rows", rows_),
      scores_(ops_, "reward scores", static_cast<std::int64_t>(reward_model.scores().size())),
      terms_(ops_, "sequences", share_.total * (1 + 2 * share_.length)),
      returns_(ops_, "sequences", share_.total * share_.length),
      logp_weights_(ops_, "rows", rows_),
      kl_weights_(ops_, "rows", rows_) {
  engine.plan(rows_, all_rows_everywhere());
}

StepRecord RlhfPhase::step() {
  const auto start = std::chrono::steady_clock::now();
  prepare();
  StepRecord record;
  record.phase = Phase::rlhf;
  record.step = step_ + 1;
  record.beta = controller_.beta();
  source_(policy_, {share_.first, share_.count, share_.length, config_.seed, static_cast<std::uint32_t>(record.step)},
          batch_);
  measure();
  weigh_tokens();
  // Only a limit makes the update depend on what the host reads; else all is enqueued before the host waits.
  const bool limited = config_.rlhf.stop_kl > 0;
  if (limited) read_into(record);
  const bool stops = limited && goes_too_far((*record.statistics)[Quantity::kl_reverse].mean, config_.rlhf);
  if (stops) record.stop_limit = config_.rlhf.stop_kl;
  if (!stops) update();
  if (!limited) read_into(record);
  if (!stops) gradient_.check();
  controller_.update((*record.statistics)[Quantity::kl_reverse].mean);
  ++step_;
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

// At the first step, not before: until then the reward model may be restored.
void RlhfPhase::prepare() {
  if (!std::exchange(prepared_, true)) scores_.upload(CopyReason::start, reward_model_.scores());
}

// Exact KL and estimators of the sampled tokens.
void RlhfPhase::measure() {
  const std::int64_t first_row = share_.first * share_.length;
  policy_.forward(batch_.contexts.span(), first_row, activations_, logits_.span());
  reference_.forward(batch_.contexts.span(), first_row, reference_activations_, reference_logits_.span());
  ops_.widen(batch_.tokens.span(), targets_.span());
  if (logits_sink_) {
    logits_sink_(step_ + 1, {share_.total * share_.length, first_row, policy_logits(), reference_logits(), inputs(), true});
  }
  engine_.evaluate(policy_logits(), reference_logits(), inputs(), all_rows_everywhere(), tokens_.span(), ops_.stream());
  engine_.clear(sums_, ops_.stream());
  engine_.accumulate(tokens_.span(), inputs(), sums_, ops_.stream());
}

SequenceTerms RlhfPhase::terms() {
  const auto total = static_cast<std::size_t>(share_.total);
  const std::size_t tokens = total * static_cast<std::size_t>(share_.length);
  const std::span<std::int64_t> words = terms_.span();
  auto* const doubles = reinterpret_cast<double*>(words.data());
  return {{doubles, total}, {doubles + total, tokens}, words.last(tokens)};
}

// Rewards and penalties of all sequences meet on every rank; each weighs its own tokens.
void RlhfPhase::weigh_tokens() {
  ops_.sequence_terms(penalty_, share_, {scores_.span(), reward_model_.min_words()}, batch_.tokens.span(),
                      batch_.mask.span(), tokens_.span(), terms());
  ops_.all_reduce(TensorOps::Group::batch, terms_.span(), {});
  ops_.policy_weights(penalty_, controller_.beta(), share_, terms(), tokens_.span(), returns_.span(),
                      logp_weights_.span(), kl_weights_.span());
}

void RlhfPhase::update() {
  engine_.gradient(policy_logits(), reference_logits(), inputs(), tokens_.span(),
                   {.kl_reverse = kl_weights_.span(),
                    .kl_forward = {},
                    .logp_policy = logp_weights_.span(),
                    .entropy_policy = {}},
                   gradient_view(logits_.span().data(), rows_, policy_.head_columns()), ops_.stream());
  gradient_.clear();
  policy_.backward(activations_, logits_.span(), gradient_);
  gradient_.reduce();
  optimizer_.step(policy_.parameters().flat(), gradient_.words(), config_.rlhf.learning_rate, 0.0);
}

// What the host has to know of the step. Blocks.
void RlhfPhase::read_into(StepRecord& record) {
  batch_.require_valid();
  record.statistics = engine_.reduce(sums_, false, ops_.stream());
  record.tokens = record.statistics->tokens;
  std::vector<double> rewards(static_cast<std::size_t>(share_.total));
  ops_.download(CopyReason::step_report, std::as_bytes(terms().rewards), std::as_writable_bytes(std::span(rewards)));
  const Moments reward = moments(rewards);
  if (std::isnan(reward.mean)) throw InvalidData("reward model: a word is outside its vocabulary");
  record.reward_mean = reward.mean;
  record.reward_stddev = reward.stddev;
  // Minus the objective that the kind descends, with its exact KL: of a sequence, summed over positions.
  const Quantity divergence = penalty_ == Penalty::k3_loss ? Quantity::kl_forward : Quantity::kl_reverse;
  const double kl = (*record.statistics)[divergence].sum / static_cast<double>(share_.total);
  record.loss = (penalty_ == Penalty::none ? 0.0 : record.beta * kl) - reward.mean;
}

}  // namespace klmesh::loop
