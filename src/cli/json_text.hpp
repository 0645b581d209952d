// JSON as text, with every floating-point number in the fewest digits that read back as the same bits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace klmesh::cli {

/// The text of `value`, keys in their order, with a newline at the end. Objects
/// of the first two levels have a line per key. nlohmann's own dump() sometimes
/// gives a digit too many.
/// @throws InvalidArgument if it holds a number that JSON does not have (NaN, infinity)
std::string json_text(const nlohmann::ordered_json& value);

}  // namespace klmesh::cli
