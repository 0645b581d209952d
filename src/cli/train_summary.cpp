#include "cli/train_summary.hpp"

#include <fmt/format.h>

#include <cmath>

namespace klmesh::cli {
namespace {

using loop::ArmReport;
using loop::Coverage;

std::string learnt(const loop::TrainingSummary& s) {
  std::string text;
  if (s.mle) {
    text += fmt::format("# language model: held-out perplexity {:.1f} (unigram {:.1f}, bigram {:.1f})\n",
                        s.mle->heldout.perplexity, s.mle->baselines.unigram_perplexity,
                        s.mle->baselines.bigram_perplexity);
  }
  if (s.reward) {
    text += fmt::format("# reward model: {:.1f} % of {} held-out preferences\n", 100.0 * s.reward->accuracy,
                        s.reward->pairs);
  }
  return text;
}

std::string estimate(const char* estimator, const QuantityStatistics& value, const QuantityStatistics& bias) {
  return fmt::format("#   {:<3} {:>10.4g} +- {:<8.2g} bias {:>10.2g} +- {:<8.2g} negative {:5.1f} %\n", estimator,
                     value.mean, value.standard_error_clustered, bias.mean, bias.standard_error_clustered,
                     100.0 * static_cast<double>(value.negative) / static_cast<double>(value.count));
}

std::string coverage_line(const char* estimator, const Coverage& c) {
  return fmt::format("#   {:<3} {:5.1f} % of {} steps (p = {:.2g}){}\n", estimator, 100.0 * c.fraction(), c.steps,
                     c.p_value(), c.fails() ? "  FAILS: its error bars do not cover its bias" : "");
}

std::string coverage_lines(const ArmReport& arm) {
  if (arm.coverage.k1().steps == 0) return "";
  return "# |bias| <= 2 clustered standard errors, over steps with KL between 1e-3 and 0.3 nats:\n" +
         coverage_line("k1", arm.coverage.k1()) + coverage_line("k2", arm.coverage.k2()) +
         coverage_line("k3", arm.coverage.k3());
}

std::string arm_lines(const ArmReport& arm) {
  const StepStatistics& first = *arm.first.statistics;
  const StepStatistics& last = *arm.last.statistics;
  const double rise = arm.final_reward - arm.first.reward_mean;
  std::string text = fmt::format("#\n# arm {}: {}\n", name(arm.penalty), objective(arm.penalty));
  text += fmt::format("# mean reward {:.4g} at step 1, {:.4g} over the last steps: up {:.4g}, {:.2f} standard "
                      "deviations of the initial reward ({:.4g})\n",
                      arm.first.reward_mean, arm.final_reward, rise, rise / arm.first.reward_stddev,
                      arm.first.reward_stddev);
  text += fmt::format("# exact KL[policy||reference]: {:.4g} at step 1, {:.4g} nats a token over the last steps; "
                      "over all tokens of all steps {:.4g} to {:.4g}\n",
                      first[Quantity::kl_reverse].mean, arm.final_kl, arm.kl_min, arm.kl_max);
  if (arm.ended_early()) text += fmt::format("# {}\n", early_end(arm));
  if (arm.last.beta != arm.first.beta) {
    text += fmt::format("# beta, adaptive: {:.4g} at step 1, {:.4g} at step {}\n", arm.first.beta, arm.last.beta,
                        arm.last.step);
  }
  text += fmt::format("# at the last step, {} tokens: exact KL {:.6g}, forward {:.6g}; what each estimator says:\n",
                      last.tokens, last[Quantity::kl_reverse].mean, last[Quantity::kl_forward].mean);
  text += estimate("k1", last[Quantity::k1], last[Quantity::k1_bias]);
  text += estimate("k2", last[Quantity::k2], last[Quantity::k2_bias]);
  text += estimate("k3", last[Quantity::k3], last[Quantity::k3_bias]);
  text += coverage_lines(arm);
  for (std::size_t i = 0; i < arm.samples_before.size(); ++i) {
    text += fmt::format("# before: {}\n# after:  {}\n", arm.samples_before[i], arm.samples_after[i]);
  }
  return text;
}

// How far unpenalised training ran, against every penalised arm. Means over the last steps of arms of one length; of
// others a short arm's would be of its first steps: the KL where each ended.
std::string compare(const ArmReport& none, const ArmReport& arm) {
  const auto sentence = [&](double far, double near, const std::string& values) {
    if (!(near > 0)) return std::string();
    return fmt::format("# without a penalty the policy moved {:.1f} times as far as with {} ({})\n", far / near,
                       name(arm.penalty), values);
  };
  if (none.last.step == arm.last.step) {
    return sentence(none.final_kl, arm.final_kl, fmt::format("KL {:.4g} against {:.4g}", none.final_kl, arm.final_kl));
  }
  const double far = (*none.last.statistics)[Quantity::kl_reverse].mean;
  const double near = (*arm.last.statistics)[Quantity::kl_reverse].mean;
  return sentence(far, near, fmt::format("KL {:.4g} at its last step, {}, against {:.4g} at step {}", far, none.last.step,
                                         near, arm.last.step));
}

std::string comparison(const std::vector<ArmReport>& arms) {
  std::string text;
  for (const ArmReport& none : arms) {
    if (none.penalty != loop::Penalty::none) continue;
    for (const ArmReport& arm : arms) {
      if (arm.penalty != loop::Penalty::none) text += compare(none, arm);
    }
  }
  return text.empty() ? text : "#\n" + text;
}

std::string fall(const char* what, double before, double after) {
  return fmt::format("#   {:<22} {:>9.5g} -> {:<9.5g} nats a token\n", what, before, after);
}

std::string student_lines(const loop::DistillReport& s) {
  std::string text = fmt::format("#\n# student {}: {}\n", name(s.kind), objective(s.kind));
  text += fmt::format("# loss {:.4g} at step 1, {:.4g} at step {}; on {} held-out tokens, before -> after:\n", s.first_loss,
                      s.last_loss, s.steps, s.after.tokens);
  text += fmt::format("#   {:<22} {:>9.5g} -> {:<9.5g} (teacher {:.5g})\n", "perplexity", s.before.student_perplexity,
                      s.after.student_perplexity, s.after.teacher_perplexity);
  text += fall("KL[teacher||student]", s.before.kl_forward, s.after.kl_forward);
  text += fall("KL[student||teacher]", s.before.kl_reverse, s.after.kl_reverse);
  return text + fall("Jensen-Shannon", s.before.jensen_shannon, s.after.jensen_shannon);
}

// What the teacher was good for: the same student, steps and batches with and without it.
std::string comparison(const std::vector<loop::DistillReport>& students) {
  std::string text;
  for (const loop::DistillReport& data : students) {
    if (data.kind != loop::Distillation::data) continue;
    for (const loop::DistillReport& student : students) {
      if (student.kind == loop::Distillation::data) continue;
      text += fmt::format("# student {} against maximum likelihood alone: perplexity {:.5g} against {:.5g}, "
                          "KL[teacher||student] {:.4g} against {:.4g}, KL[student||teacher] {:.4g} against {:.4g}\n",
                          name(student.kind), student.after.student_perplexity, data.after.student_perplexity,
                          student.after.kl_forward, data.after.kl_forward, student.after.kl_reverse,
                          data.after.kl_reverse);
    }
  }
  return text.empty() ? text : "#\n" + text;
}

std::string mebibytes(std::int64_t bytes) { return fmt::format("{:.4g} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string memory_lines(const loop::MemoryReport& memory) {
  std::vector<std::string> parts;
  for (const loop::NamedBytes& part : memory.at_peak) parts.push_back(part.name + ' ' + mebibytes(part.bytes));
  return fmt::format(
      "#\n# memory of backend {} on rank 0, at its peak: {} of tensors ({}), {} of the engine's workspace, and {} of a step's "
      "sums; no rank has more than {} of tensors\n",
      memory.backend, mebibytes(memory.peak_bytes), fmt::join(parts, ", "), mebibytes(memory.engine_bytes),
      mebibytes(memory.sums_bytes), mebibytes(memory.largest_peak_bytes));
}

}  // namespace

std::string format_summary(const loop::TrainingSummary& summary) {
  std::string text = "#\n# summary\n" + learnt(summary);
  for (const ArmReport& arm : summary.arms) text += arm_lines(arm);
  text += comparison(summary.arms);
  for (const loop::DistillReport& student : summary.students) text += student_lines(student);
  text += comparison(summary.students);
  return summary.memory ? text + memory_lines(*summary.memory) : text;
}

}  // namespace klmesh::cli
