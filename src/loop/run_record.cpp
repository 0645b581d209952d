#include "loop/run_record.hpp"

#include <array>
#include <utility>
#include <vector>

#include "io/standard_columns.hpp"
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
  return values;
}

std::vector<io::Column> timing_columns() { return {{"step_seconds", "s", "wall-clock time of the step on rank 0"}}; }

}  // namespace

RunRecord::RunRecord(std::filesystem::path directory, io::RunAttributes attributes)
    : directory_(std::move(directory)), attributes_(std::move(attributes)) {
  open(directory_);
}

void RunRecord::begin_further_arm(std::string_view kind) {
  finish();
  const std::filesystem::path directory = directory_ / arm_directory(kind);
  std::error_code error;
  std::filesystem::create_directory(directory, error);
  if (error) throw IoError(directory.string() + ": " + error.message());
  open(directory);
}

void RunRecord::open(const std::filesystem::path& directory) {
  current_ = directory;
  statistics_ = std::make_unique<io::StatisticsLog>(attributes_, io::standard_columns(), timing_columns());
  progress_ = std::make_unique<io::ProgressLog>(directory / "progress.jsonl");
}

void RunRecord::add(const StepRecord& record) {
  const Values values = values_of(record);
  const std::array timing{io::NamedValue{"step_seconds", record.seconds}};
  const auto phase = static_cast<std::int64_t>(record.phase);
  statistics_->append(phase, record.step, values.named(), timing);
  progress_->append(phase, record.step, values.named());
}

void RunRecord::commit() { statistics_->commit(current_ / "statistics.h5"); }

void RunRecord::finish() {
  commit();
  progress_->close();
}

}  // namespace klmesh::loop
