#include "loop/resume_config.hpp"

#include <gtest/gtest.h>

namespace klmesh::loop {
namespace {

constexpr std::string_view kConfig =
    "seed = 1\n\n[data]\npaths = [\"/a\"]\nvocab_size = 300\n\n# a remark\n[mle]\nsteps = 4\n\n[loop]\nfirst_phase = 1\n"
    "report_every = 10\n\n[checkpoint]\nevery = 100\n";

std::string with(std::string_view before, std::string_view after) {
  std::string text(kConfig);
  text.replace(text.find(before), before.size(), after);
  return text;
}

TEST(ResumeConfig, KeepsWhatDecidesTheNumbers) {
  EXPECT_EQ(deciding_settings(kConfig), "data.vocab_size = 300\nloop.first_phase = 1\nmle.steps = 4\nseed = 1\n");
}

TEST(ResumeConfig, NamesTheFirstSettingThatDiffers) {
  EXPECT_EQ(settings_difference(kConfig, kConfig), "");
  EXPECT_EQ(settings_difference(kConfig, with("steps = 4", "steps = 5")),
            "mle.steps is 4 in the checkpoint and 5 in this run");
  EXPECT_EQ(settings_difference(kConfig, with("steps = 4\n", "")),
            "mle.steps is 4 in the checkpoint and not set in this run");
  EXPECT_EQ(settings_difference(with("steps = 4\n", ""), kConfig),
            "mle.steps is not set in the checkpoint and 4 in this run");
}

TEST(ResumeConfig, LetsTheRestDiffer) {
  for (const auto& changed : {with("\"/a\"", "\"/b\""), with("every = 100", "every = 5"),
                              with("report_every = 10", "report_every = 1"), with("# a remark", "# another")}) {
    EXPECT_EQ(settings_difference(kConfig, changed), "");
    EXPECT_EQ(deciding_settings(kConfig), deciding_settings(changed));
  }
}

}  // namespace
}  // namespace klmesh::loop
