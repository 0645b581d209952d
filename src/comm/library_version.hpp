// Which library this is, as far as ranks that exchange data must agree.
#pragma once

#include <string>

#include "comm/terms.hpp"

namespace klmesh {

/// "0.1.0, exchange format 5f3a09bc12de7744": the version, and a hash of the layout of what ranks exchange, which may
/// differ between builds of one version (byte order, sizes of the partial sums).
std::string library_version();

inline Term library_version_term() { return {"library version", library_version()}; }

}  // namespace klmesh
