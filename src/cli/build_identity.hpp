// Which build of the program this is.
#pragma once

#include <string>

namespace klmesh::cli {

/// A hash of the sources this program was built from, 16 hexadecimal digits.
std::string source_id();

/// "0.1.0, exchange format ..., source ..., with CUDA": what ranks of one job must have in common.
std::string build_identity();

}  // namespace klmesh::cli
