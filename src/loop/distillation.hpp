// The kinds of distillation: which divergence a student descends, from which teacher.
#pragma once

#include <string_view>

#include "klmesh/statistics.hpp"

namespace klmesh::loop {

/// What a student learns from. `data` has no teacher: maximum likelihood, the yardstick of the others.
enum class Distillation { forward, reverse, jensen_shannon, data };

/// The name that configurations and files use.
std::string_view name(Distillation kind) noexcept;
/// @throws InvalidArgument listing the kinds
Distillation parse_distillation(std::string_view name);
/// What the kind minimises, in words.
std::string_view objective(Distillation kind) noexcept;

/// The divergence between student (policy) and teacher (reference) that the kind descends; for `data`, the forward one:
/// it is measured all the same.
Quantity divergence_of(Distillation kind) noexcept;

}  // namespace klmesh::loop
