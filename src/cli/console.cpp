#include "cli/console.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

std::string format_cell(const Cell& cell, const Column& column) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&cell)) return fmt::format("{:.{}g}", *real, column.significant);
  return std::get<std::string>(cell);
}

}  // namespace

void write_out(std::FILE* out, std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size() || std::fflush(out) != 0) {
    throw IoError(fmt::format("writing output failed: {}", std::strerror(errno)));
  }
}

Table::Table(std::FILE* out, std::vector<Column> columns) : out_(out), columns_(std::move(columns)) {
  for (Column& column : columns_) {
    column.width = std::max({column.width, static_cast<int>(column.name.size()),
                             static_cast<int>(column.unit.size()) + 2});  // + 2: parentheses
  }
}

void Table::header() {
  std::string names = "#";
  std::string units = "#";
  for (const Column& column : columns_) {
    names += fmt::format(" {:>{}}", column.name, column.width);
    units += fmt::format(" {:>{}}", column.unit.empty() ? "" : "(" + column.unit + ")", column.width);
  }
  line(names);
  if (std::ranges::any_of(columns_, [](const Column& column) { return !column.unit.empty(); })) line(units);
}

void Table::row(std::span<const Cell> cells) {
  if (cells.size() != columns_.size()) {
    throw InvalidArgument(fmt::format("a row of {} cells for {} columns", cells.size(), columns_.size()));
  }
  std::string text = " ";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    text += fmt::format(" {:>{}}", format_cell(cells[i], columns_[i]), columns_[i].width);
  }
  line(text);
}

void Table::comment(std::string_view text) { line(fmt::format("# {}", text)); }

void Table::line(std::string_view text) { write_out(out_, fmt::format("{}\n", text)); }

}  // namespace klmesh::cli
