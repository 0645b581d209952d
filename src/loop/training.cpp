#include "loop/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/error.hpp"
#include "loop/checkpoint.hpp"
#include "loop/distill_heldout.hpp"
#include "loop/distill_phase.hpp"
#include "loop/examples.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/kl_controller.hpp"
#include "loop/mle_phase.hpp"
#include "loop/policy.hpp"
#include "loop/preferences.hpp"
#include "loop/random.hpp"
#include "loop/reward_phase.hpp"
#include "loop/rlhf_phase.hpp"
#include "loop/run_reports.hpp"
#include "loop/sampler.hpp"
#include "loop/samples.hpp"
#include "loop/token_trace.hpp"
#include "loop/training_corpus.hpp"

namespace klmesh::loop {
namespace {

// What stands in for a reward model that was not fitted: random scores, so that phase 3 alone has something to learn.
void seed_scores(RewardModel& model, std::uint64_t seed) {
  const RandomStream stream{seed, RandomPurpose::reward_scores, 0};
  for (std::size_t word = 0; word < model.scores().size(); ++word) {
    model.scores()[word] = static_cast<float>(2.0 * random_uniform(stream, word) - 1.0);
  }
}

// What `make` returns on this rank, if it throws on none: a GPU may be short of memory on one of them alone.
template <typename Make>
auto made_on_all_ranks(Mesh& mesh, std::string_view what, Make&& make) {
  std::optional<decltype(make())> made;
  agree(mesh.world(), what, 0, failure_of([&] { made.emplace(make()); }));
  return std::move(*made);
}

// The state that the phases hand on, and the order they run in.
class Training {
 public:
  Training(TensorOps& ops, const TrainConfig& config, TrainingFiles files, TrainingObserver& observer)
      : mesh_(ops.mesh()),
        ops_(ops),
        host_ops_(mesh_),
        config_(config),
        files_(std::move(files)),
        observer_(observer),
        corpus_(load_agreed_corpus(mesh_, config)),
        engine_(made_on_all_ranks(mesh_, "the engine", [&] { return ops.make_engine(corpus_.vocabulary.size()); })),
        policy_(made_on_all_ranks(mesh_, "the policy", [&] {
          return Policy(ops, config.model, corpus_.vocabulary.size(), config.seed, log_unigram(corpus_));
        })),
        sampler_(ops),
        reward_model_(host_ops_, corpus_.vocabulary.size(), config.reward, config.adam),
        checkpoints_(mesh_, files_.directory, config.checkpoint.keep,
                     {files_.config_toml, fingerprint_of(corpus_), config.model, corpus_.vocabulary.size()}) {
    if (config.loop.first_phase > 2) seed_scores(reward_model_, config.seed);
    if (files_.replay_tokens) {
      const auto read = [&] { replay_.emplace(*files_.replay_tokens, corpus_.vocabulary.size()); };
      agree(mesh_.world(), "replay of tokens", 0, failure_of(read));
    }
  }

  TrainingSummary run() {
    summary().corpus = report_of(corpus_);
    observer_.corpus_loaded(summary().corpus);
    if (files_.resume) resume();
    open_dump();
    run_phases();
    summary().memory = memory_report();
    if (files_.record) files_.record->finish();
    return std::move(summary());
  }

 private:
  TrainingSummary& summary() noexcept { return reports_.summary; }
  bool stopped() const noexcept { return reports_.summary.stopped.has_value(); }

  // After the replay is read: both may name one file, and the dump empties it, or cuts off what is to come again.
  void open_dump() {
    if (!files_.dump_tokens) return;
    const TokenDump::Keep is_done = [this](std::string_view kind, std::int64_t step) { return is_behind(kind, step); };
    dump_.emplace(*files_.dump_tokens, mesh_, files_.resume ? is_done : nullptr);
  }

  // Is this step of this arm done, at the position that the run goes on from?
  bool is_behind(std::string_view kind, std::int64_t step) const {
    const auto found = std::ranges::find(config_.rlhf.arms, kind);
    const std::int64_t arm = found - config_.rlhf.arms.begin();
    return at_.phase > Phase::rlhf ||
           (at_.phase == Phase::rlhf && (arm < at_.arm || (arm == at_.arm && step <= at_.step)));
  }

  void run_phases() {
    const auto is_ahead = [this](Phase phase) {
      return at_.phase <= phase && config_.loop.first_phase <= static_cast<int>(phase);
    };
    if (is_ahead(Phase::mle) && config_.mle.steps > 0) maximise_likelihood();
    if (!stopped() && is_ahead(Phase::reward) && config_.reward.steps > 0) fit_reward_model();
    const auto first_arm = [this](Phase phase) { return at_.phase == phase ? at_.arm : 0; };
    if (is_ahead(Phase::rlhf) && config_.rlhf.steps > 0) {
      const auto arms = static_cast<std::int64_t>(config_.rlhf.arms.size());
      for (std::int64_t arm = first_arm(Phase::rlhf); arm < arms && !stopped(); ++arm) run_arm(arm);
    }
    if (stopped() || config_.distill.steps == 0) return;
    const auto students = static_cast<std::int64_t>(config_.distill.arms.size());
    for (std::int64_t arm = first_arm(Phase::distill); arm < students && !stopped(); ++arm) distil_student(arm);
  }

  void maximise_likelihood() {
    const std::int64_t steps = config_.mle.steps;
    observer_.phase_began(Phase::mle, "", steps);
    const Examples train = make_examples(corpus_.train, config_.model.context);
    const Examples heldout = make_examples(corpus_.heldout, config_.model.context);
    const auto made = made_on_all_ranks(mesh_, "starting phase 1", [&] {
      return std::make_unique<MlePhase>(engine_, policy_, train, config_);
    });
    MlePhase& phase = *made;
    phase.set_logits_sink(logits_sink(Phase::mle, ""));
    StateView state{policy_.shard(), {}, {}};
    state.add("policy", policy_, &phase.optimizer());
    state.add(reward_model_);
    begin_phase({Phase::mle, 0, "", 0}, phase, state);
    while (at_.step < steps) {
      StepRecord record = phase.step();
      const std::int64_t every = config_.mle.evaluate_every;
      if (record.step == steps || (every > 0 && record.step % every == 0)) {
        reports_.heldout = evaluate_heldout(engine_, policy_, heldout);
        record.perplexity_heldout = reports_.heldout.perplexity;
      }
      publish(record);
      if (!goes_on(steps, state)) return;
    }
    observer_.phase_ended(Phase::mle);
    summary().mle = MleReport{fit_baselines(corpus_), reports_.heldout};
    observer_.mle_done(*summary().mle);
    commit_record();
  }

  void fit_reward_model() {
    const std::int64_t steps = config_.reward.steps;
    observer_.phase_began(Phase::reward, "", steps);
    const Preferences preferences(corpus_, config_.reward, config_.seed);
    RewardPhase phase(mesh_, reward_model_, preferences, config_);
    StateView state{policy_.shard(), {}, {}};
    state.add("policy", policy_, nullptr);
    state.add(reward_model_);
    begin_phase({Phase::reward, 0, "", 0}, phase, state);
    while (at_.step < steps) {
      publish(phase.step());
      if (!goes_on(steps, state)) return;
    }
    observer_.phase_ended(Phase::reward);
    summary().reward = RewardReport{reward_model_.accuracy(preferences.heldout_pairs()),
                                    static_cast<std::int64_t>(preferences.heldout_pairs().size())};
    observer_.reward_done(*summary().reward);
    commit_record();
  }

  void run_arm(std::int64_t arm) {
    const std::int64_t steps = config_.rlhf.steps;
    const Penalty penalty = parse_penalty(config_.rlhf.arms[static_cast<std::size_t>(arm)]);
    const std::string kind(name(penalty));
    const bool further = arm > 0;
    if (further && !resuming_ && files_.record) files_.record->begin_directory(RunRecord::arm_directory(kind));
    observer_.phase_began(Phase::rlhf, kind, steps);
    const auto made = made_on_all_ranks(mesh_, "starting phase 3", [&] {
      return std::make_unique<RlhfPhase>(engine_, policy_, reward_model_, penalty, config_, sequence_source(penalty));
    });
    RlhfPhase& phase = *made;
    phase.set_logits_sink(logits_sink(Phase::rlhf, further ? RunRecord::arm_directory(kind) : ""));
    StateView state{policy_.shard(), {}, {}};
    state.add("reference", policy_, nullptr);
    state.add("policy", phase.policy(), &phase.optimizer());
    state.add(reward_model_);
    if (resuming_) {
      phase.controller().restore(reports_.arm.next_beta);
    } else {
      reports_.arm = {};
      reports_.arm.report.penalty = penalty;
      reports_.arm.next_beta = phase.beta();
    }
    begin_phase({Phase::rlhf, arm, kind, 0}, phase, state);
    while (at_.step < steps && !reports_.arm.report.ended_early()) {
      const StepRecord record = phase.step();
      reports_.arm.add(record);
      reports_.arm.next_beta = phase.beta();
      publish(record);
      if (!goes_on(steps, state)) return;
    }
    observer_.phase_ended(Phase::rlhf);
    ArmReport report = reports_.arm.finished();
    report.samples_before = sample_texts(policy_, corpus_.vocabulary, config_);
    report.samples_after = sample_texts(phase.policy(), corpus_.vocabulary, config_);
    observer_.arm_done(report);
    summary().arms.push_back(std::move(report));
  }

  // The policy of phase 1 is the teacher; phase 3 leaves it as it is.
  void distil_student(std::int64_t arm) {
    const std::int64_t steps = config_.distill.steps;
    const Distillation distillation = parse_distillation(config_.distill.arms[static_cast<std::size_t>(arm)]);
    const std::string kind(name(distillation));
    if (!resuming_ && files_.record) files_.record->begin_directory(RunRecord::student_directory(kind));
    observer_.phase_began(Phase::distill, kind, steps);
    const DistillExamples train(corpus_.train, config_.model, config_.student);
    const DistillExamples heldout(corpus_.heldout, config_.model, config_.student);
    const auto made = made_on_all_ranks(mesh_, "starting phase 4", [&] {
      return std::make_unique<DistillPhase>(
          engine_, policy_, make_student(ops_, config_, corpus_.vocabulary.size(), log_unigram(corpus_)), train,
          distillation, config_);
    });
    DistillPhase& phase = *made;
    phase.set_logits_sink(logits_sink(Phase::distill, RunRecord::student_directory(kind)));
    StateView state{policy_.shard(), {}, {}};
    state.add("reference", policy_, nullptr);
    state.add("policy", phase.student(), &phase.optimizer());
    const auto evaluate = [&] { return evaluate_student(engine_, policy_, phase.student(), heldout); };
    DistillReport& report = reports_.student;
    if (!resuming_) {
      report = {};
      report.kind = distillation;
      report.before = evaluate();
    }
    begin_phase({Phase::distill, arm, kind, 0}, phase, state);
    while (at_.step < steps) {
      StepRecord record = phase.step();
      report.add(record);
      const std::int64_t every = config_.distill.evaluate_every;
      if (record.step == steps || (every > 0 && record.step % every == 0)) {
        report.after = evaluate();
        record.perplexity_heldout = report.after.student_perplexity;
      }
      publish(record);
      if (!goes_on(steps, state)) return;
    }
    observer_.phase_ended(Phase::distill);
    observer_.student_done(report);
    summary().students.push_back(report);
    commit_record();
  }

  // Reads where to go on, and what was recorded until there. The arrays wait for their phase.
  void resume() {
    const Restored restored =
        checkpoints_.open([this](const std::string& why) { observer_.generation_damaged(why); });
    const auto take_over = [&] {
      require_position(restored.position);
      const CorpusReport corpus = summary().corpus;
      reports_ = reports_of(restored.extras.reports);
      summary().corpus = corpus;
      if (files_.record) files_.record->restore(record_directory(restored.position), restored.extras.statistics);
    };
    agree(mesh_.world(), "resuming", 0, failure_of(take_over));
    at_ = restored.position;
    resuming_ = true;
    observer_.resumed(at_, restored.generation);
  }

  // Below RUN.
  static std::string record_directory(const RunPosition& at) {
    if (at.phase == Phase::distill) return RunRecord::student_directory(at.arm_name);
    return at.phase == Phase::rlhf && at.arm > 0 ? RunRecord::arm_directory(at.arm_name) : "";
  }

  // That the configuration has it: settings may have been compared as text, or not at all.
  void require_position(const RunPosition& position) const {
    std::int64_t steps = 0;
    const auto arm = static_cast<std::size_t>(position.arm);
    if (position.phase == Phase::mle) steps = config_.mle.steps;
    if (position.phase == Phase::reward) steps = config_.reward.steps;
    if (position.phase == Phase::rlhf && arm < config_.rlhf.arms.size() &&
        config_.rlhf.arms[arm] == position.arm_name) {
      steps = config_.rlhf.steps;
    }
    if (position.phase == Phase::distill && arm < config_.distill.arms.size() &&
        config_.distill.arms[arm] == position.arm_name) {
      steps = config_.distill.steps;
    }
    // Step 0: of the first phase alone, but for that its state is as good.
    if (position.step >= 0 && position.step <= steps && steps > 0) return;
    throw InvalidData(fmt::format("checkpoint: this run has no {}", to_string(position)));
  }

  // From its start, or from where the checkpoint left it.
  template <class AnyPhase>
  void begin_phase(RunPosition start, AnyPhase& phase, const StateView& state) {
    if (!std::exchange(resuming_, false)) {
      const bool first = std::exchange(fresh_, false);
      at_ = std::move(start);
      if (first) checkpoint(state);  // a run that is killed from here on can be resumed
      return;
    }
    fresh_ = false;
    checkpoints_.restore(state);
    phase.resume_at(at_.step);
  }

  void publish(const StepRecord& record) {
    at_.step = record.step;
    if (files_.record) files_.record->add(record);
    observer_.step_done(record);
  }

  // What a step ends with: a generation where one is due, or where any rank was asked to stop.
  bool goes_on(std::int64_t steps, const StateView& state) {
    const bool stop = stop_agreed();
    const std::int64_t every = config_.checkpoint.every;
    const bool ended = at_.step == steps || (at_.phase == Phase::rlhf && reports_.arm.report.ended_early());
    const bool due = ended || (every > 0 && at_.step % every == 0);
    const std::string generation = stop || due ? checkpoint(state) : "";
    if (stop) summary().stopped = StopPoint{at_, generation};
    return !stop;
  }

  bool stop_agreed() {
    std::vector<std::uint64_t> stop{files_.stop_requested && files_.stop_requested() ? 1u : 0u};
    mesh_.world().all_reduce({}, stop);
    return stop.front() != 0;
  }

  // The statistics first: they then never lack what a generation has.
  std::string checkpoint(const StateView& state) {
    if (!checkpoints_.enabled()) return "";
    agree(mesh_.world(), "statistics", 0, failure_of([this] { commit_record(); }));
    StateExtras extras;
    extras.reports = to_words(reports_);
    if (files_.record) extras.statistics = files_.record->state();
    std::string generation = checkpoints_.write(at_, state, extras);
    observer_.generation_written(at_, generation);
    return generation;
  }

  void commit_record() {
    if (files_.record) files_.record->commit();
  }

  // Dumps the step that was asked for, if it is in this phase.
  LogitsSink logits_sink(Phase phase, std::string subdirectory) {
    if (!files_.dump_logits || files_.dump_logits->phase != phase) return nullptr;
    return [this, phase, subdirectory = std::move(subdirectory)](std::int64_t step, const StepLogits& logits) {
      if (step != files_.dump_logits->step) return;
      const std::filesystem::path directory = std::filesystem::path(files_.directory) / subdirectory;
      const std::string file = "logits-" + std::to_string(static_cast<int>(phase)) + "-" + std::to_string(step) + ".h5";
      dump_logits(ops_, engine_.shard(), logits, directory / file);
    };
  }

  // Samples, or replays, and dumps what was used.
  SequenceSource sequence_source(Penalty penalty) {
    return [this, arm = std::string(name(penalty))](const Policy& policy, const SampleRequest& request,
                                                    SampleBatch& batch) {
      const std::int64_t total = config_.rlhf.sequences;
      if (replay_) {
        replay_->serve(arm, request, total, config_.model.context, batch);
      } else {
        sampler_.sample(policy, request, batch);
      }
      if (dump_) dump_->write(arm, batch, request, total);
    };
  }

  MemoryReport memory_report() const {
    MemoryReport report;
    report.backend = ops_.name();
    report.peak_bytes = ops_.ledger().peak_bytes();
    report.at_peak = ops_.ledger().at_peak();
    report.engine_bytes = static_cast<std::int64_t>(engine_.workspace_bytes());
    report.sums_bytes = largest_sums_bytes();
    std::vector<std::uint64_t> largest{static_cast<std::uint64_t>(report.peak_bytes)};
    mesh_.world().all_reduce({}, largest);
    report.largest_peak_bytes = static_cast<std::int64_t>(largest.front());
    return report;
  }

  // Phase 3 has sums of every sequence, the others of a step alone. A device has a second copy, for the reduction.
  std::int64_t largest_sums_bytes() const {
    StepSums sums(config_.rlhf.steps > 0 ? config_.rlhf.sequences : 0);
    const std::size_t words = sums.sum_words().size() + sums.max_words().size();
    return static_cast<std::int64_t>(words * sizeof(std::int64_t)) * (ops_.memory() == TensorOps::Memory::device ? 2 : 1);
  }

  Mesh& mesh_;
  TensorOps& ops_;
  HostOps host_ops_;  // of what stays on the host
  const TrainConfig& config_;
  TrainingFiles files_;
  TrainingObserver& observer_;
  const Corpus corpus_;
  Engine engine_;
  Policy policy_;
  Sampler sampler_;
  RewardModel reward_model_;
  Checkpoints checkpoints_;
  std::optional<TokenDump> dump_;
  std::optional<TokenReplay> replay_;
  RunPosition at_;         // the last step that is done
  bool fresh_ = true;      // until the first phase has begun
  bool resuming_ = false;  // until the phase of the checkpoint has taken its state over
  RunReports reports_;
};

}  // namespace

TrainingSummary run_training(TensorOps& ops, const TrainConfig& config, TrainingFiles files, TrainingObserver& observer) {
  require_controllable(config.rlhf);
  return Training(ops, config, std::move(files), observer).run();
}

}  // namespace klmesh::loop
