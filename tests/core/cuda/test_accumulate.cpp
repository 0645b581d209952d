// The words of a step's sums on the device against StepSums on the host: the same bits for the same tokens.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/cuda/accumulate.hpp"
#include "core/cuda/device_array.hpp"
#include "core/row_status.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Tokens of all magnitudes, some infinite; a few masked, invalid, of a wrong target or sequence.
struct Step {
  std::vector<TokenStats> tokens;
  std::vector<std::int64_t> targets, sequence;
  std::vector<std::uint8_t> mask;

  RowInputs inputs() const { return {.targets = targets, .mask = mask, .sequence = sequence}; }
};

TokenStats token_of(std::mt19937_64& random, bool extended) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> exponent(-40, 12);
  const auto any = [&] { return normal(random) * std::exp(exponent(random)); };
  TokenStats t;
  t.kl_reverse = std::fabs(any());
  t.kl_forward = random() % 50 == 0 ? kInf : std::fabs(any());
  t.entropy_policy = any();
  t.entropy_reference = any();
  t.cross_entropy_policy_reference = any();
  t.cross_entropy_reference_policy = any();
  t.logp_policy = -std::fabs(normal(random));
  t.logp_reference = random() % 40 == 0 ? -kInf : t.logp_policy + normal(random) * std::exp(0.2 * exponent(random));
  t.k1 = t.logp_policy - t.logp_reference;
  t.k2 = t.k1 * t.k1 / 2;
  t.k3 = std::expm1(-t.k1) + t.k1;
  const double none = extended ? 0.0 : kNan;
  t.chi_square = none + any();
  t.chi_square_reference_policy = none + 5e-324;
  t.hellinger = none + any();
  t.jensen_shannon = none + any();
  t.total_variation = none + 1e300 * any();
  t.same_top = none + static_cast<double>(random() % 2);
  t.renyi = none + any();
  t.flags = kPolicyHasMass | kReferenceHasMass | kHasTarget;
  return t;
}

Step random_step(std::size_t rows, std::int64_t sequences, bool extended, unsigned seed) {
  std::mt19937_64 random(seed);
  Step step;
  for (std::size_t i = 0; i < rows; ++i) {
    step.tokens.push_back(token_of(random, extended));
    TokenStats& t = step.tokens.back();
    step.targets.push_back(static_cast<std::int64_t>(random() % 1000));
    step.mask.push_back(random() % 10 != 0);
    if (sequences > 0) step.sequence.push_back(static_cast<std::int64_t>(random() % static_cast<unsigned>(sequences)));
    if (random() % 3 == 0) t.flags &= ~kHasTarget;
    if (random() % 30 == 0) t.kl_reverse = -0.0;
    if (random() % 60 == 0) t.k2 = kNan;
    if (random() % 80 == 0) {
      t.flags |= kInvalidPolicy;
      t.invalid_column = 17;
    }
    if (random() % 160 == 0) t.flags |= kTargetOutOfRange;
    if (sequences > 0 && random() % 200 == 0) step.sequence.back() = random() % 2 == 0 ? -1 : sequences;
  }
  return step;
}

// As Engine::accumulate does.
void add_on_host(const Step& step, std::int64_t first, std::int64_t last, StepSums& sums) {
  const RowInputs inputs = step.inputs();
  for (std::int64_t row = first; row < last; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const std::int64_t sequence = step.sequence.empty() ? -1 : step.sequence[i];
    const RowStatus status =
        row_status(step.tokens[i], inputs.counts(row), !step.sequence.empty(), sequence, sums.sequences());
    if (status == RowStatus::masked) {
      sums.add_masked();
    } else if (status == RowStatus::counted) {
      sums.add(step.tokens[i], sequence);
    } else {
      sums.add_invalid(invalid_row(step.tokens[i], status, row, step.targets[i], sequence));
    }
  }
}

class Sums {
 public:
  Sums(std::int64_t sequences, int quantities)
      : layout_{sequences, quantities}, sums_(layout_.sum_words()), maxima_(layout_.max_words()), invalid_(1) {
    cuda::clear(there(), stream_.ref());
  }
  cuda::DeviceSums there() const { return {layout_, sums_.span(), maxima_.span(), invalid_.data()}; }

  void add(const Step& step, std::int64_t first, std::int64_t last) {
    const DeviceArray<TokenStats> tokens(step.tokens);
    const DeviceArray<std::int64_t> targets(step.targets), sequence(step.sequence);
    const DeviceArray<std::uint8_t> mask(step.mask);
    cuda::accumulate(tokens.span(), {.targets = targets.span(), .mask = mask.span(), .sequence = sequence.span()}, first,
                     last, there(), stream_.ref());
    cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
  void carry() { cuda::carry(there(), stream_.ref()); }

  std::vector<std::int64_t> sums() const { return sums_.host(); }
  std::vector<std::uint64_t> maxima() const { return maxima_.host(); }
  InvalidRow first_invalid() const { return invalid_.host()[0].first; }

 private:
  SumLayout layout_;
  TestStream stream_;
  DeviceArray<std::int64_t> sums_;
  DeviceArray<std::uint64_t> maxima_;
  DeviceArray<cuda::InvalidRecord> invalid_;
};

void expect_equal(Sums& got, StepSums& want) {
  got.carry();
  const std::vector<std::int64_t> sums = got.sums(), expected = want.sum_words();
  ASSERT_EQ(sums.size(), expected.size());
  for (std::size_t i = 0; i < sums.size(); ++i) ASSERT_EQ(sums[i], expected[i]) << "word " << i;
  EXPECT_EQ(got.maxima(), want.max_words());
  const InvalidRow record = got.first_invalid(), first = want.first_invalid();
  EXPECT_EQ(record.row, first.row);
  EXPECT_EQ(record.column, first.column);
  EXPECT_EQ(record.flags, first.flags);
  EXPECT_EQ(record.target, first.target);
}

TEST(CudaAccumulate, TheSameWordsAsOnTheHost) {
  for (const bool extended : {false, true}) {
    for (const std::int64_t sequences : {0, 1, 7}) {
      const Step step = random_step(700, sequences, extended, 11);
      StepSums want(sequences, extended ? QuantitySet::all : QuantitySet::core);
      Sums got(sequences, extended ? kQuantities : kCoreQuantities);
      add_on_host(step, 3, 690, want);
      got.add(step, 3, 690);
      expect_equal(got, want);
    }
  }
}

TEST(CudaAccumulate, SeveralBlocksAndMicroBatches) {
  const Step first = random_step(5000, 3, false, 1), second = random_step(300, 3, false, 2);
  StepSums want(3, QuantitySet::core);
  add_on_host(first, 0, 5000, want);
  add_on_host(second, 0, 300, want);
  Sums once(3, kCoreQuantities), pieces(3, kCoreQuantities);
  once.add(first, 0, 5000);
  once.add(second, 0, 300);
  expect_equal(once, want);
  pieces.add(first, 0, 1);
  pieces.add(first, 1, 2500);
  pieces.carry();
  pieces.add(first, 2500, 5000);
  pieces.add(second, 0, 300);
  expect_equal(pieces, want);
}

TEST(CudaAccumulate, NothingIsAdded) {
  const Step step = random_step(10, 2, false, 1);
  StepSums want(2, QuantitySet::core);
  Sums got(2, kCoreQuantities);
  got.add(step, 5, 5);
  expect_equal(got, want);
}

// The first row is kept; one whose target or sequence alone is wrong before those that may be skipped.
TEST(CudaAccumulate, KeepsTheFirstInvalidRow) {
  Step step = random_step(600, 2, false, 1);
  for (TokenStats& t : step.tokens) {
    t.flags = kPolicyHasMass | kReferenceHasMass | kHasTarget;
    t.invalid_column = std::numeric_limits<std::int32_t>::max();
  }
  step.mask.assign(600, 1);
  step.sequence.assign(600, 0);
  step.tokens[400].flags |= kInvalidReference;
  step.tokens[310].flags |= kInvalidPolicy;
  StepSums want(2, QuantitySet::core);
  Sums got(2, kCoreQuantities);
  add_on_host(step, 0, 600, want);
  got.add(step, 0, 600);
  EXPECT_EQ(got.first_invalid().row, 310);
  expect_equal(got, want);
  step.tokens[550].flags |= kTargetOutOfRange;
  step.sequence[560] = 2;
  step.tokens[5].flags |= kInvalidPolicy;
  for (int again = 0; again < 2; ++again) {
    add_on_host(step, 0, 600, want);
    got.add(step, 0, 600);
    EXPECT_EQ(got.first_invalid().row, 550);
    expect_equal(got, want);
    step.tokens[10].flags |= kTargetOutOfRange;
  }
}

TEST(CudaAccumulate, RefusesAHostStream) {
  EXPECT_THROW(cuda::clear({}, host_stream), InvalidArgument);
  EXPECT_THROW(cuda::accumulate({}, {}, 0, 1, {}, host_stream), InvalidArgument);
  EXPECT_THROW(cuda::carry({}, host_stream), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::test
