// The MANIFEST of a checkpoint generation: what it is a state of, and the hash of every file in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace klmesh::io {

/// A state file, as its writer left it.
struct StateFileEntry {
  std::string name;  ///< within the generation's directory
  std::int64_t bytes = 0;
  std::string sha256;            ///< hexadecimal digits
  std::int64_t vocab_begin = 0;  ///< rows of vocabulary-sharded arrays in it, global indices
  std::int64_t vocab_end = 0;

  friend bool operator==(const StateFileEntry&, const StateFileEntry&) = default;
};

struct Manifest {
  static constexpr std::int64_t format_version = 1;

  std::string config_toml;    ///< effective configuration, paths included: a run can be resumed from it alone
  std::string config_sha256;  ///< of the part of it that decides the numbers
  std::string corpus;         ///< fingerprint of the texts, hexadecimal digits
  std::int64_t phase = 1;
  std::int64_t arm = 0;  ///< which arm of phase 3, from 0
  std::string arm_name;  ///< empty before phase 3
  std::int64_t step = 0;  ///< steps of the phase, or arm, that are done
  std::string mesh;       ///< of the writers, "2x2"
  std::vector<std::pair<std::string, std::int64_t>> shapes;  ///< global sizes by name, "vocab_size" and so on
  std::vector<StateFileEntry> files;                         ///< in order of vocab_begin

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// JSON, and a last line "sha256 <hash of all before it>".
std::string to_text(const Manifest& manifest);

/// Reads it back; the hash is checked first.
/// @param place names the file in errors
/// @throws InvalidData damaged, of another version, a member missing or of another type, a file name with a directory,
///         or files that do not cover the vocabulary without gap
Manifest parse_manifest(std::string_view text, const std::string& place);

}  // namespace klmesh::io
