#include "loop/run_record.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "klmesh/standard_columns.hpp"
#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

// Columns by name, owning the names: io::NamedValue borrows them.
class Values {
 public:
  void set(std::string column, double value) { values_.emplace_back(std::move(column), value); }
  std::vector<io::NamedValue> named() const {
    std::vector<io::NamedValue> named;
    for (const auto& [column, value] : values_) named.push_back({column, value});
    return named;
  }

 private:
  std::vector<std::pair<std::string, double>> values_;
};

void set_quantity(Values& values, const StepStatistics& step, Quantity quantity) {
  const QuantityStatistics& s = step[quantity];
  const std::string prefix(name(quantity));
  values.set(prefix + "_mean", s.mean);
  values.set(prefix + "_min", s.min);
  values.set(prefix + "_max", s.max);
  values.set(prefix + "_stddev", s.standard_deviation);
  values.set(prefix + "_stderr", s.standard_error);
  values.set(prefix + "_stderr_clustered", s.standard_error_clustered);
}

void set_bias(Values& values, const StepStatistics& step, Quantity bias) {
  const std::string prefix(name(bias));
  values.set(prefix, step[bias].mean);
  values.set(prefix + "_stderr", step[bias].standard_error);
  values.set(prefix + "_stderr_clustered", step[bias].standard_error_clustered);
}

Values values_of(const StepRecord& record) {
  Values values;
  if (record.statistics) {
    constexpr std::array policy_alone{Quantity::entropy_policy, Quantity::logp_policy};
    constexpr std::array with_reference{Quantity::kl_reverse,     Quantity::kl_forward, Quantity::entropy_reference,
                                        Quantity::logp_reference, Quantity::k1,         Quantity::k2,
                                        Quantity::k3};
    for (const Quantity q : policy_alone) set_quantity(values, *record.statistics, q);
    if (record.has_reference()) {
      for (const Quantity q : with_reference) set_quantity(values, *record.statistics, q);
    }
    if (record.has_samples()) {
      for (const Quantity q : {Quantity::k1_bias, Quantity::k2_bias, Quantity::k3_bias}) {
        set_bias(values, *record.statistics, q);
      }
    }
  }
  values.set("reward_mean", record.reward_mean);
  values.set("reward_stddev", record.reward_stddev);
  values.set("loss", record.loss);
  values.set("perplexity_heldout", record.perplexity_heldout);
  values.set("tokens", static_cast<double>(record.tokens));
  values.set("beta", record.beta);
  if (record.phase == Phase::rlhf) values.set("stopped_early", record.ends_early() ? 1.0 : 0.0);
  return values;
}

std::vector<io::Column> timing_columns() { return {{"step_seconds", "s", "wall-clock time of the step on rank 0"}}; }

constexpr const char* kProgressFile = "progress.jsonl";

// Cuts off what follows the first `lines` lines.
void keep_lines(const std::filesystem::path& path, std::size_t lines) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || file.bad()) throw IoError(path.string() + ": reading failed");
  std::size_t end = 0;
  for (; lines > 0 && end < text.size(); --lines) end = std::min(text.find('\n', end), text.size() - 1) + 1;
  std::error_code error;
  std::filesystem::resize_file(path, end, error);
  if (error) throw IoError(path.string() + ": " + error.message());
}

}  // namespace

std::vector<io::Column> step_columns() {
  std::vector<io::Column> columns = io::standard_columns();
  columns.push_back({"beta", "1", "weight of the KL penalty in the step, reward per nat"});
  columns.push_back({"stopped_early", "1", "1 where the arm ended because the exact KL was above rlhf.stop_kl, else 0"});
  return columns;
}

RunRecord::RunRecord(std::filesystem::path directory, io::RunAttributes attributes)
    : directory_(std::move(directory)), attributes_(std::move(attributes)) {
  open(directory_);
}

void RunRecord::begin_directory(std::string_view directory) {
  finish();
  change_to(directory_ / directory, {});
}

void RunRecord::restore(std::string_view directory, std::span<const double> state) {
  progress_->close();
  change_to(directory.empty() ? directory_ : directory_ / directory, state);
}

// What is in the directory may be of a later point, from which the run went back to a checkpoint.
void RunRecord::change_to(const std::filesystem::path& directory, std::span<const double> state) {
  std::error_code error;
  std::filesystem::create_directory(directory, error);
  if (error) throw IoError(directory.string() + ": " + error.message());
  open(directory);
  statistics_->restore(state);
  keep_lines(directory / kProgressFile, statistics_->rows());
}

void RunRecord::open(const std::filesystem::path& directory) {
  current_ = directory;
  statistics_ = std::make_unique<io::StatisticsLog>(attributes_, step_columns(), timing_columns());
  progress_ = std::make_unique<io::ProgressLog>(directory / kProgressFile);
}

void RunRecord::add(const StepRecord& record) {
  const Values values = values_of(record);
  const std::array timing{io::NamedValue{"step_seconds", record.seconds}};
  const std::int64_t phase = recorded_number(record.phase);
  statistics_->append(phase, record.step, values.named(), timing);
  progress_->append(phase, record.step, values.named());
}

void RunRecord::commit() { statistics_->commit(current_ / "statistics.h5"); }

void RunRecord::finish() {
  commit();
  progress_->close();
}

}  // namespace klmesh::loop
