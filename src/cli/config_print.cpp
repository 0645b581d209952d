// The two things written from the table of keys: a configuration, and its help.
#include <fmt/format.h>

#include "cli/config.hpp"
#include "cli/config_fields.hpp"

namespace klmesh::cli {

std::string print_config(const loop::TrainConfig& config, const PrintOptions& options) {
  std::string text;
  std::string_view section;
  for (const Field& field : config_fields()) {
    if (field.is_path && !options.paths) continue;
    if (section_of(field.key) != section) {
      section = section_of(field.key);
      text += fmt::format("\n[{}]\n", section);
    }
    const std::string_view name = section.empty() ? field.key : field.key.substr(section.size() + 1);
    const std::string assignment = fmt::format("{} = {}", name, format_value(field, config));
    if (options.comments) {
      text += fmt::format("{:<36}  # {} ({})\n", assignment, field.description, describe_limits(field));
    } else {
      text += assignment + '\n';
    }
  }
  return text;
}

std::string config_help() {
  std::string text =
      "Configuration: default < CONFIG < environment KLMESH_<SECTION>__<KEY> < --set KEY=VALUE. Keys:\n";
  const loop::TrainConfig defaults;
  for (const Field& field : config_fields()) {
    text += fmt::format("  {:<26} {}; {}; default {}\n", field.key, field.description, describe_limits(field),
                        format_value(field, defaults));
  }
  return text;
}

}  // namespace klmesh::cli
