// The back end of a GPU: the kernels of core, device memory, exchanges over device communicators.
#include <algorithm>
#include <limits>
#include <memory>

#include "core/cuda/finish.hpp"
#include "core/cuda/gradient.hpp"
#include "core/cuda/kernels.hpp"
#include "core/cuda/second_stage.hpp"
#include "engine/backend.hpp"
#include "engine/cuda/batch_rows.hpp"
#include "engine/cuda/memory.hpp"
#include "engine/cuda/partial_layout.hpp"
#include "engine/cuda/share_rows.hpp"
#include "engine/cuda/step_sums.hpp"
#include "klmesh/cuda.hpp"

namespace klmesh {
namespace {

class CudaBackend final : public Backend {
 public:
  CudaBackend(DeviceMesh& devices, const VocabShard& shard) : devices_(&devices), shard_(shard) {}

  Memory memory() const noexcept override { return Memory::device; }

  void reserve(const ExchangePlan& plan) override {
    const PartialLayout layout(plan);
    const auto parts = static_cast<std::size_t>(plan.parts);
    send_.reserve((plan.by_rows ? parts : 1) * layout.block_bytes);
    received_.reserve(parts * layout.block_bytes);
    kernel_.reserve(cuda::row_partials_workspace_bytes(plan.rows, shard_, plan.extended));
  }

  std::size_t workspace_bytes() const noexcept override { return send_.bytes() + received_.bytes() + kernel_.bytes(); }

  // By rows, one launch for each rank's rows, into its block of what is sent.
  void row_partials(const Batch& batch, const ExchangePlan& plan, double renyi_alpha, StreamRef stream) override {
    const PartialLayout layout(plan);
    for_each_block(plan, [&](int block, RowRange rows) {
      const Batch part = rows_of(batch, rows);
      const auto count = static_cast<std::size_t>(rows.size());
      const auto core = send_.at<RowPartial>(layout.core_at(block), count);
      const auto extended = send_.at<ExtendedPartial>(layout.extended_at(block), plan.extended ? count : 0);
      cuda::row_partials(part.policy, part.reference, shard_, part.inputs, core, extended, renyi_alpha, kernel_.span(),
                         stream);
    });
  }

  void exchange_partials(const ExchangePlan& plan, StreamRef stream) override {
    exchange(plan, PartialLayout(plan).block_bytes, stream);
  }

  void finish(const RowInputs& inputs, const ExchangePlan& plan, const EvaluateOptions& options,
              std::span<TokenStats> tokens, StreamRef stream) override {
    const auto gathered =
        PartialLayout(plan).gathered(received_.data(), plan.parts, options.quantities == QuantitySet::all);
    cuda::finish(gathered, inputs, plan.finished.begin, plan.finished.end,
                 options.renyi_alpha.value_or(std::numeric_limits<double>::quiet_NaN()), tokens, stream);
  }

  void share_normalizers(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                         StreamRef stream) override {
    const auto mine = send_.at<SharedNormalizer>(0, static_cast<std::size_t>(plan.block));
    const auto all = received_.at<SharedNormalizer>(0, static_cast<std::size_t>(plan.block * plan.parts));
    cuda::pack_normalizers(tokens, plan, mine, stream);
    devices_->vocab().all_gather(std::as_bytes(mine), std::as_writable_bytes(all), stream);
    cuda::unpack_normalizers(all, inputs, plan, tokens, stream);
  }

  void second_stage(const Batch& batch, const ExchangePlan& plan, std::span<const TokenStats> tokens,
                    StreamRef stream) override {
    for_each_block(plan, [&](int block, RowRange rows) {
      const Batch part = rows_of(batch, rows);
      const std::size_t at = static_cast<std::size_t>(block * plan.block) * sizeof(SecondStagePartial);
      cuda::second_stage(part.policy, part.reference, shard_, part.inputs, rows_of(tokens, rows),
                         send_.at<SecondStagePartial>(at, static_cast<std::size_t>(rows.size())), stream);
    });
  }

  void exchange_second_stage(const ExchangePlan& plan, StreamRef stream) override {
    exchange(plan, static_cast<std::size_t>(plan.block) * sizeof(SecondStagePartial), stream);
  }

  void finish_second_stage(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                           StreamRef stream) override {
    const auto gathered = received_.at<SecondStagePartial>(0, static_cast<std::size_t>(plan.block * plan.parts));
    cuda::finish_second_stage(gathered, plan.parts, inputs, plan.finished.begin, plan.finished.end, tokens, stream);
  }

  void share_mixtures(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                      StreamRef stream) override {
    const auto mine = send_.at<double>(0, static_cast<std::size_t>(plan.block));
    const auto all = received_.at<double>(0, static_cast<std::size_t>(plan.block * plan.parts));
    cuda::pack_mixtures(tokens, plan, mine, stream);
    devices_->vocab().all_gather(std::as_bytes(mine), std::as_writable_bytes(all), stream);
    cuda::unpack_mixtures(all, inputs, plan, tokens, stream);
  }

  void gradient(const Batch& batch, std::span<const TokenStats> tokens, const RowScales& scales,
                const GradientView& output, StreamRef stream) override {
    cuda::gradient(batch.policy, batch.reference, shard_, batch.inputs, tokens, scales, output, stream);
  }

  DeviceStepSums make_sums(std::int64_t sequences, QuantitySet quantities) override {
    return {std::make_unique<CudaStepSums>(sequences, quantities), sequences, quantities};
  }
  void clear(DeviceStepSums& sums, StreamRef stream) override { CudaStepSums::of(sums).clear(stream); }
  void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows, DeviceStepSums& sums,
                  StreamRef stream) override {
    CudaStepSums::of(sums).accumulate(tokens, inputs, rows, stream);
  }
  ReducedWords reduce(DeviceStepSums& sums, StreamRef stream) override {
    return CudaStepSums::of(sums).reduce(*devices_, stream);
  }

 private:
  // So that every later exchange of a row fits into what the first one needs.
  static_assert(sizeof(RowPartial) >= std::max(sizeof(SecondStagePartial), sizeof(SharedNormalizer)));

  // Calls with each rank's rows, those of the rank at vocabulary part 0 first; with all rows where all go to all.
  template <typename Work>
  void for_each_block(const ExchangePlan& plan, Work&& work) const {
    for (int block = 0; block < (plan.by_rows ? plan.parts : 1); ++block) {
      const RowRange rows = plan.by_rows ? block_of_rows(plan.rows, block, plan.parts) : RowRange{0, plan.rows};
      if (rows.size() > 0) work(block, rows);
    }
  }

  void exchange(const ExchangePlan& plan, std::size_t block_bytes, StreamRef stream) {
    const auto received = received_.at<std::byte>(0, static_cast<std::size_t>(plan.parts) * block_bytes);
    if (plan.by_rows) {
      devices_->vocab().all_to_all(send_.at<std::byte>(0, received.size()), received, stream);
    } else {
      devices_->vocab().all_gather(send_.at<std::byte>(0, block_bytes), received, stream);
    }
  }

  DeviceMesh* devices_;
  VocabShard shard_;
  DeviceMemory send_, received_;  // blocks: see PartialLayout
  DeviceMemory kernel_;           // what kernels work in
};

}  // namespace

Engine make_device_engine(Mesh& mesh, DeviceMesh& devices, std::int64_t vocab_size) {
  const VocabShard shard = vocab_shard(vocab_size, mesh.vocab_part(), mesh.shape().vocab);
  return make_engine(mesh, shard, std::make_unique<CudaBackend>(devices, shard));
}

}  // namespace klmesh
