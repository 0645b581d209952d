#include "loop/resume_config.hpp"

#include <fmt/format.h>

#include <map>

namespace klmesh::loop {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool decides(std::string_view key) {
  return key != "data.paths" && key != "loop.report_every" && !key.starts_with("checkpoint.");
}

std::map<std::string, std::string> settings_of(std::string_view toml) {
  std::map<std::string, std::string> settings;
  std::string section;
  while (!toml.empty()) {
    const auto end = toml.find('\n');
    const std::string_view line = trimmed(toml.substr(0, end));
    toml = end == std::string_view::npos ? std::string_view{} : toml.substr(end + 1);
    if (line.starts_with('[') && line.ends_with(']')) section = fmt::format("{}.", line.substr(1, line.size() - 2));
    const auto equals = line.find('=');
    if (line.empty() || line.front() == '[' || line.front() == '#' || equals == std::string_view::npos) continue;
    const std::string key = fmt::format("{}{}", section, trimmed(line.substr(0, equals)));
    if (decides(key)) settings[key] = trimmed(line.substr(equals + 1));
  }
  return settings;
}

}  // namespace

std::string deciding_settings(std::string_view toml) {
  std::string lines;
  for (const auto& [key, value] : settings_of(toml)) lines += fmt::format("{} = {}\n", key, value);
  return lines;
}

std::string settings_difference(std::string_view stored_toml, std::string_view toml) {
  auto stored = settings_of(stored_toml), mine = settings_of(toml);
  for (const auto& [key, value] : stored) mine.emplace(key, "not set");
  for (const auto& [key, value] : mine) {
    const std::string& before = stored.emplace(key, "not set").first->second;
    if (before != value) return fmt::format("{} is {} in the checkpoint and {} in this run", key, before, value);
  }
  return "";
}

}  // namespace klmesh::loop
