#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "batch.hpp"
#include "oracle.hpp"
#include "scenarios.hpp"

namespace consumer {
namespace {

// The weights of a run of rows, and the memory behind them.
struct Scales {
  explicit Scales(klmesh::RowRange rows) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const Weights w = weights(row);
      kl_reverse.push_back(w.kl_reverse);
      kl_forward.push_back(w.kl_forward);
      logp_policy.push_back(w.logp_policy);
      entropy_policy.push_back(w.entropy_policy);
    }
  }
  klmesh::RowScales view() const { return {kl_reverse, kl_forward, logp_policy, entropy_policy}; }

  std::vector<double> kl_reverse, kl_forward, logp_policy, entropy_policy;
};

// The largest error of `factor` times the gradient over this shard; masked rows must be exactly 0.
double largest_error(const std::vector<float>& found, klmesh::RowRange rows, const klmesh::VocabShard& shard, double factor) {
  double largest = 0;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    const Row row(r);
    for (std::int64_t v = shard.begin; v < shard.end; ++v) {
      const float value = found[static_cast<std::size_t>((r - rows.begin) * shard.columns() + v - shard.begin)];
      if (mask(r) == 0) {
        if (value != 0) return INFINITY;
        continue;
      }
      const double expected = factor * derivative(row, weights(r), target(r), v);
      const double error = std::fabs(value - expected) / std::fmax(1.0, std::fabs(expected));
      largest = std::isnan(error) ? INFINITY : std::max(largest, error);
    }
  }
  return largest;
}

}  // namespace

void gradients(klmesh::Mesh& mesh, Checks& checks) {
  klmesh::Engine engine(mesh, kVocabulary);
  const klmesh::VocabShard& shard = engine.shard();
  const klmesh::RowRange rows = rows_of(mesh.batch_part(), mesh.shape().batch);
  const Logits policy(Side::policy, klmesh::DType::bf16, rows, shard);
  const Logits reference(Side::reference, klmesh::DType::f32, rows, shard);
  const Inputs inputs(rows);
  const Scales scales(rows);
  std::vector<klmesh::TokenStats> tokens(static_cast<std::size_t>(rows.size()));
  std::vector<float> gradient(static_cast<std::size_t>(rows.size() * shard.columns()), 1e30F);

  for (const auto schedule : {klmesh::Schedule::gather, klmesh::Schedule::by_rows}) {
    const std::string name = schedule == klmesh::Schedule::gather ? "gradient, gather: " : "gradient, by rows: ";
    engine.evaluate(policy.view(), reference.view(), inputs.view(), {.schedule = schedule}, tokens, klmesh::host_stream);
    klmesh::GradientView output = klmesh::gradient_view(gradient.data(), rows.size(), shard.columns());
    engine.gradient(policy.view(), reference.view(), inputs.view(), tokens, scales.view(), output, klmesh::host_stream);
    checks.within(name + "written", gradient[0], largest_error(gradient, rows, shard, 1), 1e-6);
    output.accumulate = true;
    engine.gradient(policy.view(), reference.view(), inputs.view(), tokens, scales.view(), output, klmesh::host_stream);
    checks.within(name + "added", gradient[0], largest_error(gradient, rows, shard, 2), 1e-6);
  }
}

}  // namespace consumer
