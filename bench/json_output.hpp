// Results for programs: --json PATH, or - for standard output.
#pragma once

#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::bench {

/// Where the table for people goes: not where the JSON goes.
inline std::FILE* table_file(const std::string& json_path) { return json_path == "-" ? stderr : stdout; }

/// Nothing if `path` is empty. @throws IoError
inline void write_json(const std::string& path, const nlohmann::ordered_json& results) {
  if (path.empty()) return;
  std::ofstream file;
  if (path != "-") file.open(path);
  std::ostream& out = path == "-" ? std::cout : file;
  out << results.dump(1) << '\n';
  if (!out.flush()) throw IoError(path + ": cannot be written");
}

}  // namespace klmesh::bench
