#include "loop/mle_phase.hpp"

#include <algorithm>
#include <chrono>

namespace klmesh::loop {

MlePhase::MlePhase(Engine& engine, Policy& policy, const Examples& examples, const TrainConfig& config)
    : ops_(policy.ops()),
      engine_(engine),
      policy_(policy),
      examples_(examples),
      config_(config),
      batch_(std::min(config.mle.batch_tokens, examples.size())),
      range_(part_of_rows(batch_, kRowTile, ops_.mesh().batch_part(), ops_.mesh().shape().batch)),
      optimizer_(ops_, config.adam, policy.parameters().layout().size()),
      gradient_(policy.make_gradient()),
      sums_(engine.make_device_sums()),
      batches_(examples.size(), config.seed, RandomPurpose::mle_batches),
      contexts_(ops_, "rows", range_.size() * examples.context),
      targets_(ops_, "rows", range_.size()),
      ascend_logp_(ops_, "rows", range_.size()),
      activations_(ops_),
      logits_(ops_, "logits", range_.size() * policy.head_columns()),
      tokens_(ops_, "rows", range_.size()) {
  engine.plan(range_.size(), {});
  ascend_logp_.fill(-1.0 / static_cast<double>(batch_));
}

StepRecord MlePhase::step() {
  const auto start = std::chrono::steady_clock::now();
  select_batch(step_ * batch_ + range_.begin);
  policy_.forward(contexts_.span(), range_.begin, activations_, logits_.span());

  // There is no reference yet: the policy stands in for it, and only its own quantities are used.
  const LogitsView view = logits_view(logits_.span().data(), range_.size(), policy_.head_columns());
  const RowInputs inputs{.targets = targets_.span(), .mask = {}, .sequence = {}};
  if (logits_sink_) logits_sink_(step_ + 1, {batch_, range_.begin, view, view, inputs, false});
  engine_.evaluate(view, view, inputs, tokens_.span(), ops_.stream());
  engine_.clear(sums_, ops_.stream());
  engine_.accumulate(tokens_.span(), inputs, sums_, ops_.stream());

  engine_.gradient(view, view, inputs, tokens_.span(),
                   {.kl_reverse = {}, .kl_forward = {}, .logp_policy = ascend_logp_.span(), .entropy_policy = {}},
                   gradient_view(logits_.span().data(), view.rows, view.columns), ops_.stream());
  gradient_.clear();
  policy_.backward(activations_, logits_.span(), gradient_);
  gradient_.reduce();
  const double rate = cosine_decay(config_.mle.learning_rate, config_.mle.final_learning_rate, step_, config_.mle.steps);
  optimizer_.step(policy_.parameters().flat(), gradient_.words(), rate, config_.mle.weight_decay);

  // All is enqueued; from here on the host waits.
  StepRecord record;
  record.statistics = engine_.reduce(sums_, false, ops_.stream());
  gradient_.check();
  record.phase = Phase::mle;
  record.step = ++step_;
  record.loss = -(*record.statistics)[Quantity::logp_policy].mean;
  record.tokens = record.statistics->tokens;
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

void MlePhase::select_batch(std::int64_t first) {
  host_contexts_.clear();
  host_targets_.clear();
  for (const std::int64_t example : batches_.select(first, range_.size())) {
    const auto context = examples_.context_of(example);
    host_contexts_.insert(host_contexts_.end(), context.begin(), context.end());
    host_targets_.push_back(examples_.targets[static_cast<std::size_t>(example)]);
  }
  contexts_.upload(CopyReason::batch, host_contexts_);
  targets_.upload(CopyReason::batch, host_targets_);
}

}  // namespace klmesh::loop
