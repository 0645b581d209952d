// The merge over vocabulary parts as the device makes it: its exp and log1p have other last bits than the host's.
#pragma once

#include <vector>

#include "core/cuda/device_array.hpp"
#include "klmesh/extended_partial.hpp"
#include "klmesh/row_partial.hpp"

namespace klmesh::test {

/// @param partials (rows, parts)
std::vector<RowPartial> fold_on_device(const std::vector<RowPartial>& partials, int parts);
std::vector<ExtendedPartial> fold_on_device(const std::vector<ExtendedPartial>& partials, int parts);

}  // namespace klmesh::test
