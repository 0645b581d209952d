// "Did you mean": the known name nearest to a mistyped one.
#pragma once

#include <span>
#include <string_view>

namespace klmesh::cli {

/// Levenshtein distance. Cost: O(a * b) time, O(b) memory.
int edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `name`; the first one wins ties. Empty if there is none, or none that a slip of
/// the fingers explains (more than half of `name` would have to change).
std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace klmesh::cli
