// What the program says on stdout: tables whose every line that is no data begins with '#'.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace klmesh::cli {

/// A column: width is that of its widest heading or `width`, whatever is more.
struct Column {
  std::string name;
  std::string unit;     ///< "nats", "tokens/s"; empty for none
  int significant = 6;  ///< digits of floating-point cells
  int width = 10;       ///< at least
};

using Cell = std::variant<std::int64_t, double, std::string>;

/// A table that is written row by row, while the job runs.
class Table {
 public:
  /// @param out borrowed, must outlive the table
  Table(std::FILE* out, std::vector<Column> columns);

  /// Writes a row of '#' names and, if a column has a unit, one of '#' units.
  void header();

  /// Writes one line of data. @throws InvalidArgument unless there is one cell per column; IoError
  void row(std::span<const Cell> cells);

  /// Writes "# text". @throws IoError
  void comment(std::string_view text);

 private:
  void line(std::string_view text);

  std::FILE* out_;
  std::vector<Column> columns_;
};

/// Writes text and flushes, so that a full disk or a closed pipe is noticed. @throws IoError
void write_out(std::FILE* out, std::string_view text);

}  // namespace klmesh::cli
