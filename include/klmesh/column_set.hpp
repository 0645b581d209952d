// The declared columns of a table, and where a named value goes in a row.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace klmesh::io {

struct Column {
  std::string name;       ///< of the dataset: letters, digits and underscores, "kl_reverse_mean"
  std::string unit;       ///< "nats", "s"; "1" for a pure number
  std::string long_name;  ///< for the axis of a plot, plain English
};

struct NamedValue {
  std::string_view name;
  double value;
};

/// Columns in the order of their declaration.
class ColumnSet {
 public:
  /// @throws InvalidArgument for a name that is malformed or declared twice
  explicit ColumnSet(std::vector<Column> columns);

  std::size_t size() const noexcept { return columns_.size(); }
  const Column& operator[](std::size_t i) const { return columns_[i]; }

  /// One row (size()): each value in the place of its name, NaN in all others.
  /// @throws InvalidArgument for a name that is not declared or is given twice
  std::vector<double> row(std::span<const NamedValue> values) const;

 private:
  std::vector<Column> columns_;
  std::map<std::string, std::size_t, std::less<>> places_;
};

}  // namespace klmesh::io
