#include "cli/train_console.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

namespace klmesh::cli {
namespace {

using loop::Phase;
using loop::StepRecord;

std::vector<Column> columns_of(Phase phase) {
  const Column step{.name = "step", .unit = "", .significant = 6, .width = 6};
  const Column speed{.name = "speed", .unit = "tokens/s", .significant = 4, .width = 10};
  const auto nats = [](std::string name, int significant = 4, int width = 10) {
    return Column{std::move(name), "nats", significant, width};
  };
  const auto pure = [](std::string name) { return Column{std::move(name), "", 5, 10}; };
  switch (phase) {
    case Phase::mle:
      return {step, nats("loss", 5), pure("perplexity"), nats("entropy", 5), pure("heldout_ppl"), speed};
    case Phase::reward:
      return {step, nats("loss", 5), speed};
    case Phase::distill:
      return {step, nats("loss", 5), pure("perplexity"), pure("teacher_ppl"), nats("kl_forward"), nats("kl_reverse"),
              pure("heldout_ppl"), speed};
    case Phase::rlhf:
      break;
  }
  return {step,          pure("reward"), pure("perplexity"), nats("kl_reverse"), nats("kl_forward"),
          nats("k1"),    nats("+-k1", 2, 8), nats("k2"), nats("+-k2", 2, 8), nats("k3"), nats("+-k3", 2, 8), speed};
}

std::vector<Cell> cells_of(const StepRecord& r) {
  const double speed = static_cast<double>(r.tokens) / r.seconds;
  if (r.phase == Phase::reward) return {r.step, r.loss, speed};
  const StepStatistics& s = *r.statistics;
  const double perplexity = std::exp(-s[Quantity::logp_policy].mean);
  const Cell heldout = std::isnan(r.perplexity_heldout) ? Cell{std::string("-")} : Cell{r.perplexity_heldout};
  if (r.phase == Phase::mle) return {r.step, r.loss, perplexity, s[Quantity::entropy_policy].mean, heldout, speed};
  if (r.phase == Phase::distill) {
    const double teacher = std::exp(-s[Quantity::logp_reference].mean);
    return {r.step, r.loss, perplexity, teacher, s[Quantity::kl_forward].mean, s[Quantity::kl_reverse].mean, heldout,
            speed};
  }
  std::vector<Cell> cells{r.step, r.reward_mean, perplexity, s[Quantity::kl_reverse].mean, s[Quantity::kl_forward].mean};
  for (const Quantity k : {Quantity::k1, Quantity::k2, Quantity::k3}) {
    cells.emplace_back(s[k].mean);
    cells.emplace_back(s[k].standard_error_clustered);
  }
  cells.emplace_back(speed);
  return cells;
}

std::string title(Phase phase, std::string_view arm) {
  switch (phase) {
    case Phase::mle:
      return "phase 1: maximum likelihood";
    case Phase::reward:
      return "phase 2: reward model from preferences";
    case Phase::distill:
      return fmt::format("phase 4: distillation, {}: {}", arm, objective(loop::parse_distillation(arm)));
    case Phase::rlhf:
      break;
  }
  return fmt::format("phase 3: RLHF, penalty {}: {}", arm, objective(loop::parse_penalty(arm)));
}

std::string label(Phase phase, std::string_view arm) {
  if (phase == Phase::mle) return "maximum likelihood";
  if (phase == Phase::reward) return "reward model";
  return (phase == Phase::rlhf ? "rlhf " : "student ") + std::string(arm);
}

}  // namespace

TrainConsole::TrainConsole(std::FILE* out, std::int64_t report_every, ProgressStyle progress)
    : out_(out), report_every_(report_every), style_(progress) {}

void TrainConsole::say(std::string_view text) { write_out(out_, fmt::format("# {}\n", text)); }

void TrainConsole::corpus_loaded(const loop::CorpusReport& r) {
  say(fmt::format("corpus: {} training texts ({} tokens), {} held-out texts ({} tokens, {:.2f} % unknown); "
                  "vocabulary {}",
                  r.train_texts, r.train_tokens, r.heldout_texts, r.heldout_tokens, 100.0 * r.unknown_heldout,
                  r.vocab_size));
}

void TrainConsole::phase_began(Phase phase, std::string_view arm, std::int64_t steps) {
  write_out(out_, "#\n");
  say(fmt::format("{}, {} steps", title(phase, arm), steps));
  table_.emplace(out_, columns_of(phase));
  table_->header();
  steps_ = steps;
  progress_.emplace(label(phase, arm), steps, style_);
}

void TrainConsole::step_done(const StepRecord& record) {
  progress_->update(record.step, record.phase == Phase::rlhf ? fmt::format("reward {:.3g}", record.reward_mean)
                                                             : fmt::format("loss {:.4g}", record.loss));
  const bool last = record.step == steps_ || record.ends_early();
  if (record.step == 1 || record.step % report_every_ == 0 || last) table_->row(cells_of(record));
}

void TrainConsole::phase_ended(Phase) { progress_.reset(); }

void TrainConsole::mle_done(const loop::MleReport& r) {
  say(fmt::format("held-out perplexity {:.1f}; unigram {:.1f}; interpolated add-k bigram {:.1f} (k {:.3g}, weight "
                  "{:.2f})",
                  r.heldout.perplexity, r.baselines.unigram_perplexity, r.baselines.bigram_perplexity,
                  r.baselines.k, r.baselines.weight));
  say("maximum likelihood is minimum forward KL: with p the empirical next-word distribution given the model's context,");
  say(fmt::format("  held-out loss {:.9f} = cross-entropy {:.9f} = H(p) {:.6f} + KL[p||policy] {:.6f} nats a token",
                  r.heldout.loss, r.heldout.cross_entropy, r.heldout.entropy_data, r.heldout.kl_forward));
}

void TrainConsole::reward_done(const loop::RewardReport& r) {
  say(fmt::format("held-out preference accuracy {:.1f} % of {} pairs", 100.0 * r.accuracy, r.pairs));
}

void TrainConsole::student_done(const loop::DistillReport& r) {
  say(fmt::format("student on held-out text: perplexity {:.1f} (teacher {:.1f}), KL[teacher||student] {:.4g} nats a token, "
                  "{:.4g} before",
                  r.after.student_perplexity, r.after.teacher_perplexity, r.after.kl_forward, r.before.kl_forward));
}

void TrainConsole::arm_done(const loop::ArmReport& r) {
  if (r.ended_early()) say(early_end(r));
}

void TrainConsole::generation_damaged(std::string_view why) {
  say(fmt::format("a checkpoint is damaged, the one before is tried: {}", why));
}

void TrainConsole::resumed(const loop::RunPosition& position, std::string_view directory) {
  say(fmt::format("resumed after {} from {}", to_string(position), directory));
}

}  // namespace klmesh::cli
