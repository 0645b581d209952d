#include "klmesh/eval_file.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <vector>

#include "io/opened_image.hpp"
#include "io/python.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::ElementsAre;

struct Example {
  std::vector<float> policy{1, 2, 3, 4, 5, 6}, reference{1, 2, 3, -4, -5, -6, 7.5F, 8};
  std::vector<std::int64_t> targets{2, 0}, sequence{0, 1};
  std::vector<std::uint8_t> mask{1, 0};

  EvalFile content() const {
    return {2, 3, 3, 4, policy, reference, targets, mask, sequence, "seed = 1\n"};
  }
};

bool has(const Handle& file, const char* name) { return H5Lexists(file.get(), name, H5P_DEFAULT) > 0; }

TEST(EvalFile, ReadsBack) {
  const Handle file = open_image(eval_file_image(Example().content()));
  EXPECT_THAT(extent(open_dataset(file, "policy_logits")), ElementsAre(2, 3));
  EXPECT_THAT(extent(open_dataset(file, "reference_logits")), ElementsAre(2, 4));
  EXPECT_TRUE(has_type(open_dataset(file, "policy_logits"), H5T_IEEE_F32LE));
  EXPECT_THAT(read_doubles(file, "policy_logits"), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(read_doubles(file, "reference_logits"), ElementsAre(1, 2, 3, -4, -5, -6, 7.5, 8));
  EXPECT_THAT(read_doubles(file, "targets"), ElementsAre(2, 0));
  EXPECT_THAT(read_doubles(file, "mask"), ElementsAre(1, 0));
  EXPECT_THAT(read_doubles(file, "sequence"), ElementsAre(0, 1));
  EXPECT_EQ(read_integer_attribute(file.get(), "vocab_size"), 3);
  EXPECT_EQ(read_string_attribute(file.get(), "config_toml"), "seed = 1\n");
}

TEST(EvalFile, WhatIsEmptyIsLeftOut) {
  const Example example;
  EvalFile content = example.content();
  content.targets = content.sequence = {};
  content.mask = {};
  const Handle file = open_image(eval_file_image(content));
  EXPECT_FALSE(has(file, "targets") || has(file, "mask") || has(file, "sequence"));
  EXPECT_TRUE(has(file, "policy_logits"));
}

TEST(EvalFile, RefusesShapesThatDoNotFit) {
  const Example example;
  const std::vector<std::int64_t> three(3);
  const std::vector<std::uint8_t> mask(1);
  const auto refused = [&](const std::function<void(EvalFile&)>& spoil) {
    EvalFile content = example.content();
    spoil(content);
    EXPECT_THROW(eval_file_image(content), InvalidArgument);
  };
  refused([](EvalFile& content) { content.vocab_size = 0; });
  refused([](EvalFile& content) { content.vocab_size = 4; });
  refused([](EvalFile& content) { content.tokens = 1; });
  refused([](EvalFile& content) { content.policy_columns = 4; });
  refused([](EvalFile& content) { content.reference_columns = 3; });
  refused([&](EvalFile& content) { content.targets = three; });
  refused([&](EvalFile& content) { content.sequence = three; });
  refused([&](EvalFile& content) { content.mask = mask; });
}

TEST(EvalFile, PythonReadsTheCommittedFile) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  const ScratchDirectory directory;
  const Example example;
  commit_eval_file(directory / "logits.h5", example.content());
  EXPECT_EQ(run_python(R"(
import sys, h5py
with h5py.File(sys.argv[1], "r") as f:
    print({name: (f[name].dtype.name, f[name].shape) for name in sorted(f)})
    print(f.attrs["vocab_size"], f["policy_logits"][1].tolist(), f["reference_logits"][1].tolist())
)",
                       (directory / "logits.h5").string()),
            "{'mask': ('uint8', (2,)), 'policy_logits': ('float32', (2, 3)), 'reference_logits': ('float32', "
            "(2, 4)), "
            "'sequence': ('int64', (2,)), 'targets': ('int64', (2,))}\n"
            "3 [4.0, 5.0, 6.0] [-5.0, -6.0, 7.5, 8.0]\n");
}

}  // namespace
}  // namespace klmesh::io
