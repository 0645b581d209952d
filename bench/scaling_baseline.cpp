#include "scaling_baseline.hpp"

#include <chrono>
#include <cmath>

#include "comm/mpi_check.hpp"
#include "core/cpu/decode.hpp"
#include "textbook_kernels.hpp"

namespace klmesh::bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

BaselineStep::BaselineStep(ScalingMesh& mesh, const SyntheticLogits& logits,
                           std::span<const std::int64_t> targets, std::int64_t rows,
                           std::int64_t first_column)
    : mesh_(mesh),
      logits_(logits),
      targets_(targets),
      rows_(logits.policy().rows),
      columns_(logits.policy().columns),
      all_rows_(rows),
      first_column_(first_column) {
  const auto count = static_cast<std::size_t>(rows_);
  for (auto* values : {&max_a_, &max_b_, &sum_a_, &sum_b_}) values->resize(count);
  for (auto& values : values_) values.resize(count);
}

Parts BaselineStep::run() {
  exchange_ = 0;
  comm::check(MPI_Barrier(mesh_.world()), "MPI_Barrier");
  const double begin = now();
  upcast();
  maxima();
  normalisers();
  quantities();
  const double evaluated = now();
  reduce();
  const double end = now();
  return over_ranks(mesh_.world(), {.compute = evaluated - begin - exchange_,
                                    .exchange = exchange_,
                                    .reduction = end - evaluated,
                                    .total = end - begin});
}

// Trainers compute in fp32: logits.float().
void BaselineStep::upcast() {
  const LogitsView policy = logits_.policy(), reference = logits_.reference();
  if (policy.dtype == DType::f32) {
    a_ = static_cast<const float*>(policy.data);
    b_ = static_cast<const float*>(reference.data);
    return;
  }
  policy_.resize(static_cast<std::size_t>(rows_ * columns_));
  reference_.resize(policy_.size());
  cpu::decode(policy.data, policy.dtype, rows_ * columns_, policy_.data());
  cpu::decode(reference.data, reference.dtype, rows_ * columns_, reference_.data());
  a_ = policy_.data();
  b_ = reference_.data();
}

void BaselineStep::maxima() {
  const auto columns = static_cast<std::size_t>(columns_);
  for (std::size_t row = 0; row < max_a_.size(); ++row) {
    max_a_[row] = largest(a_ + row * columns, columns);
    max_b_[row] = largest(b_ + row * columns, columns);
  }
  all_reduce(max_a_, MPI_MAX);
  all_reduce(max_b_, MPI_MAX);
}

void BaselineStep::normalisers() {
  const auto columns = static_cast<std::size_t>(columns_);
  for (std::size_t row = 0; row < sum_a_.size(); ++row) {
    sum_a_[row] = sum_of_exponentials(a_ + row * columns, columns, max_a_[row]);
    sum_b_[row] = sum_of_exponentials(b_ + row * columns, columns, max_b_[row]);
  }
  all_reduce(sum_a_, MPI_SUM);
  all_reduce(sum_b_, MPI_SUM);
}

void BaselineStep::quantities() {
  const auto columns = static_cast<std::size_t>(columns_);
  for (std::size_t row = 0; row < sum_a_.size(); ++row) {
    const float *a = a_ + row * columns, *b = b_ + row * columns;
    const float lse_a = max_a_[row] + std::log(sum_a_[row]), lse_b = max_b_[row] + std::log(sum_b_[row]);
    const TextbookSums sums = textbook_sums(a, b, columns, lse_a, lse_b);
    const std::int64_t target = targets_[row] - first_column_;
    const bool mine = target >= 0 && target < columns_;
    const float log_p = mine ? a[target] - lse_a : 0.0f, log_q = mine ? b[target] - lse_b : 0.0f;
    const std::array all = {sums.kl_reverse,
                            sums.kl_forward,
                            sums.entropy_policy,
                            sums.entropy_reference,
                            sums.cross_policy_reference,
                            sums.cross_reference_policy,
                            log_p,
                            log_q};
    for (std::size_t i = 0; i < all.size(); ++i) values_[i][row] = all[i];
  }
  for (auto& values : values_) all_reduce(values, MPI_SUM);
}

// Each metric is averaged on its own.
void BaselineStep::reduce() {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    double sum = 0;
    for (const float value : values_[i]) sum += static_cast<double>(value);
    comm::check(MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, mesh_.batch()), "MPI_Allreduce");
    means_[i] = sum / static_cast<double>(all_rows_);
  }
}

void BaselineStep::all_reduce(std::vector<float>& values, MPI_Op operation) {
  const double begin = now();
  comm::check(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_FLOAT,
                            operation, mesh_.vocab()),
              "MPI_Allreduce");
  exchange_ += now() - begin;
}

}  // namespace klmesh::bench
