// Nats or bits: which quantities have that unit, and what it costs to change it.
#pragma once

#include <numbers>
#include <string_view>

#include "klmesh/statistics.hpp"

namespace klmesh::cli {

enum class Unit { nats, bits };

constexpr std::string_view name(Unit unit) noexcept { return unit == Unit::bits ? "bits" : "nats"; }

/// What values, sums, errors and biases of a quantity are divided by, once, to be in `unit`.
inline double divisor(Quantity quantity, Unit unit) noexcept {
  return unit == Unit::bits && is_in_nats(quantity) ? std::numbers::ln2 : 1.0;
}

}  // namespace klmesh::cli
