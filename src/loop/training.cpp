#include "loop/training.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>

#include "comm/agreement.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/error.hpp"
#include "loop/corpus.hpp"
#include "loop/examples.hpp"
#include "loop/mle_phase.hpp"
#include "loop/policy.hpp"
#include "loop/preferences.hpp"
#include "loop/reward_phase.hpp"
#include "loop/rlhf_phase.hpp"
#include "loop/samples.hpp"
#include "loop/token_trace.hpp"

namespace klmesh::loop {
namespace {

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

// Every rank reads the files itself, and on another node they may be others, or missing.
Corpus load_agreed_corpus(Mesh& mesh, const TrainConfig& config) {
  Corpus corpus;
  const std::exception_ptr failure = failure_of([&] { corpus = load_corpus(config.data, config.seed); });
  agree(mesh.world(), "the corpus", failure ? 0 : fingerprint_of(corpus), failure);
  return corpus;
}

// Log probabilities of single words, add-one smoothed: where the output bias starts.
std::vector<float> log_unigram(const Corpus& corpus) {
  const NgramCounts counts(corpus.train, corpus.vocabulary.size());
  std::vector<float> logs;
  for (std::int64_t word = 0; word < corpus.vocabulary.size(); ++word) {
    logs.push_back(static_cast<float>(std::log(counts.unigram(static_cast<std::int32_t>(word), 1.0))));
  }
  return logs;
}

// The state that the phases hand on, and the order they run in.
class Training {
 public:
  Training(Mesh& mesh, const TrainConfig& config, TrainingFiles files, TrainingObserver& observer)
      : mesh_(mesh),
        config_(config),
        files_(std::move(files)),
        observer_(observer),
        corpus_(load_agreed_corpus(mesh, config)),
        engine_(mesh, corpus_.vocabulary.size()),
        policy_(mesh, config.model, corpus_.vocabulary.size(), config.seed, log_unigram(corpus_)),
        reward_model_(corpus_.vocabulary.size(), config.reward, config.adam) {
    // Replay first: both may name one file, and the dump empties it.
    if (files_.replay_tokens) {
      const auto read = [&] { replay_.emplace(*files_.replay_tokens, corpus_.vocabulary.size()); };
      agree(mesh.world(), "replay of tokens", 0, failure_of(read));
    }
    if (files_.dump_tokens) dump_.emplace(*files_.dump_tokens, mesh);
  }

  TrainingSummary run() {
    summary_.corpus = report_of(corpus_);
    observer_.corpus_loaded(summary_.corpus);
    if (config_.loop.first_phase <= 1 && config_.mle.steps > 0) maximise_likelihood();
    if (config_.loop.first_phase <= 2 && config_.reward.steps > 0) fit_reward_model();
    if (config_.rlhf.steps > 0) {
      for (std::size_t arm = 0; arm < config_.rlhf.arms.size(); ++arm) {
        const Penalty penalty = parse_penalty(config_.rlhf.arms[arm]);
        if (arm > 0 && files_.record) files_.record->begin_further_arm(name(penalty));
        run_arm(penalty, arm > 0);
      }
    }
    if (files_.record) files_.record->finish();
    return std::move(summary_);
  }

 private:
  void maximise_likelihood() {
    observer_.phase_began(Phase::mle, "", config_.mle.steps);
    const Examples train = make_examples(corpus_.train, config_.model.context);
    const Examples heldout = make_examples(corpus_.heldout, config_.model.context);
    MlePhase phase(mesh_, engine_, policy_, train, config_);
    phase.set_logits_sink(logits_sink(Phase::mle, ""));
    MleReport report;
    for (std::int64_t step = 1; step <= config_.mle.steps; ++step) {
      StepRecord record = phase.step();
      const bool last = step == config_.mle.steps;
      if (last || (config_.mle.evaluate_every > 0 && step % config_.mle.evaluate_every == 0)) {
        report.heldout = evaluate_heldout(mesh_, engine_, policy_, heldout);
        record.perplexity_heldout = report.heldout.perplexity;
      }
      publish(record);
    }
    observer_.phase_ended(Phase::mle);
    report.baselines = fit_baselines(corpus_);
    observer_.mle_done(report);
    summary_.mle = report;
    if (files_.record) files_.record->commit();
  }

  void fit_reward_model() {
    observer_.phase_began(Phase::reward, "", config_.reward.steps);
    const Preferences preferences(corpus_, config_.reward, config_.seed);
    RewardPhase phase(mesh_, reward_model_, preferences, config_);
    for (std::int64_t step = 1; step <= config_.reward.steps; ++step) publish(phase.step());
    observer_.phase_ended(Phase::reward);
    summary_.reward = RewardReport{reward_model_.accuracy(preferences.heldout_pairs()),
                                   static_cast<std::int64_t>(preferences.heldout_pairs().size())};
    observer_.reward_done(*summary_.reward);
    if (files_.record) files_.record->commit();
  }

  void run_arm(Penalty penalty, bool further) {
    observer_.phase_began(Phase::rlhf, name(penalty), config_.rlhf.steps);
    RlhfPhase phase(mesh_, engine_, policy_, reward_model_, penalty, config_, sequence_source(penalty));
    phase.set_logits_sink(logits_sink(Phase::rlhf, further ? RunRecord::arm_directory(name(penalty)) : ""));
    ArmReport report;
    report.penalty = penalty;
    std::vector<StepRecord> steps;
    for (std::int64_t step = 1; step <= config_.rlhf.steps; ++step) {
      steps.push_back(phase.step());
      report.coverage.add(*steps.back().statistics);
      publish(steps.back());
    }
    observer_.phase_ended(Phase::rlhf);
    finish_arm(steps, report);
    report.samples_before = sample_texts(policy_, mesh_, corpus_.vocabulary, config_);
    report.samples_after = sample_texts(phase.policy(), mesh_, corpus_.vocabulary, config_);
    observer_.arm_done(report);
    summary_.arms.push_back(std::move(report));
  }

  static void finish_arm(const std::vector<StepRecord>& steps, ArmReport& report) {
    constexpr std::size_t kLastSteps = 10;
    report.first = steps.front();
    report.last = steps.back();
    report.kl_min = HUGE_VAL;
    for (const StepRecord& s : steps) {
      report.kl_min = std::min(report.kl_min, (*s.statistics)[Quantity::kl_reverse].min);
      report.kl_max = std::max(report.kl_max, (*s.statistics)[Quantity::kl_reverse].max);
    }
    const std::size_t count = std::min(kLastSteps, steps.size());
    for (std::size_t i = steps.size() - count; i < steps.size(); ++i) {
      report.final_reward += steps[i].reward_mean / static_cast<double>(count);
      report.final_kl += (*steps[i].statistics)[Quantity::kl_reverse].mean / static_cast<double>(count);
    }
  }

  // Dumps the step that was asked for, if it is in this phase.
  LogitsSink logits_sink(Phase phase, std::string subdirectory) {
    if (!files_.dump_logits || files_.dump_logits->phase != phase) return nullptr;
    return [this, phase, subdirectory = std::move(subdirectory)](std::int64_t step, const StepLogits& logits) {
      if (step != files_.dump_logits->step) return;
      const std::filesystem::path directory = std::filesystem::path(files_.directory) / subdirectory;
      const std::string file = "logits-" + std::to_string(static_cast<int>(phase)) + "-" + std::to_string(step) + ".h5";
      dump_logits(mesh_, engine_.shard(), logits, directory / file);
    };
  }

  // Samples, or replays, and dumps what was used.
  SequenceSource sequence_source(Penalty penalty) {
    return [this, arm = std::string(name(penalty))](const Policy& policy, const SampleRequest& request) {
      const std::int64_t total = config_.rlhf.sequences;
      SampleBatch batch = replay_ ? replay_->batch(arm, request, total, config_.model.context)
                                  : sample_sequences(policy, mesh_, request);
      if (dump_) dump_->write(arm, batch, request, total);
      return batch;
    };
  }

  void publish(const StepRecord& record) {
    if (files_.record) files_.record->add(record);
    observer_.step_done(record);
  }

  Mesh& mesh_;
  const TrainConfig& config_;
  TrainingFiles files_;
  TrainingObserver& observer_;
  const Corpus corpus_;
  Engine engine_;
  Policy policy_;
  RewardModel reward_model_;
  std::optional<TokenDump> dump_;
  std::optional<TokenReplay> replay_;
  TrainingSummary summary_;
};

}  // namespace

TrainingSummary run_training(Mesh& mesh, const TrainConfig& config, TrainingFiles files, TrainingObserver& observer) {
  return Training(mesh, config, std::move(files), observer).run();
}

}  // namespace klmesh::loop
