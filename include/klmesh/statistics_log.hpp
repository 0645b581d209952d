// The record of a run: a row of named values per step, written as one HDF5 file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "klmesh/column_set.hpp"

namespace klmesh::io {

/// Root attributes of the file.
struct RunAttributes {
  std::string config_toml;  ///< effective configuration, without paths, run and resume options
  std::string mesh;         ///< "2x2"
  std::string created_utc;  ///< "2025-01-31T12:00:00Z"
  std::string library_version;
};

/// Rows in memory, the whole file at every commit. The file (format "klmesh-statistics", version 1):
/// /steps/phase and /steps/step int64, /steps/<column> and /timing/<column> float64, all (rows), each with
/// the attributes unit and long_name. Wall-clock values are under /timing alone, so that the rest can be
/// compared.
class StatisticsLog {
 public:
  /// @param steps, timing columns of the two groups
  /// @throws InvalidArgument for malformed or repeated names; "phase" and "step" are taken in `steps`
  StatisticsLog(RunAttributes attributes, std::vector<Column> steps, std::vector<Column> timing);

  /// Adds a row; a column that is not given is NaN.
  /// @param phase 1 maximum likelihood, 2 reward model, 3 RLHF
  /// @param step  counted from 1 within the phase
  /// @throws InvalidArgument for a column that is not declared, and adds nothing then
  void append(std::int64_t phase, std::int64_t step, std::span<const NamedValue> values,
              std::span<const NamedValue> timing = {});

  std::size_t rows() const noexcept { return phases_.size(); }

  /// Everything but the timing, for a checkpoint: row-major (rows, 2 + step columns), phase and step first.
  std::vector<double> state() const;

  /// The rows that state() gave, in place of all rows here. Their timing is NaN: it was another process's.
  /// @throws InvalidData if `state` is no whole number of rows of these columns, and changes nothing then
  void restore(std::span<const double> state);

  /// The bytes of the file; the same rows and attributes give the same bytes. @throws Hdf5Error
  std::vector<std::byte> image() const;

  /// Replaces the file `path`, whole or not at all: temporary, fsync, rename. @throws IoError
  void commit(const std::filesystem::path& path) const;

 private:
  RunAttributes attributes_;
  ColumnSet steps_;
  ColumnSet timing_;
  std::vector<std::int64_t> phases_;
  std::vector<std::int64_t> step_numbers_;
  std::vector<double> step_values_;    // (rows, steps_.size())
  std::vector<double> timing_values_;  // (rows, timing_.size())
};

}  // namespace klmesh::io
