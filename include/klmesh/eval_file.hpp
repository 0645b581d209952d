// Logits and what accompanies them, as the file that `klmesh eval` reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace klmesh::io {

/// The content of a logits file, borrowed.
struct EvalFile {
  std::int64_t tokens = 0;
  std::int64_t vocab_size = 0;              ///< root attribute; columns at or past it are padding
  std::int64_t policy_columns = 0;          ///< >= vocab_size
  std::int64_t reference_columns = 0;       ///< >= vocab_size; may differ
  std::span<const float> policy_logits;     ///< (tokens, policy_columns)
  std::span<const float> reference_logits;  ///< (tokens, reference_columns)
  std::span<const std::int64_t> targets;    ///< (tokens), or empty: no such dataset
  std::span<const std::uint8_t> mask;       ///< (tokens) 1 counts, 0 is left out; or empty
  std::span<const std::int64_t> sequence;   ///< (tokens), or empty
  std::string config_toml;                  ///< effective configuration of the run; root attribute
};

/// The bytes of the file. Cost: the file twice in memory.
/// @throws InvalidArgument if a size does not fit `tokens` and the columns
std::vector<std::byte> eval_file_image(const EvalFile& content);

/// Replaces the file `path`, whole or not at all: temporary, fsync, rename. @throws InvalidArgument as above, IoError
void commit_eval_file(const std::filesystem::path& path, const EvalFile& content);

}  // namespace klmesh::io
