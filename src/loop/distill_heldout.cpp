#include "loop/distill_heldout.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "loop/partition.hpp"

namespace klmesh::loop {
namespace {

// One model on a run of examples.
class Reader {
 public:
  Reader(const Policy& policy, const Examples& examples) : policy_(policy), examples_(examples) {}

  LogitsView read(std::int64_t first, std::int64_t rows) {
    logits_.resize(static_cast<std::size_t>(rows * policy_.head_columns()));
    const std::int64_t context = examples_.context;
    policy_.forward(std::span(examples_.contexts).subspan(static_cast<std::size_t>(first * context),
                                                          static_cast<std::size_t>(rows * context)),
                    first, activations_, logits_);
    return logits_view(logits_.data(), rows, policy_.head_columns());
  }

 private:
  const Policy& policy_;
  const Examples& examples_;
  Activations activations_;
  std::vector<float> logits_;
};

}  // namespace

DistillHeldout evaluate_student(Mesh& mesh, Engine& engine, const Policy& teacher, const Policy& student,
                                const DistillExamples& examples) {
  constexpr std::int64_t kChunk = 2 * kRowTile;  // bounds the memory; any multiple of the tile gives the same bits
  const std::span<const std::int64_t> targets(examples.student.targets);
  const RowRange range = part_of_rows(examples.student.size(), kRowTile, mesh.batch_part(), mesh.shape().batch);
  Reader teacher_reader(teacher, examples.teacher), student_reader(student, examples.student);
  EvaluateOptions options;
  options.quantities = QuantitySet::all;
  options.gradient_follows = false;
  std::vector<TokenStats> tokens;
  StepSums sums(0, options.quantities);
  for (std::int64_t first = range.begin; first < range.end; first += kChunk) {
    const std::int64_t rows = std::min(kChunk, range.end - first);
    const RowInputs inputs{
        .targets = targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows)),
        .mask = {},
        .sequence = {}};
    tokens.resize(static_cast<std::size_t>(rows));
    engine.evaluate(student_reader.read(first, rows), teacher_reader.read(first, rows), inputs, options, tokens,
                    host_stream);
    engine.accumulate(tokens, inputs, sums);
  }
  const StepStatistics s = engine.reduce(sums);
  DistillHeldout heldout;
  heldout.tokens = s.tokens;
  heldout.student_perplexity = std::exp(-s[Quantity::logp_policy].mean);
  heldout.teacher_perplexity = std::exp(-s[Quantity::logp_reference].mean);
  heldout.kl_forward = s[Quantity::kl_forward].mean;
  heldout.kl_reverse = s[Quantity::kl_reverse].mean;
  heldout.jensen_shannon = s[Quantity::jensen_shannon].mean;
  return heldout;
}

}  // namespace klmesh::loop
