#include "loop/mle_phase.hpp"

#include <algorithm>
#include <chrono>

#include "loop/partition.hpp"

namespace klmesh::loop {

MlePhase::MlePhase(Mesh& mesh, Engine& engine, Policy& policy, const Examples& examples, const TrainConfig& config)
    : mesh_(mesh),
      engine_(engine),
      policy_(policy),
      examples_(examples),
      config_(config),
      optimizer_(config.adam, static_cast<std::int64_t>(policy.parameters().flat().size())),
      gradient_(policy.make_gradient()),
      batches_(examples.size(), config.seed, RandomPurpose::mle_batches) {}

StepRecord MlePhase::step() {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t batch = std::min(config_.mle.batch_tokens, examples_.size());
  const RowRange range = part_of_rows(batch, kRowTile, mesh_.batch_part(), mesh_.shape().batch);
  select_batch(step_ * batch + range.begin, range.size());

  logits_.resize(static_cast<std::size_t>(range.size() * policy_.head_columns()));
  policy_.forward(contexts_, range.begin, activations_, logits_);

  // There is no reference yet: the policy stands in for it, and only its own quantities are used.
  const LogitsView view = logits_view(logits_.data(), range.size(), policy_.head_columns());
  const RowInputs inputs{.targets = targets_, .mask = {}, .sequence = {}};
  tokens_.resize(static_cast<std::size_t>(range.size()));
  if (logits_sink_) logits_sink_(step_ + 1, {batch, range.begin, view, view, inputs, false});
  engine_.evaluate(view, view, inputs, tokens_, host_stream);
  StepSums sums;
  engine_.accumulate(tokens_, inputs, sums);
  StepRecord record;
  record.statistics = engine_.reduce(sums);

  const std::vector<double> ascend_logp(tokens_.size(), -1.0 / static_cast<double>(batch));
  engine_.gradient(view, view, inputs, tokens_,
                   {.kl_reverse = {}, .kl_forward = {}, .logp_policy = ascend_logp, .entropy_policy = {}},
                   gradient_view(logits_.data(), view.rows, view.columns), host_stream);
  gradient_.clear();
  policy_.backward(activations_, logits_, gradient_);
  policy_.reduce(gradient_);
  const double rate = cosine_decay(config_.mle.learning_rate, config_.mle.final_learning_rate, step_, config_.mle.steps);
  optimizer_.step(policy_.parameters().flat(), gradient_.words(), rate, config_.mle.weight_decay);

  record.phase = Phase::mle;
  record.step = ++step_;
  record.loss = -(*record.statistics)[Quantity::logp_policy].mean;
  record.tokens = record.statistics->tokens;
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

void MlePhase::select_batch(std::int64_t first, std::int64_t count) {
  contexts_.clear();
  targets_.clear();
  for (const std::int64_t example : batches_.select(first, count)) {
    const auto context = examples_.context_of(example);
    contexts_.insert(contexts_.end(), context.begin(), context.end());
    targets_.push_back(examples_.targets[static_cast<std::size_t>(example)]);
  }
}

}  // namespace klmesh::loop
