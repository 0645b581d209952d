#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/samples.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

TEST(SampleTexts, AreTheSameOnEveryMesh) {
  const TextDirectory directory;
  const TrainConfig config = small_config(directory);
  const Corpus corpus = load_corpus(config.data, config.seed);
  const auto texts_on = [&](Mesh& mesh) {
    HostOps ops(mesh);
    const Policy policy(ops, config.model, corpus.vocabulary.size(), config.seed, {});
    return sample_texts(policy, corpus.vocabulary, config);
  };
  Mesh self = Mesh::self();
  const auto expected = texts_on(self);
  EXPECT_THAT(expected, ::testing::Each(::testing::Not(::testing::HasSubstr("<eos>"))));
  EXPECT_EQ(expected.size(), 3u);
  EXPECT_NE(expected.at(0), expected.at(1));
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    EXPECT_EQ(texts_on(mesh), expected) << to_string(shape);
  }
}

}  // namespace
}  // namespace klmesh::loop
