#include "cli/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

namespace klmesh::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// What 100 quick steps print.
std::string shown(ProgressStyle style) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), &std::fclose);
  style.out = file.get();
  {
    Progress progress("mle", 100, style);
    for (int step = 1; step <= 100; ++step) progress.update(step, "loss 1.5");
    progress.finish();
    progress.update(100, "too late");
  }
  std::rewind(file.get());
  std::string text(1 << 16, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  return text;
}

using Seconds = std::chrono::duration<double>;

TEST(Progress, APipeGetsFewPlainLines) {
  EXPECT_EQ(shown({.interval = Seconds(3600)}), "mle 100/100 100% 0:00  loss 1.5\n");
}

TEST(Progress, AfterTheIntervalALineComes) {
  const std::string text = shown({.interval = Seconds(0)});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 100);
  EXPECT_THAT(text, AllOf(StartsWith("mle 1/100 1%"), HasSubstr("left"), Not(HasSubstr("\x1b"))));
}

TEST(Progress, ATerminalGetsOneLineThatIsRewritten) {
  const std::string text = shown({.live = true, .interval = Seconds(0)});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_THAT(text, AllOf(StartsWith("\rmle [ "), EndsWith("loss 1.5\x1b[K\n"), Not(HasSubstr("\x1b[32m"))));
}

TEST(Progress, ColorIsForWhoWantsIt) {
  EXPECT_THAT(shown({.live = true, .color = true, .interval = Seconds(0)}), HasSubstr("\x1b[32m"));
}

TEST(Progress, OnlyRankZeroSpeaks) {
  EXPECT_EQ(progress_style(1).out, nullptr);
  EXPECT_EQ(progress_style(0).out, stderr);
}

TEST(Progress, NoStepsIsNoDivisionByZero) {
  Progress progress("none", 0, {});
  EXPECT_NO_THROW(progress.update(0));
}

}  // namespace
}  // namespace klmesh::cli
