#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/gumbel_max.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/sampler.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {
namespace {

constexpr ModelConfig kModel{3, 4, 6};
constexpr std::int64_t kVocab = 1500;
constexpr std::int64_t kSequences = 24;
constexpr std::int64_t kLength = 7;

/// A policy whose logits spread enough for sequences to end early now and then.
Policy make_policy(TensorOps& ops) {
  Policy policy(ops, kModel, kVocab, 11, {});
  auto head = policy.parameters()[PolicyTensor::head];
  for (std::int64_t i = 0; i < head.rows * head.columns; ++i) head.data[i] *= 20.0f;
  if (policy.shard().contains(Vocabulary::end)) {
    policy.parameters()[PolicyTensor::head_bias].data[Vocabulary::end - policy.shard().begin] = 5.0f;
  }
  return policy;
}

SampleRequest part_of(Mesh& mesh, std::uint32_t step) {
  const std::int64_t parts = mesh.shape().batch;
  const std::int64_t begin = kSequences * mesh.batch_part() / parts;
  return {begin, kSequences * (mesh.batch_part() + 1) / parts - begin, kLength, 3, step};
}

TEST(Sampler, TokensAreTheSameOnEveryMesh) {
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  const Policy whole = make_policy(self_ops);
  const SampleBatch expected = sample_sequences(whole, part_of(self, 2));
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    const Policy policy = make_policy(ops);
    const SampleRequest request = part_of(mesh, 2);
    const SampleBatch batch = sample_sequences(policy, request);
    const auto same = [&](const auto& part, const auto& all, std::int64_t width) {
      return std::equal(part.begin(), part.end(), all.begin() + request.first_sequence * width);
    };
    EXPECT_TRUE(same(batch.tokens.span(), expected.tokens.span(), kLength)) << to_string(shape);
    EXPECT_TRUE(same(batch.mask.span(), expected.mask.span(), kLength)) << to_string(shape);
    EXPECT_TRUE(same(batch.contexts.span(), expected.contexts.span(), kLength * kModel.context)) << to_string(shape);
  }
}

TEST(Sampler, SequencesEndAtTheEndToken) {
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  const Policy policy = make_policy(self_ops);
  const SampleBatch batch = sample_sequences(policy, part_of(self, 1));
  int ended = 0;
  for (std::int64_t s = 0; s < kSequences; ++s) {
    bool open = true;
    for (std::int64_t t = 0; t < kLength; ++t) {
      const auto i = static_cast<std::size_t>(s * kLength + t);
      EXPECT_EQ(batch.mask.span()[i] != 0, open);
      EXPECT_TRUE(open || batch.tokens.span()[i] == Vocabulary::end);
      if (batch.tokens.span()[i] == Vocabulary::end) open = false;
      const std::int32_t before = t == 0 ? Vocabulary::begin : batch.tokens.span()[i - 1];
      EXPECT_EQ(batch.contexts.span()[i * 3 + 2], before);
    }
    ended += open ? 0 : 1;
  }
  EXPECT_GT(ended, 0);
  EXPECT_LT(ended, kSequences);
  const SampleBatch other = sample_sequences(policy, part_of(self, 2));
  EXPECT_FALSE(std::ranges::equal(batch.tokens.span(), other.tokens.span()));
}

TEST(Sampler, InvalidLogitsOnOneShardThrowOnAllRanks) {
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    Policy policy = make_policy(ops);
    if (mesh.world().rank() == 0) {
      policy.parameters()[PolicyTensor::head_bias].data[5] = std::numeric_limits<float>::quiet_NaN();
    }
    EXPECT_THROW(sample_sequences(policy, part_of(mesh, 1)), InvalidData) << to_string(shape);
  }
}

TEST(MergeCandidates, LargestScoreThenLowestColumnThenInvalid) {
  Mesh mesh = make_mesh({1, world_size()});
  const int rank = mesh.vocab().rank();
  std::vector<GumbelMax> rows{{static_cast<double>(rank), 100 + rank},
                              {1.5, 100 + rank},
                              {-7.0, rank == 0 ? GumbelMax::none : rank},
                              {5.0, rank == 0 ? GumbelMax::invalid : rank}};
  merge_candidates(rows, mesh.vocab());
  EXPECT_EQ(rows[0].column, 100 + world_size() - 1);
  EXPECT_EQ(rows[1].column, 100);
  EXPECT_EQ(rows[2].column, world_size() == 1 ? GumbelMax::none : 1);
  EXPECT_EQ(rows[3].column, GumbelMax::invalid);
  std::vector<GumbelMax> nothing;
  EXPECT_NO_THROW(merge_candidates(nothing, mesh.vocab()));
}

}  // namespace
}  // namespace klmesh::loop
