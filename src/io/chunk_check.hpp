// Looks into a chunk before HDF5 does.
#pragma once

#include <cstdint>

#include "io/input_dataset.hpp"

namespace klmesh::io {

/// HDF5 1.10 believes that a compressed chunk holds as many bytes as the shape of chunks says, and reads on
/// past the end of its memory if it holds fewer. This unpacks the chunk with the element (row, column), keeps
/// nothing, and counts. Does nothing where there are no chunks or no filters, or the chunk was never written.
/// Cost: one chunk read and inflated.
/// @throws InvalidData if the size is not the right one, or the chunk is corrupt
void require_whole_chunk(const InputDataset& dataset, std::int64_t row, std::int64_t column);

}  // namespace klmesh::io
