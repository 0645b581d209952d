// Is the configuration that a run is resumed with the one it began with?
#pragma once

#include <string>
#include <string_view>

namespace klmesh::loop {

/// The settings of a printed configuration that decide a run's numbers, "section.key = value" a line, sorted. Left
/// out: data.paths (the texts themselves are compared), [checkpoint] and loop.report_every.
/// @param toml as the program prints it: one assignment a line, sections in brackets
std::string deciding_settings(std::string_view toml);

/// "mle.steps is 4 in the checkpoint and 5 in this run", of the first such setting; empty if there is none.
std::string settings_difference(std::string_view stored_toml, std::string_view toml);

}  // namespace klmesh::loop
