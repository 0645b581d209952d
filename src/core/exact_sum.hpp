// Exact sums of doubles and of products of doubles: wide fixed-point numbers whose addition is associative.
#pragma once

#include <cstdint>
#include <span>

#include "core/exact_sum_limbs.hpp"

namespace klmesh {

/// Adds a finite value. @param limbs (kValueLimbs)
void add_value(std::span<std::int64_t> limbs, double value);

/// Adds x * y exactly; both finite. @param limbs (kProductLimbs)
void add_product(std::span<std::int64_t> limbs, double x, double y);

/// Brings every limb but the last into [0, 2^32); the represented number does not change.
void normalize(std::span<std::int64_t> limbs);

/// The number, rounded once to the nearest double (ties to even). @param limbs any, need not be normalised
double to_double(std::span<const std::int64_t> limbs, int offset);

/// sqrt(n * sum(x^2) - (sum x)^2), the difference formed in wide integers and rounded once: the standard deviation
/// times sqrt(n (n - 1)). Finite wherever the deviation is.
/// @param sum     (kValueLimbs)   sum of x
/// @param squares (kProductLimbs) sum of x^2
double scaled_deviation(std::int64_t n, std::span<const std::int64_t> sum, std::span<const std::int64_t> squares);

/// n * sum(x y) - sum x sum y, formed in wide integers and rounded once: n (n - 1) times the covariance.
/// @param products (kProductLimbs) sum of x y
double scaled_covariance(std::int64_t n, std::span<const std::int64_t> sum_x, std::span<const std::int64_t> sum_y,
                         std::span<const std::int64_t> products);

}  // namespace klmesh
