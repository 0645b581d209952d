#include "klmesh/statistics_log.hpp"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "io/commit.hpp"
#include "io/file_image.hpp"
#include "io/hdf5_write.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

constexpr std::int64_t format_version = 1;

const Column phase_column{"phase", "1", "phase: 1 maximum likelihood, 2 reward model, 3 RLHF"};
const Column step_column{"step", "1", "step within the phase, from 1"};

// Checked by the one who knows all rules of a column set: as if the two were declared with the others.
ColumnSet without_reserved(std::vector<Column> steps) {
  std::vector<Column> all = steps;
  all.push_back(phase_column);
  all.push_back(step_column);
  ColumnSet{std::move(all)};
  return ColumnSet(std::move(steps));
}

void write_root(hid_t root, const RunAttributes& attributes) {
  write_attribute(root, "format", std::string("klmesh-statistics"));
  write_attribute(root, "format_version", format_version);
  write_attribute(root, "library_version", attributes.library_version);
  write_attribute(root, "created_utc", attributes.created_utc);
  write_attribute(root, "config_toml", attributes.config_toml);
  write_attribute(root, "mesh", attributes.mesh);
}

template <Element T>
void write_column(hid_t group, const Column& column, std::span<const T> values) {
  Handle dataset = write_dataset(group, column.name, values);
  write_attribute(dataset.get(), "unit", column.unit);
  write_attribute(dataset.get(), "long_name", column.long_name);
  dataset.close();
}

// @param table (rows, columns.size()), row-major
void write_columns(hid_t group, const ColumnSet& columns, std::span<const double> table, std::size_t rows) {
  std::vector<double> values(rows);
  for (std::size_t c = 0; c < columns.size(); ++c) {
    for (std::size_t r = 0; r < rows; ++r) values[r] = table[r * columns.size() + c];
    write_column<double>(group, columns[c], values);
  }
}

}  // namespace

StatisticsLog::StatisticsLog(RunAttributes attributes, std::vector<Column> steps, std::vector<Column> timing)
    : attributes_(std::move(attributes)),
      steps_(without_reserved(std::move(steps))),
      timing_(std::move(timing)) {}

void StatisticsLog::append(std::int64_t phase, std::int64_t step, std::span<const NamedValue> values,
                           std::span<const NamedValue> timing) {
  const std::vector<double> step_row = steps_.row(values);
  const std::vector<double> timing_row = timing_.row(timing);
  phases_.push_back(phase);
  step_numbers_.push_back(step);
  step_values_.insert(step_values_.end(), step_row.begin(), step_row.end());
  timing_values_.insert(timing_values_.end(), timing_row.begin(), timing_row.end());
}

std::vector<double> StatisticsLog::state() const {
  std::vector<double> state;
  state.reserve(rows() * (2 + steps_.size()));
  for (std::size_t r = 0; r < rows(); ++r) {
    state.push_back(static_cast<double>(phases_[r]));
    state.push_back(static_cast<double>(step_numbers_[r]));
    const auto row = std::span(step_values_).subspan(r * steps_.size(), steps_.size());
    state.insert(state.end(), row.begin(), row.end());
  }
  return state;
}

void StatisticsLog::restore(std::span<const double> state) {
  const std::size_t width = 2 + steps_.size();
  if (state.size() % width != 0)
    throw InvalidData(fmt::format("statistics of {} values are not rows of {}", state.size(), width));
  std::vector<std::int64_t> phases, step_numbers;
  std::vector<double> step_values;
  for (; !state.empty(); state = state.subspan(width)) {
    phases.push_back(static_cast<std::int64_t>(state[0]));
    step_numbers.push_back(static_cast<std::int64_t>(state[1]));
    const auto row = state.subspan(2, steps_.size());
    step_values.insert(step_values.end(), row.begin(), row.end());
  }
  timing_values_.assign(phases.size() * timing_.size(), std::numeric_limits<double>::quiet_NaN());
  phases_ = std::move(phases);
  step_numbers_ = std::move(step_numbers);
  step_values_ = std::move(step_values);
}

std::vector<std::byte> StatisticsLog::image() const {
  FileImage image;
  write_root(image.root(), attributes_);
  Handle steps = create_group(image.root(), "steps");
  write_column<std::int64_t>(steps.get(), phase_column, phases_);
  write_column<std::int64_t>(steps.get(), step_column, step_numbers_);
  write_columns(steps.get(), steps_, step_values_, rows());
  steps.close();
  Handle timing = create_group(image.root(), "timing");
  write_columns(timing.get(), timing_, timing_values_, rows());
  timing.close();
  return image.finish();
}

void StatisticsLog::commit(const std::filesystem::path& path) const { commit_file(path, image()); }

}  // namespace klmesh::io
