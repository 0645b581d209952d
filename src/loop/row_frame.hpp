// Where the rows of a batch lie in the arrays of the hidden layer.
#pragma once

#include <cstdint>

namespace klmesh::loop {

/// Arrays of activations have `padded` rows: `lead` of padding, the real ones, more padding. Which padding there is, is up
/// to the back end (TensorOps::frame()); it is 0 after the operation that wrote the array. Logits and contexts have none.
struct RowFrame {
  std::int64_t rows = 0;    ///< real ones
  std::int64_t lead = 0;
  std::int64_t padded = 0;  ///< lead + rows + what follows
};

}  // namespace klmesh::loop
