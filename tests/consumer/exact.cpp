#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "batch.hpp"
#include "oracle.hpp"
#include "scenarios.hpp"

namespace consumer {
namespace {

using klmesh::DType;
using klmesh::Quantity;
using klmesh::Schedule;

struct Pair {
  const char* name;
  DType policy, reference;
  double tolerance;
};
constexpr std::array kPairs = {Pair{"f32", DType::f32, DType::f32, 2e-6}, Pair{"f64", DType::f64, DType::f64, 1e-9},
                               Pair{"f16", DType::f16, DType::f16, 2e-6}, Pair{"bf16", DType::bf16, DType::bf16, 2e-6},
                               Pair{"bf16, f32", DType::bf16, DType::f32, 2e-6}};

// Adds a run of rows to the step; this is all there is to a micro-batch.
void add(klmesh::Engine& engine, klmesh::RowRange rows, const Pair& pair, const klmesh::EvaluateOptions& options,
         klmesh::StepSums& sums) {
  const Logits policy(Side::policy, pair.policy, rows, engine.shard());
  const Logits reference(Side::reference, pair.reference, rows, engine.shard());
  const Inputs inputs(rows);
  std::vector<klmesh::TokenStats> tokens(static_cast<std::size_t>(rows.size()));
  engine.evaluate(policy.view(), reference.view(), inputs.view(), options, tokens, klmesh::host_stream);
  engine.accumulate(tokens, inputs.view(), sums);
}

klmesh::StepStatistics in_one(klmesh::Engine& engine, klmesh::RowRange rows, const Pair& pair, Schedule schedule) {
  const klmesh::EvaluateOptions options{.quantities = klmesh::QuantitySet::all, .schedule = schedule};
  klmesh::StepSums sums(kSequences, klmesh::QuantitySet::all);
  add(engine, rows, pair, options, sums);
  return engine.reduce(sums);
}

klmesh::StepStatistics in_two(klmesh::Engine& engine, klmesh::RowRange rows, const Pair& pair) {
  const std::int64_t middle = rows.begin + rows.size() / 3;
  constexpr klmesh::EvaluateOptions options{.quantities = klmesh::QuantitySet::all};
  klmesh::StepSums first(kSequences, options.quantities), second(kSequences, options.quantities);
  add(engine, {rows.begin, middle}, pair, options, first);
  add(engine, {middle, rows.end}, pair, options, second);
  first.merge(second);
  return engine.reduce(first);
}

double relative_error(double value, double expected) { return std::fabs(value - expected) / std::fabs(expected); }

// The largest relative error of what the oracle knows; infinite if one is NaN.
double largest_error(const klmesh::StepStatistics& found, const Step& expected) {
  double largest = 0;
  for (const double error :
       {relative_error(static_cast<double>(found.tokens), expected.tokens),
        relative_error(found[Quantity::kl_reverse].mean, expected.kl_reverse),
        relative_error(found[Quantity::kl_forward].mean, expected.kl_forward),
        relative_error(found[Quantity::total_variation].mean, expected.total_variation),
        relative_error(found[Quantity::k1].mean, expected.k1), relative_error(found[Quantity::k2].mean, expected.k2),
        relative_error(found[Quantity::k3].mean, expected.k3),
        relative_error(found[Quantity::kl_reverse].standard_error_clustered, expected.kl_reverse_error_clustered)}) {
    largest = std::isnan(error) ? INFINITY : std::max(largest, error);
  }
  return largest;
}

}  // namespace

void exact(klmesh::Mesh& mesh, const std::string& mesh_name, Checks& checks) {
  klmesh::Engine engine(mesh, kVocabulary);
  const klmesh::RowRange rows = rows_of(mesh.batch_part(), mesh.shape().batch);
  const Step expected = step();
  for (const Pair& pair : kPairs) {
    const klmesh::StepStatistics found = in_one(engine, rows, pair, Schedule::gather);
    const klmesh::StepStatistics by_rows = in_one(engine, rows, pair, Schedule::by_rows);
    const klmesh::StepStatistics merged = in_two(engine, rows, pair);
    const std::string name = mesh_name + ", " + pair.name + ": ";
    const double kl = found[Quantity::kl_reverse].mean;
    checks.within(name + "KL and seven more", kl, largest_error(found, expected), pair.tolerance);
    checks.equal(name + "KL by rows", by_rows[Quantity::kl_reverse].mean, kl);
    checks.equal(name + "KL in two micro-batches", merged[Quantity::kl_reverse].mean, kl);
  }
}

}  // namespace consumer
