// Nats or bits: which quantities have that unit, and what it costs to change it.
#pragma once

#include <numbers>
#include <string_view>

#include "klmesh/statistics.hpp"

namespace klmesh::cli {

enum class Unit { nats, bits };

constexpr std::string_view name(Unit unit) noexcept { return unit == Unit::bits ? "bits" : "nats"; }

/// Whether a quantity is a number of nats. k2 counts as one, though it is a
/// square: it estimates a KL.
constexpr bool has_unit(Quantity quantity) noexcept {
  switch (quantity) {
    case Quantity::delta_p:
    case Quantity::ratio_excess:
    case Quantity::chi_square:
    case Quantity::chi_square_reference_policy:
    case Quantity::hellinger:
    case Quantity::total_variation:
    case Quantity::same_top:
      return false;
    default:
      return true;
  }
}

/// What values, sums, errors and biases of a quantity are divided by, once, to be in `unit`.
constexpr double divisor(Quantity quantity, Unit unit) noexcept {
  return unit == Unit::bits && has_unit(quantity) ? std::numbers::ln2 : 1.0;
}

}  // namespace klmesh::cli
