// Reads vectors of integers of any type as 64-bit ones.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/input_dataset.hpp"

namespace klmesh::io {

/// What becomes of an unsigned value beyond 2^63 - 1.
enum class Beyond {
  clamp,  ///< 2^63 - 1: still out of every range
  wrap,   ///< negative, so that different values stay different
};

/// @throws InvalidData unless the elements are integers of 1, 2, 4 or 8 bytes
void require_integers(const InputDataset& dataset);

/// @throws InvalidData unless they are such integers, or the enumeration FALSE = 0, TRUE = 1 that h5py writes
void require_integers_or_booleans(const InputDataset& dataset);

/// Reads out.size() values from `first` on. @throws as InputDataset::read()
void read_integers(const InputDataset& dataset, std::int64_t first, std::span<std::int64_t> out,
                   Beyond beyond);

/// Reads values that must be 0 or 1. @throws InvalidData naming the row of the first that is not
void read_zeros_and_ones(const InputDataset& dataset, std::int64_t first, std::span<std::uint8_t> out);

/// One value, in digits, as the file has it: no clamp and no wrap.
std::string integer_text(const InputDataset& dataset, std::int64_t row);

}  // namespace klmesh::io
