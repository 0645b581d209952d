// The KL penalties of phase 3 by name, and the objective that each one really descends. Their algebra: penalty_algebra.hpp.
#pragma once

#include <string_view>

#include "loop/penalty_algebra.hpp"

namespace klmesh::loop {

/// The name that configurations and files use.
std::string_view name(Penalty penalty) noexcept;
/// @throws InvalidArgument listing the kinds
Penalty parse_penalty(std::string_view name);
/// The objective whose expected gradient the kind follows, in words. Runs compare only where these are equal.
std::string_view objective(Penalty penalty) noexcept;

}  // namespace klmesh::loop
