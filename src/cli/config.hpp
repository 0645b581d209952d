// Configuration of `klmesh train`: default < TOML file < KLMESH_<SECTION>__<KEY> environment < --set a.b=c.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/usage_error.hpp"
#include "loop/train_config.hpp"

namespace klmesh::cli {

/// Defaults, overridden by a TOML document. A single string is taken for a list of one.
/// @param origin what messages call the document: a file name
/// @throws InvalidData naming origin, line and key: syntax, unknown key, wrong type, value out of range
loop::TrainConfig parse_config(std::string_view document, std::string_view origin);

/// All four layers.
///
/// @param environment "NAME=value" entries; names of the form KLMESH_<SECTION>__<KEY> count, others are
/// ignored.
///                    A top-level key has no section, so the environment cannot set it.
/// @param sets        "section.key=value" entries; the last one of a key wins. Here and in the environment a
/// value
///                    is read as TOML; what is no TOML value is a string
/// @throws InputNotFound no such file; IoError reading it failed; InvalidData as parse_config();
///         UsageError a bad environment or --set entry, or a contradiction that these brought about
loop::TrainConfig load_config(const std::filesystem::path& file, std::span<const std::string> environment,
                              std::span<const std::string> sets);

/// The layers above a document: `base`, overridden by the environment and by --set entries, as load_config().
loop::TrainConfig override_config(loop::TrainConfig base, std::span<const std::string> environment,
                                  std::span<const std::string> sets);

/// This process's environment, "NAME=value" each.
std::vector<std::string> process_environment();

struct PrintOptions {
  bool comments = true;  ///< descriptions and limits behind the values
  bool paths = true;     ///< data.paths; without them, the text is the same for the same job elsewhere
};

/// The configuration as TOML: parse_config() reads the same values back.
std::string print_config(const loop::TrainConfig& config, const PrintOptions& options = {});

/// All keys with defaults, limits and descriptions, for --help.
std::string config_help();

}  // namespace klmesh::cli
