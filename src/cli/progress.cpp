#include "cli/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace klmesh::cli {
namespace {

constexpr int kBarWidth = 24;

std::string bar(double fraction, bool color) {
  const int filled = static_cast<int>(fraction * kBarWidth);
  const std::string done(filled, '=');
  const std::string open(kBarWidth - filled, ' ');
  return color ? fmt::format("[\x1b[32m{}\x1b[0m{}]", done, open) : fmt::format("[{}{}]", done, open);
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

}  // namespace

ProgressStyle progress_style(int rank) {
  if (rank != 0) return {};
  const char* term = std::getenv("TERM");
  const bool live = isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
  ProgressStyle style;
  style.out = stderr;
  style.live = live;
  style.color = live && !is_set("NO_COLOR");
  style.interval = std::chrono::duration<double>(live ? 0.1 : 5.0);
  return style;
}

Progress::Progress(std::string label, std::int64_t total, ProgressStyle style)
    : label_(std::move(label)), total_(total), style_(style), start_(Clock::now()), last_shown_(start_) {}

Progress::~Progress() { finish(); }

void Progress::update(std::int64_t step, std::string_view text) {
  if (style_.out == nullptr || finished_) return;
  step_ = step;
  text_ = text;
  pending_ = true;
  if (Clock::now() - last_shown_ >= style_.interval) show();
}

void Progress::finish() {
  if (style_.out == nullptr || finished_) return;
  finished_ = true;
  if (pending_) show();
  if (style_.live && last_shown_ != start_) std::fputc('\n', style_.out);
  std::fflush(style_.out);
}

void Progress::show() {
  last_shown_ = Clock::now();
  pending_ = false;
  const std::string text = line(std::chrono::duration<double>(last_shown_ - start_).count());
  // Return to the first column and clear the rest: a shorter line must not leave the tail of a longer one.
  const std::string shown = style_.live ? fmt::format("\r{}\x1b[K", text) : text + '\n';
  std::fwrite(shown.data(), 1, shown.size(), style_.out);
  std::fflush(style_.out);
}

std::string Progress::line(double elapsed_seconds) const {
  const double fraction =
      total_ > 0 ? std::clamp(static_cast<double>(step_) / static_cast<double>(total_), 0.0, 1.0) : 1.0;
  std::string text = label_;
  if (style_.live) text += ' ' + bar(fraction, style_.color);
  text += fmt::format(" {}/{} {:.0f}% {}", step_, total_, 100.0 * fraction, clock_text(elapsed_seconds));
  if (step_ > 0 && step_ < total_) {
    text += fmt::format(" left {}", clock_text(elapsed_seconds * (1.0 / fraction - 1.0)));
  }
  if (!text_.empty()) text += "  " + text_;
  return text;
}

}  // namespace klmesh::cli
