#include "loop/run_reports.hpp"

#include <fmt/format.h>

#include <bit>

#include "loop/word_archive.hpp"

namespace klmesh {

// In the namespaces of the structs, where the archive finds them.
static void visit(loop::WordArchive& a, QuantityStatistics& q) {
  a(q.count, q.infinite, q.negative, q.sum, q.mean, q.min, q.max, q.mean_square, q.variance, q.standard_deviation,
    q.standard_error, q.standard_error_clustered, q.sequence_mean, q.sequence_sum);
}

static void visit(loop::WordArchive& a, StepStatistics& s) {
  a(s.tokens, s.masked_tokens, s.invalid_rows, s.sequences, s.quantities);
}

namespace loop {

static void visit(WordArchive& a, StepRecord& r) {
  a(r.phase, r.step, r.statistics, r.loss, r.reward_mean, r.reward_stddev, r.perplexity_heldout, r.beta, r.stop_limit,
    r.tokens, r.seconds);
}

static void visit(WordArchive& a, Baselines& b) {
  a(b.unigram_perplexity, b.bigram_perplexity, b.unigram_k, b.k, b.weight);
}

static void visit(WordArchive& a, HeldoutReport& h) {
  a(h.tokens, h.loss, h.perplexity, h.cross_entropy, h.entropy_data, h.kl_forward);
}

static void visit(WordArchive& a, MleReport& m) { a(m.baselines, m.heldout); }

static void visit(WordArchive& a, RewardReport& r) { a(r.accuracy, r.pairs); }

static void visit(WordArchive& a, BiasCoverage& coverage) {
  auto counts = std::bit_cast<std::array<std::int64_t, 6>>(coverage);
  a(counts);
  coverage = std::bit_cast<BiasCoverage>(counts);
}

static void visit(WordArchive& a, ArmReport& r) {
  a(r.penalty, r.first, r.last, r.kl_max, r.kl_min, r.final_reward, r.final_kl, r.coverage, r.samples_before,
    r.samples_after);
}

static void visit(WordArchive& a, ArmProgress::Recent& r) { a(r.reward, r.kl); }

static void visit(WordArchive& a, ArmProgress& p) { a(p.report, p.recent, p.next_beta); }

static void visit(WordArchive& a, DistillHeldout& h) {
  a(h.tokens, h.student_perplexity, h.teacher_perplexity, h.kl_forward, h.kl_reverse, h.jensen_shannon);
}

static void visit(WordArchive& a, DistillReport& r) {
  a(r.kind, r.steps, r.first_loss, r.last_loss, r.before, r.after);
}

static void visit(WordArchive& a, RunReports& r) {
  a(r.summary.mle, r.summary.reward, r.summary.arms, r.summary.students, r.heldout, r.arm, r.student);
}

std::vector<std::int64_t> to_words(RunReports reports) {
  WordArchive archive;
  archive(reports);
  return std::move(archive).take();
}

RunReports reports_of(std::vector<std::int64_t> words) {
  WordArchive archive(std::move(words));
  RunReports reports;
  archive(reports);
  archive.finish();
  return reports;
}

std::string early_end(const ArmReport& report) {
  if (!report.ended_early()) return "";
  return fmt::format("stopped early at step {}: exact KL {:.6g} > rlhf.stop_kl {:.6g} nats a token", report.last.step,
                     (*report.last.statistics)[Quantity::kl_reverse].mean, *report.last.stop_limit);
}

std::string to_string(const RunPosition& position) {
  const std::string arm = position.arm_name.empty() ? "" : fmt::format(" ({})", position.arm_name);
  return fmt::format("phase {}{} step {}", static_cast<int>(position.phase), arm, position.step);
}

}  // namespace loop
}  // namespace klmesh
