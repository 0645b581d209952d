// Texts read from files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "loop/train_config.hpp"

namespace klmesh::loop {

/// One text: what is never split between training and measuring.
struct Document {
  std::string subject;  ///< name of its file without directory and extension
  std::vector<std::string> tokens;
};

/// Cuts the bytes of a file into texts: at lines "%" if it has any (fortune files), else at blank lines.
/// Pieces without a visible character are left out.
std::vector<std::string_view> split_texts(std::string_view bytes);

/// Reads every text under `data.paths`, in an order that does not depend on the file system, without
/// repetitions: of texts with the same tokens the first stays.
///
/// A path may be a file, which is read whatever its name, or a directory: of it, the regular files without a
/// dot in their names (no links, no .dat indices), sorted by name, except `data.exclude`; directories in it
/// are not entered.
/// @throws InputNotFound  a path does not exist or cannot be opened
/// @throws InvalidData    no text in all of them, or a file with a zero byte: not text
/// @throws IoError        reading failed
std::vector<Document> read_documents(const DataConfig& data);

/// The tokens in one string, separated by spaces: equal for equal texts alone, for no token contains a space.
std::string content(const Document& document);

}  // namespace klmesh::loop
