#include "loop/state_view.hpp"

#include <algorithm>

namespace klmesh::loop {
namespace {

constexpr const char* kOptimizerSteps = "optimizer_steps";
constexpr const char* kStatistics = "statistics";
constexpr const char* kReports = "reports";

template <io::Element T>
void add_vector(io::StateWriter& writer, const std::string& name, const std::vector<T>& values) {
  writer.add<T>(name, values, {static_cast<std::int64_t>(values.size()), 1});
}

// Values of the host.
std::vector<float> downloaded(const StateTensor& tensor) {
  std::vector<float> values(tensor.values.size());
  tensor.ops->download(CopyReason::checkpoint, std::as_bytes(tensor.values), std::as_writable_bytes(std::span(values)));
  return values;
}

std::vector<float> read_sharded(const std::vector<StateSource>& sources, const VocabShard& shard,
                                const StateTensor& tensor) {
  std::vector<float> all(tensor.values.size());
  for (const StateSource& source : sources) {
    const std::int64_t begin = std::max(source.begin, shard.begin), end = std::min(source.end, shard.end);
    if (begin >= end) continue;
    const std::vector<float> values =
        source.reader.read<float>(tensor.name, {source.end - source.begin, tensor.columns});
    std::copy_n(values.begin() + (begin - source.begin) * tensor.columns, (end - begin) * tensor.columns,
                all.begin() + (begin - shard.begin) * tensor.columns);
  }
  return all;
}

}  // namespace

void StateView::add_policy_array(const std::string& prefix, const std::string& suffix, TensorOps& ops,
                                 const PolicyLayout& layout, std::span<float> flat) {
  for (int t = 0; t < kPolicyTensors; ++t) {
    const auto tensor = static_cast<PolicyTensor>(t);
    const std::span<float> values = layout.part(tensor, flat);
    // The head bias is (1, shard rows) in memory: a column here, like all that is sharded.
    const std::int64_t columns = !is_sharded(tensor)                 ? static_cast<std::int64_t>(values.size())
                                 : tensor == PolicyTensor::head_bias ? 1
                                                                     : layout.matrix(tensor, flat.data()).columns;
    tensors.push_back({prefix + std::string(name(tensor)) + suffix, is_sharded(tensor), columns, &ops, values});
  }
}

void StateView::add(const std::string& prefix, Policy& policy, Adam* optimizer) {
  const PolicyLayout& layout = policy.parameters().layout();
  add_policy_array(prefix, "", policy.ops(), layout, policy.parameters().flat());
  if (optimizer == nullptr) return;
  add_policy_array(prefix, "_first_moment", policy.ops(), layout, optimizer->first_moment());
  add_policy_array(prefix, "_second_moment", policy.ops(), layout, optimizer->second_moment());
  optimizers.push_back(optimizer);
}

void StateView::add(RewardModel& model) {
  const auto words = static_cast<std::int64_t>(model.scores().size());
  Adam& optimizer = model.optimizer();
  tensors.push_back({"reward_scores", false, words, &model.ops(), model.scores()});
  tensors.push_back({"reward_scores_first_moment", false, words, &model.ops(), optimizer.first_moment()});
  tensors.push_back({"reward_scores_second_moment", false, words, &model.ops(), optimizer.second_moment()});
  optimizers.push_back(&optimizer);
}

std::vector<std::byte> state_image(const StateView& view, const StateExtras* extras) {
  io::StateWriter writer;
  for (const StateTensor& tensor : view.tensors) {
    if (!tensor.sharded && extras == nullptr) continue;
    const std::int64_t rows = tensor.sharded ? view.shard.columns() : 1;
    writer.add<float>(tensor.name, downloaded(tensor), {rows, tensor.columns});
  }
  if (extras == nullptr) return writer.finish();
  std::vector<std::int64_t> steps;
  for (const Adam* optimizer : view.optimizers) steps.push_back(optimizer->steps());
  add_vector(writer, kOptimizerSteps, steps);
  add_vector(writer, kStatistics, extras->statistics);
  add_vector(writer, kReports, extras->reports);
  return writer.finish();
}

void restore_state(const std::vector<StateSource>& sources, const StateView& view) {
  for (const StateTensor& tensor : view.tensors) {
    const std::vector<float> values = tensor.sharded
                                          ? read_sharded(sources, view.shard, tensor)
                                          : sources.front().reader.read<float>(tensor.name, {1, tensor.columns});
    tensor.ops->upload(CopyReason::checkpoint, std::as_bytes(std::span(values)), std::as_writable_bytes(tensor.values));
  }
  const auto count = static_cast<std::int64_t>(view.optimizers.size());
  const std::vector<std::int64_t> steps = sources.front().reader.read<std::int64_t>(kOptimizerSteps, {count, 1});
  for (std::size_t i = 0; i < steps.size(); ++i) view.optimizers[i]->set_steps(steps[i]);
}

StateExtras read_extras(const StateSource& source) {
  constexpr std::array<std::int64_t, 2> any{-1, 1};
  return {source.reader.read<double>(kStatistics, any), source.reader.read<std::int64_t>(kReports, any)};
}

}  // namespace klmesh::loop
