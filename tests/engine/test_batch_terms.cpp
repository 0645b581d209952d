// Ranks that call the engine with different batches: the message names the argument, its values and the ranks.
#include <gmock/gmock.h>
#include <mpi.h>

#include <functional>
#include <string>
#include <vector>

#include "klmesh/engine.hpp"
#include "klmesh/error.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh {
namespace {

constexpr std::int64_t kVocab = 640;

class BatchTerms : public ::testing::Test {
 protected:
  void SetUp() override {
    ranks_ = mesh_.shape().vocab;
    if (ranks_ < 2) GTEST_SKIP() << "takes two";
    last_ = mesh_.vocab_part() == ranks_ - 1;
    others_ = ranks_ == 2 ? "rank 0" : "ranks 0-" + std::to_string(ranks_ - 2);
  }

  // Evaluates `rows` rows of zeros of this type. @return what is thrown, on every rank
  std::string message(DType dtype, std::int64_t rows, const std::vector<std::int64_t>& targets, double scale = 1.0) {
    const std::vector<double> zeros(static_cast<std::size_t>(rows * engine_.shard().columns()));
    const LogitsView logits{zeros.data(), dtype, rows, engine_.shard().columns(), engine_.shard().columns(), {}, scale};
    std::vector<TokenStats> tokens(static_cast<std::size_t>(rows));
    try {
      engine_.evaluate(logits, logits, {.targets = targets, .mask = {}, .sequence = {}}, {}, tokens, host_stream);
    } catch (const InvalidData& error) {
      return error.what();
    }
    return "nothing";
  }
  // The gradient of two rows of zeros. @return what is thrown, on every rank
  std::string gradient_message(const RowScales& scales, bool accumulate, DType dtype = DType::f32) {
    const std::vector<float> zeros(static_cast<std::size_t>(2 * engine_.shard().columns()));
    std::vector<float> output(zeros.size());
    const LogitsView logits = logits_view(zeros.data(), 2, engine_.shard().columns());
    GradientView gradient = gradient_view(output.data(), 2, engine_.shard().columns());
    gradient.dtype = dtype;
    gradient.accumulate = accumulate;
    std::vector<TokenStats> tokens(2);
    engine_.evaluate(logits, logits, {}, tokens, host_stream);
    try {
      engine_.gradient(logits, logits, {}, tokens, scales, gradient, host_stream);
    } catch (const InvalidData& error) {
      return error.what();
    }
    return "nothing";
  }
  std::string expected(const std::string& what, const std::string& theirs, const std::string& mine) const {
    return "ranks disagree about " + what + ": " + theirs + " on " + others_ + "; " + mine + " on rank " +
           std::to_string(ranks_ - 1);
  }

  int world_size() {
    int size = 0;
    EXPECT_EQ(MPI_Comm_size(MPI_COMM_WORLD, &size), MPI_SUCCESS);
    return size;
  }

  Mesh mesh_ = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  Engine engine_{mesh_, kVocab};
  int ranks_ = 1;
  bool last_ = false;
  std::string others_;
};

TEST_F(BatchTerms, AreNamedWhereTheyDiffer) {
  EXPECT_EQ(message(DType::f32, 2, {1, 2}), "nothing");
  EXPECT_EQ(message(last_ ? DType::f64 : DType::f32, 2, {}), expected("policy dtype", "f32", "f64"));
  EXPECT_EQ(message(DType::f32, last_ ? 3 : 2, {}), expected("rows", "2", "3"));
  EXPECT_EQ(message(DType::f32, 2, {}, last_ ? 0.5 : 1.0), expected("policy scale", "1", "0.5"));
  EXPECT_THAT(message(DType::f32, 2, {1, last_ ? 3 : 2}),
              ::testing::StartsWith("ranks disagree about targets: 2 values, contents "));
  EXPECT_EQ(message(DType::f32, 2, {1, 2}), "nothing");
}

// A term that one rank leaves out would make the rows' gradients those of no objective.
TEST_F(BatchTerms, OfTheGradientAreNamedToo) {
  const std::vector<double> ones(2, 1.0);
  RowScales one, both;
  one.kl_reverse = both.kl_reverse = both.kl_forward = ones;
  EXPECT_EQ(gradient_message(both, false), "nothing");
  EXPECT_EQ(gradient_message(last_ ? one : both, false),
            expected("scales that are given", "kl_reverse, kl_forward", "kl_reverse"));
  EXPECT_EQ(gradient_message(one, last_), expected("accumulate of the gradient", "false", "true"));
  EXPECT_EQ(gradient_message(one, false, last_ ? DType::bf16 : DType::f32), expected("gradient dtype", "f32", "bf16"));
}

}  // namespace
}  // namespace klmesh
