#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/partition.hpp"
#include "loop/text_directory.hpp"
#include "loop/token_trace.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr ModelConfig kModel{3, 4, 6};
constexpr std::int64_t kVocab = 200, kSequences = 10, kLength = 5;

/// Sequences of which some end early, and none on every batch part, is what phase 3 has.
Policy make_policy(TensorOps& ops) {
  Policy policy(ops, kModel, kVocab, 11, {});
  if (policy.shard().contains(Vocabulary::end)) {
    policy.parameters()[PolicyTensor::head_bias].data[Vocabulary::end - policy.shard().begin] = 4.0f;
  }
  return policy;
}

SampleRequest request_on(Mesh& mesh, std::uint32_t step) {
  const RowRange mine = part_of_rows(kSequences, 4, mesh.batch_part(), mesh.shape().batch);
  return {mine.begin, mine.size(), kLength, 3, step};
}

/// Dumps steps 1 and 2 of an arm and gives the batches of this rank.
std::vector<SampleBatch> dump(TensorOps& ops, const std::string& path) {
  Mesh& mesh = ops.mesh();
  const Policy policy = make_policy(ops);
  TokenDump dump(path, mesh);
  std::vector<SampleBatch> batches;
  for (const std::uint32_t step : {1u, 2u}) {
    batches.push_back(sample_sequences(policy, request_on(mesh, step)));
    dump.write("none", batches.back(), request_on(mesh, step), kSequences);
  }
  return batches;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(TokenTrace, FilesAreTheSameOnEveryMeshAndReplayGivesTheBatches) {
  const TextDirectory directory;  // each rank its own: only rank 0's is written under a mesh
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  dump(self_ops, directory.path("alone"));
  const std::string expected = read(directory.path("alone"));
  EXPECT_THAT(expected, HasSubstr(R"({"arm":"none","step":1,"tokens":[[)"));
  const TokenReplay replay(directory.path("alone"), kVocab);
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    const auto batches = dump(ops, directory.path("mesh"));
    if (mesh.world().rank() == 0) {
      EXPECT_EQ(read(directory.path("mesh")), expected) << to_string(shape);
    }
    for (const std::uint32_t step : {1u, 2u}) {
      SampleBatch batch(ops);
      replay.serve("none", request_on(mesh, step), kSequences, kModel.context, batch);
      const SampleBatch& sampled = batches[step - 1];
      EXPECT_TRUE(std::ranges::equal(batch.tokens.span(), sampled.tokens.span()));
      EXPECT_TRUE(std::ranges::equal(batch.mask.span(), sampled.mask.span()));
      // What a context holds after the end is <eos> in both, so even masked rows agree.
      EXPECT_TRUE(std::ranges::equal(batch.contexts.span(), sampled.contexts.span()));
      EXPECT_EQ(batch.sequences, sampled.sequences);
      EXPECT_EQ(batch.length, sampled.length);
      EXPECT_EQ(batch.context, sampled.context);
    }
  }
}

TEST(TokenTrace, ADumpThatCannotBeWrittenThrowsOnEveryRank) {
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    EXPECT_THAT(message_of<IoError>([&] { TokenDump("/nonexistent/tokens.jsonl", mesh); }),
                HasSubstr("/nonexistent/tokens.jsonl"));
    EXPECT_THAT(message_of<IoError>([&] { dump(ops, "/dev/full"); }), HasSubstr("/dev/full"));
  }
}

TEST(TokenTrace, ADumpGoesOnAfterTheStepsThatAreKept) {
  Mesh mesh = make_mesh(mesh_shapes().back());
  HostOps ops(mesh);
  const TextDirectory directory;
  const std::string path = directory.path("tokens");
  const bool looks = mesh.world().rank() == 0;
  dump(ops, path);
  const std::string whole = read(path);
  const std::string first = whole.substr(0, whole.find('\n') + 1);
  const Policy policy = make_policy(ops);
  const TokenDump::Keep one_step = [](std::string_view arm, std::int64_t step) { return arm == "none" && step <= 1; };
  // With what came later, with half of it, and with nothing of it.
  for (const std::string& left : {whole, whole.substr(0, whole.size() - 5), first}) {
    if (looks) directory.write("tokens", left);
    TokenDump again(path, mesh, one_step);
    if (looks) {
      EXPECT_EQ(read(path), first);
    }
    again.write("none", sample_sequences(policy, request_on(mesh, 2)), request_on(mesh, 2), kSequences);
    if (looks) {
      EXPECT_EQ(read(path), whole);
    }
  }
  TokenDump(directory.path("new"), mesh, one_step);  // no file yet
  TokenDump(path, mesh);
  if (looks) {
    EXPECT_EQ(read(path), "");
    EXPECT_EQ(read(directory.path("new")), "");
    directory.write("tokens", first + "a letter\n");
  }
  EXPECT_THAT(message_of<InvalidData>([&] { TokenDump(path, mesh, one_step); }), HasSubstr("tokens, line 2: "));
  if (looks) {
    EXPECT_EQ(read(path), first + "a letter\n");
  }
}

class Replay : public ::testing::Test {
 protected:
  TokenReplay open(const std::string& text) const {
    directory_.write("trace", text);
    return {directory_.path("trace"), 10};
  }
  std::string refusal(const std::string& text) const {
    return message_of<InvalidData>([&] { open(text); });
  }
  TextDirectory directory_;
};

TEST_F(Replay, BadLinesAreNamed) {
  const std::string good = R"({"arm": "none", "step": 1, "tokens": [[4, 2]]})" "\n";
  EXPECT_NO_THROW(open(good));
  const auto on_line_two = [](const std::string& what) { return AllOf(HasSubstr("trace, line 2: "), HasSubstr(what)); };
  EXPECT_THAT(refusal(good + "{"), on_line_two("parse error"));
  EXPECT_THAT(refusal(good + "\n"), on_line_two("parse error"));
  EXPECT_THAT(refusal(good + "[]"), on_line_two("array"));
  EXPECT_THAT(refusal(good + R"({"arm": "none", "step": 2})"), on_line_two("tokens"));
  EXPECT_THAT(refusal(good + R"({"arm": 1, "step": 2, "tokens": []})"), on_line_two("string"));
  EXPECT_THAT(refusal(good + R"({"arm": "none", "step": 2.5, "tokens": []})"), on_line_two("step 2.5 is no integer"));
  EXPECT_THAT(refusal(good + R"({"arm": "none", "step": 1, "tokens": []})"), on_line_two("twice"));
  const auto tokens = [&](const std::string& row) {
    return refusal(good + R"({"arm": "none", "step": 2, "tokens": )" + row + "}");
  };
  EXPECT_THAT(tokens("[3]"), on_line_two("no array of sequences"));
  EXPECT_THAT(tokens("3"), on_line_two("no array of sequences"));
  EXPECT_THAT(tokens("[[10]]"), on_line_two("token 10 is outside the vocabulary of 10"));
  EXPECT_THAT(tokens("[[-1]]"), on_line_two("token -1"));
  EXPECT_THAT(tokens("[[4294967299]]"), on_line_two("token 4294967299"));  // 3, if it wrapped
  EXPECT_THAT(tokens("[[18446744073709551615]]"), on_line_two("token 18446744073709551615"));
  EXPECT_THAT(tokens("[[3.0]]"), on_line_two("token 3.0 is no integer"));
  EXPECT_THAT(tokens("[[true]]"), on_line_two("token true is no integer"));
  EXPECT_THAT(tokens("[[2, 3]]"), on_line_two("token 3 follows <eos>"));
}

TEST_F(Replay, AMissingFileIsNamed) {
  EXPECT_THAT(message_of<InputNotFound>([] { TokenReplay("/nonexistent/trace", 10); }),
              HasSubstr("/nonexistent/trace"));
  EXPECT_THROW(TokenReplay(directory_.path(), 10), Error);  // a directory
}

TEST_F(Replay, StepsOfAnotherShapeAreNamedWhateverPartIsAsked) {
  const TokenReplay replay = open(
      R"({"arm": "none", "step": 1, "tokens": [[4, 5], [6, 7], [8]]})" "\n"
      R"({"arm": "none", "step": 2, "tokens": [[4, 5], [6, 7], [8, 9]]})" "\n");
  Mesh self = Mesh::self();
  HostOps ops(self);
  const auto ask = [&](const char* arm, std::int64_t first, std::int64_t count, std::int64_t length,
                       std::uint32_t step, std::int64_t total) {
    SampleBatch batch(ops);
    replay.serve(arm, {first, count, length, 0, step}, total, 2, batch);
    return batch.tokens.download(CopyReason::token_trace);
  };
  const auto refused = [&](auto... arguments) { return message_of<InvalidData>([&] { ask(arguments...); }); };
  EXPECT_THAT(refused("none", 0, 1, 2, 3, 3), AllOf(HasSubstr("trace: arm none, step 3"), HasSubstr("not in")));
  EXPECT_THAT(refused("k2_loss", 0, 1, 2, 1, 3), HasSubstr("arm k2_loss, step 1"));
  EXPECT_THAT(refused("none", 0, 1, 2, 2, 4), HasSubstr("step 2 has 3 sequences, the run 4"));
  EXPECT_THAT(refused("none", 0, 1, 3, 2, 3), HasSubstr("step 2, sequence 0 has 2 tokens, the run 3"));
  EXPECT_THAT(refused("none", 0, 1, 2, 1, 3), HasSubstr("step 1, sequence 2 has 1 tokens, the run 2"));
  EXPECT_THAT(ask("none", 1, 2, 2, 2, 3), ::testing::ElementsAre(6, 7, 8, 9));
  EXPECT_THAT(ask("none", 3, 0, 2, 2, 3), ::testing::ElementsAre());
}

}  // namespace
}  // namespace klmesh::loop
