// A run of a batch's rows as a batch of its own.
#pragma once

#include <cstddef>

#include "engine/backend.hpp"

namespace klmesh {

template <typename T>
std::span<const T> rows_of(std::span<const T> all, RowRange rows) {
  if (all.empty()) return {};
  return all.subspan(static_cast<std::size_t>(rows.begin), static_cast<std::size_t>(rows.size()));
}

inline LogitsView rows_of(LogitsView view, RowRange rows) {
  if (view.row_index.empty()) {
    const std::int64_t elements = rows.begin * view.row_stride;
    view.data = static_cast<const std::byte*>(view.data) + elements * static_cast<std::int64_t>(dtype_bytes(view.dtype));
  } else {
    view.row_index = rows_of(view.row_index, rows);
  }
  view.rows = rows.size();
  return view;
}

inline Batch rows_of(const Batch& batch, RowRange rows) {
  return {rows_of(batch.policy, rows), rows_of(batch.reference, rows),
          {rows_of(batch.inputs.targets, rows), rows_of(batch.inputs.mask, rows), rows_of(batch.inputs.sequence, rows)}};
}

}  // namespace klmesh
