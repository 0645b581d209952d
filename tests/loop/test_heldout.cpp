#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <vector>

#include "loop/heldout.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/mle_phase.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

class Heldout : public ::testing::Test {
 protected:
  HeldoutReport evaluate(Mesh& mesh, const Examples& examples, std::int64_t training_steps = 0) const {
    HostOps ops(mesh);
    Engine engine = ops.make_engine(corpus_.vocabulary.size());
    Policy policy(ops, config_.model, corpus_.vocabulary.size(), config_.seed, {});
    const Examples train = make_examples(corpus_.train, config_.model.context);
    MlePhase phase(engine, policy, train, config_);
    for (std::int64_t i = 0; i < training_steps; ++i) phase.step();
    return evaluate_heldout(engine, policy, examples);
  }
  HeldoutReport evaluate_alone(const Examples& examples, std::int64_t training_steps = 0) const {
    Mesh self = Mesh::self();
    return evaluate(self, examples, training_steps);
  }

  TextDirectory directory_;
  TrainConfig config_ = small_config(directory_);
  Corpus corpus_ = load_corpus(config_.data, config_.seed);
  Examples examples_ = make_examples(corpus_.heldout, config_.model.context);
  Examples train_ = make_examples(corpus_.train, config_.model.context);  // contexts that come often
};

TEST_F(Heldout, LossIsCrossEntropyIsEntropyPlusForwardKl) {
  for (const std::int64_t steps : {0, 30}) {
    for (const Examples* examples : {&examples_, &train_}) {
      const HeldoutReport r = evaluate_alone(*examples, steps);
      EXPECT_EQ(r.tokens, examples->size());
      EXPECT_NEAR(r.cross_entropy / r.loss, 1.0, 1e-12);
      EXPECT_NEAR((r.entropy_data + r.kl_forward) / r.loss, 1.0, 1e-12);
      EXPECT_DOUBLE_EQ(r.perplexity, std::exp(r.loss));
      EXPECT_GT(r.entropy_data, 0.1);  // or the identity would be trivial
    }
  }
}

TEST_F(Heldout, EntropyIsThatOfTheCounts) {
  std::map<std::vector<std::int32_t>, std::map<std::int64_t, double>> counts;
  for (std::int64_t i = 0; i < train_.size(); ++i) {
    const auto context = train_.context_of(i);
    counts[{context.begin(), context.end()}][train_.targets[static_cast<std::size_t>(i)]] += 1;
  }
  double sum = 0;
  for (const auto& [context, words] : counts) {
    double total = 0;
    for (const auto& [word, count] : words) total += count;
    for (const auto& [word, count] : words) sum -= count * std::log(count / total);
  }
  EXPECT_NEAR(evaluate_alone(train_).entropy_data, sum / static_cast<double>(train_.size()), 1e-12);
}

TEST_F(Heldout, SameBitsOnEveryMesh) {
  for (const Examples* examples : {&examples_, &train_}) {  // fewer and more rows than one rank takes at once
    const HeldoutReport expected = evaluate_alone(*examples, 2);
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      const HeldoutReport r = evaluate(mesh, *examples, 2);
      const auto bits = [](const HeldoutReport& h) {
        return std::bit_cast<std::array<std::uint64_t, 5>>(
            std::array{h.loss, h.perplexity, h.cross_entropy, h.entropy_data, h.kl_forward});
      };
      EXPECT_EQ(bits(r), bits(expected)) << to_string(shape);
      EXPECT_EQ(r.tokens, expected.tokens);
    }
  }
}

}  // namespace
}  // namespace klmesh::loop
