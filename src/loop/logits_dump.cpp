#include "loop/logits_dump.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "comm/agreement.hpp"
#include "klmesh/eval_file.hpp"
#include "loop/gather.hpp"

namespace klmesh::loop {
namespace {

// A copy in the host's memory.
template <typename T>
std::vector<T> downloaded(TensorOps& ops, const T* data, std::size_t count) {
  std::vector<T> values(count);
  ops.download(CopyReason::logits_dump, std::as_bytes(std::span(data, count)), std::as_writable_bytes(std::span(values)));
  return values;
}

// (total rows, vocabulary) on every rank. Each element is set on one rank; two floats share an integer word, and the
// others' halves are 0, so adding words moves bits and rounds nothing.
std::vector<float> gather_logits(TensorOps& ops, const VocabShard& shard, const StepLogits& step, const LogitsView& view) {
  const auto vocab = static_cast<std::size_t>(shard.vocab_size);
  const std::size_t elements = static_cast<std::size_t>(step.total_rows) * vocab;
  std::vector<std::int64_t> words(elements / 2 + 1, 0);
  auto* floats = reinterpret_cast<char*>(words.data());
  const std::vector<float> mine = downloaded(ops, static_cast<const float*>(view.data),
                                             static_cast<std::size_t>(view.rows * view.row_stride));
  for (std::int64_t row = 0; row < view.rows; ++row) {
    const auto at = static_cast<std::size_t>(step.first_row + row) * vocab + static_cast<std::size_t>(shard.begin);
    const float* from = mine.data() + row * view.row_stride;
    std::memcpy(floats + at * sizeof(float), from, static_cast<std::size_t>(shard.columns()) * sizeof(float));
  }
  gather_owned(words, ops.mesh().world());
  std::vector<float> all(elements);
  std::memcpy(all.data(), words.data(), elements * sizeof(float));
  return all;
}

template <typename T>
std::vector<T> gather_inputs(TensorOps& ops, const StepLogits& step, std::span<const T> values) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(step.total_rows), 0);
  std::ranges::copy(downloaded(ops, values.data(), values.size()), all.begin() + step.first_row);
  gather_owned(all, ops.mesh().batch());
  return {all.begin(), all.end()};
}

}  // namespace

void dump_logits(TensorOps& ops, const VocabShard& shard, const StepLogits& step, const std::filesystem::path& path) {
  const std::vector<float> policy = gather_logits(ops, shard, step, step.policy);
  const std::vector<float> reference = gather_logits(ops, shard, step, step.reference);
  const std::vector<std::int64_t> targets = gather_inputs(ops, step, step.inputs.targets);
  std::vector<std::uint8_t> mask;
  std::vector<std::int64_t> sequence;
  if (step.sequences) {
    mask = gather_inputs(ops, step, step.inputs.mask);
    sequence = gather_inputs(ops, step, step.inputs.sequence);
  }
  io::EvalFile file;
  file.tokens = step.total_rows;
  file.vocab_size = file.policy_columns = file.reference_columns = shard.vocab_size;
  file.policy_logits = policy;
  file.reference_logits = reference;
  file.targets = targets;
  file.mask = mask;
  file.sequence = sequence;
  Communicator& world = ops.mesh().world();
  agree(world, "dumping logits", 0, failure_of([&] {
          if (world.rank() == 0) io::commit_eval_file(path, file);
        }));
}

}  // namespace klmesh::loop
