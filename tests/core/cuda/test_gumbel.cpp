// The device draws the tokens that the noise function says, whatever the shards: scores and columns bit for bit.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/cuda/device_batch.hpp"
#include "core/cuda/gumbel.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kFirstToken = 1000007, kTokenStep = 33;

// The definition, on the host: every column's noise.
std::vector<GumbelMax> brute_force(const HostRows& logits, const VocabShard& shard, const RandomStream& random) {
  std::vector<GumbelMax> best(static_cast<std::size_t>(logits.rows), GumbelMax{-HUGE_VAL, GumbelMax::none});
  for (std::int64_t row = 0; row < logits.rows; ++row) {
    const std::vector<double> x = logits.numbers(row);
    const auto token = static_cast<std::uint64_t>(kFirstToken + row * kTokenStep);
    for (std::int64_t c = shard.begin; c < shard.end; ++c) {
      const double score = logits.scale * x[static_cast<std::size_t>(c)] + gumbel_noise(random, token, c);
      GumbelMax& b = best[static_cast<std::size_t>(row)];
      if (score > b.score) b = {score, c};
    }
  }
  return best;
}

std::vector<GumbelMax> on_device(const DeviceRows& logits, const VocabShard& shard, const RandomStream& random) {
  const TestStream stream;
  const DeviceArray<GumbelMax> out(static_cast<std::size_t>(logits.view().rows));
  cuda::gumbel_argmax(from_column(logits.view(), shard.begin), shard, random, kFirstToken, kTokenStep, out.span(),
                      stream.ref());
  return out.host();
}

void expect_equal(const std::vector<GumbelMax>& got, const std::vector<GumbelMax>& want, const std::string& what) {
  for (std::size_t row = 0; row < want.size(); ++row) {
    EXPECT_EQ(got[row].column, want[row].column) << what << ", row " << row;
    if (want[row].column >= 0) {
      EXPECT_EQ(got[row].score, want[row].score) << what << ", row " << row;
    }
  }
}

// Rows of several widths, a tenth of the columns without mass; every other one far off, where fp32 has few digits.
std::vector<std::vector<float>> some_rows(std::size_t columns) {
  std::vector<std::vector<float>> rows;
  for (const double width : {0.0, 1.0, 30.0}) {
    for (const double offset : {0.0, -5e3}) {
      rows.push_back(RowFactory<float>(columns, static_cast<unsigned>(rows.size())).normal(width));
      for (std::size_t v = 0; v < columns; ++v) {
        rows.back()[v] = v % 10 == 3 ? -kInfinity : static_cast<float>(rows.back()[v] + offset);
      }
    }
  }
  return rows;
}

TEST(CudaGumbel, DrawsTheHostsTokens) {
  for (const std::size_t vocab : {1u, 2u, 15u, 17u, 513u, 2001u}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      HostRows logits = host_rows(some_rows(vocab), dtype, 3);
      logits.scale = vocab % 2 == 0 ? 1.0 : 1 / 0.7;
      const DeviceRows there(logits, 1);
      for (const int parts : {1, 3}) {
        for (int part = 0; part < parts; ++part) {
          const VocabShard shard = vocab_shard(static_cast<std::int64_t>(vocab), part, parts);
          const RandomStream random{8, RandomPurpose::sampling, 3};
          expect_equal(on_device(there, shard, random), brute_force(logits, shard, random),
                       std::to_string(vocab) + ", part " + std::to_string(part) + "/" + std::to_string(parts));
        }
      }
    }
  }
}

TEST(CudaGumbel, TheMergedPartsDrawTheWholeRowsToken) {
  const HostRows logits = host_rows(some_rows(5003), DType::f32);
  const DeviceRows there(logits);
  const RandomStream random{1, RandomPurpose::sampling, 7};
  const std::vector<GumbelMax> want = brute_force(logits, vocab_shard(5003, 0, 1), random);
  for (const int parts : {2, 5, 64}) {
    std::vector<GumbelMax> gathered;
    for (int part = 0; part < parts; ++part) {
      const std::vector<GumbelMax> of_part = on_device(there, vocab_shard(5003, part, parts), random);
      gathered.insert(gathered.end(), of_part.begin(), of_part.end());
    }
    const DeviceArray<GumbelMax> gathered_there(gathered);
    const TestStream stream;
    cuda::merge_candidates(gathered_there.span(), gathered_there.span().first(want.size()), stream.ref());
    expect_equal(gathered_there.host(), want, std::to_string(parts) + " parts");
  }
}

TEST(CudaGumbel, InvalidLogitsAreNeverSkippedAndEmptyRowsHaveNone) {
  for (const float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<std::vector<float>> rows(5, std::vector<float>(1000, 0.0f));
    rows[0][0] = rows[1][15] = rows[2][501] = rows[3][999] = bad;
    rows[4].assign(1000, -kInfinity);
    const std::vector<GumbelMax> got =
        on_device(DeviceRows(host_rows(rows, DType::f32)), vocab_shard(1000, 0, 1), {1, RandomPurpose::sampling, 0});
    for (std::size_t row = 0; row < 4; ++row) EXPECT_EQ(got[row].column, GumbelMax::invalid);
    EXPECT_EQ(got[4].column, GumbelMax::none);
  }
}

// The merge is a function of its two sides alone, in either order.
TEST(CudaGumbel, MergePrefersInvalidThenScoreThenTheLowerColumn) {
  const GumbelMax none{-HUGE_VAL, GumbelMax::none}, invalid{0.0, GumbelMax::invalid}, low{1.0, 3}, high{1.0, 9}, less{0.5, 1};
  for (const auto& [x, y, winner] : {std::tuple{none, low, 3L}, {invalid, low, long{GumbelMax::invalid}},
                                     {invalid, none, long{GumbelMax::invalid}}, {low, high, 3L}, {less, high, 9L}}) {
    EXPECT_EQ(merge(x, y).column, winner);
    EXPECT_EQ(merge(y, x).column, winner);
  }
}

TEST(CudaGumbel, RefusesAHostStream) {
  EXPECT_THROW(cuda::gumbel_argmax({}, {}, {}, 0, 1, {}, host_stream), InvalidArgument);
  EXPECT_THROW(cuda::merge_candidates({}, {}, host_stream), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::test
