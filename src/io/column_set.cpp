#include "klmesh/column_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

// Names become HDF5 links and Python identifiers: no "/", no locale.
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

ColumnSet::ColumnSet(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string& name = columns_[i].name;
    if (name.empty() || !std::ranges::all_of(name, is_name_character))
      throw InvalidArgument(fmt::format("column \"{}\": a name has letters, digits and underscores", name));
    if (!places_.emplace(name, i).second)
      throw InvalidArgument(fmt::format("column {} is declared twice", name));
  }
}

std::vector<double> ColumnSet::row(std::span<const NamedValue> values) const {
  std::vector<double> row(size(), std::numeric_limits<double>::quiet_NaN());
  std::vector<bool> given(size(), false);
  for (const auto& [name, value] : values) {
    const auto place = places_.find(name);
    if (place == places_.end()) throw InvalidArgument(fmt::format("column {} is not declared", name));
    if (given[place->second]) throw InvalidArgument(fmt::format("column {} is given twice in one row", name));
    given[place->second] = true;
    row[place->second] = value;
  }
  return row;
}

}  // namespace klmesh::io
