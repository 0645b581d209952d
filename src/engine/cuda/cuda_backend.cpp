#include "engine/cuda/cuda_backend.hpp"

#include <algorithm>
#include <limits>
#include <memory>

#include "comm/nccl/capture.hpp"
#include "core/cuda/finish.hpp"
#include "core/cuda/gradient.hpp"
#include "core/cuda/kernels.hpp"
#include "core/cuda/second_stage.hpp"
#include "engine/cuda/batch_rows.hpp"
#include "engine/cuda/exchange_stream.hpp"
#include "engine/cuda/input_digest.hpp"
#include "engine/cuda/memory.hpp"
#include "engine/cuda/partial_layout.hpp"
#include "engine/cuda/share_rows.hpp"
#include "engine/cuda/step_sums.hpp"
#include "engine/cuda/workspace_use.hpp"
#include "klmesh/cuda.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

class CudaBackend final : public Backend {
 public:
  CudaBackend(DeviceMesh& devices, const VocabShard& shard, const ChunkLimits& limits)
      : devices_(&devices), shard_(shard), limits_(limits) {}
  ~CudaBackend() override {
    try {
      use_.finish(*devices_);
    } catch (const Error&) {  // a destructor has nobody to tell
    }
  }

  Memory memory() const noexcept override { return Memory::device; }

  void reserve(const ExchangePlan& plan) override {
    use_.reserve();
    grow(send_, PartialLayout::buffer_bytes(plan, sent_blocks(plan), limits_.most_chunks));
    if (plan.parts > 1) grow(received_, PartialLayout::buffer_bytes(plan, plan.parts, limits_.most_chunks));
    grow(kernel_, cuda::row_partials_workspace_bytes(plan.rows, shard_, plan.extended));
    if (chunks_of(plan).count > 1) exchange_stream_.reserve(limits_.most_chunks);
  }

  std::size_t workspace_bytes() const noexcept override { return send_.bytes() + received_.bytes() + kernel_.bytes(); }

  void abandon() noexcept override { devices_->abort(); }

  void begin_use(StreamRef stream) override { use_.begin(stream); }
  void end_use(StreamRef stream) override { use_.end(stream); }

  // One launch for each block of each chunk, into its place in what is sent.
  void row_partials(const Batch& batch, const ExchangePlan& plan, double renyi_alpha, StreamRef stream) override {
    const RowChunks chunks = chunks_of(plan);
    if (plan.parts > 1) cuda::digest_inputs(batch.inputs, plan, chunks, send_.span(), stream);
    for (int chunk = 0; chunk < chunks.count; ++chunk) {
      const PartialLayout layout(plan, chunks, chunk, sent_blocks(plan));
      for_each_block(plan, chunks, chunk, [&](int block, RowRange rows) {
        const Batch part = rows_of(batch, rows);
        const auto count = static_cast<std::size_t>(rows.size());
        const auto core = send_.at<RowPartial>(layout.core_at(block), count);
        const auto extended = send_.at<ExtendedPartial>(layout.extended_at(block), plan.extended ? count : 0);
        cuda::row_partials(part.policy, part.reference, shard_, part.inputs, core, extended, renyi_alpha, kernel_.span(),
                           stream);
      });
      mark(chunks, chunk, stream);
    }
  }

  void exchange_partials(const ExchangePlan& plan, StreamRef stream) override {
    exchange(plan, PartialLayout::row_bytes(plan), PartialLayout::kTrailerBytes, stream);
  }

  void finish(const RowInputs& inputs, const ExchangePlan& plan, const EvaluateOptions& options,
              std::span<TokenStats> tokens, StreamRef stream) override {
    const RowChunks chunks = chunks_of(plan);
    const double alpha = options.renyi_alpha.value_or(std::numeric_limits<double>::quiet_NaN());
    for (int chunk = 0; chunk < chunks.count; ++chunk) {
      const auto gathered = PartialLayout(plan, chunks, chunk, plan.parts)
                                .gathered(arrived(plan).data(), plan, options.quantities == QuantitySet::all);
      const RowRange rows = finished_rows(plan, chunks, chunk);
      cuda::finish(gathered, inputs, rows.begin, rows.end, alpha, tokens, stream);
    }
    if (plan.parts > 1) cuda::compare_digests(received_.span(), plan, chunks, tokens, stream);
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
    const RowChunks chunks = chunks_of(plan);
    for (int chunk = 0; chunk < chunks.count; ++chunk) {
      const ChunkPlace place(chunks, chunk, sent_blocks(plan), sizeof(SecondStagePartial), 0);
      for_each_block(plan, chunks, chunk, [&](int block, RowRange rows) {
        const Batch part = rows_of(batch, rows);
        const auto partials = send_.at<SecondStagePartial>(place.at(block), static_cast<std::size_t>(rows.size()));
        cuda::second_stage(part.policy, part.reference, shard_, part.inputs, rows_of(tokens, rows), partials, stream);
      });
      mark(chunks, chunk, stream);
    }
  }

  void exchange_second_stage(const ExchangePlan& plan, StreamRef stream) override {
    exchange(plan, sizeof(SecondStagePartial), 0, stream);
  }

  void finish_second_stage(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                           StreamRef stream) override {
    const RowChunks chunks = chunks_of(plan);
    for (int chunk = 0; chunk < chunks.count; ++chunk) {
      const ChunkPlace place(chunks, chunk, plan.parts, sizeof(SecondStagePartial), 0);
      const auto count = static_cast<std::size_t>(chunks.of_block(chunk).size() * plan.parts);
      const auto gathered = arrived(plan).at<SecondStagePartial>(place.begin, count);
      const RowRange rows = finished_rows(plan, chunks, chunk);
      cuda::finish_second_stage(gathered, plan.parts, inputs, rows.begin, rows.end, tokens, stream);
    }
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

  void require_reducible(DeviceStepSums& sums, StreamRef stream) override {
    static_cast<void>(CudaStepSums::of(sums));
    if (comm::is_capturing(stream)) throw InvalidArgument("reduce: the stream is being captured, and cannot be waited for");
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

  RowChunks chunks_of(const ExchangePlan& plan) const { return row_chunks(plan, shard_, limits_); }

  // An exchange of the call before may still be at work in the block, or never end.
  void grow(DeviceMemory& memory, std::size_t bytes) {
    if (memory.bytes() > 0 && memory.bytes() < bytes) use_.finish(*devices_);
    memory.reserve(bytes);
  }

  // Calls with a chunk's rows for each rank, those of the rank at vocabulary part 0 first; with all of the chunk where all
  // go to all.
  template <typename Work>
  static void for_each_block(const ExchangePlan& plan, const RowChunks& chunks, int chunk, Work&& work) {
    const RowRange of_block = chunks.of_block(chunk);
    for (int block = 0; block < sent_blocks(plan); ++block) {
      const std::int64_t first = block * plan.block;
      const RowRange rows{std::min(plan.rows, first + of_block.begin), std::min(plan.rows, first + of_block.end)};
      if (rows.size() > 0) work(block, rows);
    }
  }

  // The rows of a chunk that this rank finishes.
  static RowRange finished_rows(const ExchangePlan& plan, const RowChunks& chunks, int chunk) {
    const RowRange of_block = chunks.of_block(chunk);
    return {std::min(plan.finished.end, plan.finished.begin + of_block.begin),
            std::min(plan.finished.end, plan.finished.begin + of_block.end)};
  }

  // Of one part nothing travels.
  const DeviceMemory& arrived(const ExchangePlan& plan) const noexcept { return plan.parts > 1 ? received_ : send_; }

  void mark(const RowChunks& chunks, int chunk, StreamRef stream) {
    if (chunks.count > 1) exchange_stream_.mark(chunk, stream);
  }

  // Each chunk travels as soon as it is computed; what comes on `stream` has all of them.
  void exchange(const ExchangePlan& plan, std::size_t row_bytes, std::size_t trailer_bytes, StreamRef stream) {
    if (plan.parts == 1) return;
    const RowChunks chunks = chunks_of(plan);
    const bool beside = chunks.count > 1;
    for (int chunk = 0; chunk < chunks.count; ++chunk) {
      const ChunkPlace sent(chunks, chunk, sent_blocks(plan), row_bytes, trailer_bytes);
      const ChunkPlace received(chunks, chunk, plan.parts, row_bytes, trailer_bytes);
      exchange(plan, sent, received, beside ? exchange_stream_.from(chunk) : stream);
    }
    if (beside) exchange_stream_.join(stream);
  }

  void exchange(const ExchangePlan& plan, ChunkPlace sent, ChunkPlace received, StreamRef stream) {
    const auto to = received_.at<std::byte>(received.begin, static_cast<std::size_t>(plan.parts) * received.block_bytes);
    if (plan.by_rows) {
      devices_->vocab().all_to_all(send_.at<std::byte>(sent.begin, to.size()), to, stream);
    } else {
      devices_->vocab().all_gather(send_.at<std::byte>(sent.begin, sent.block_bytes), to, stream);
    }
  }

  DeviceMesh* devices_;
  VocabShard shard_;
  ChunkLimits limits_;
  DeviceMemory send_, received_;  // blocks: see PartialLayout
  DeviceMemory kernel_;           // what kernels work in
  ExchangeStream exchange_stream_;
  WorkspaceUse use_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(DeviceMesh& devices, const VocabShard& shard, const ChunkLimits& limits) {
  return std::make_unique<CudaBackend>(devices, shard, limits);
}

Engine make_device_engine(Mesh& mesh, DeviceMesh& devices, std::int64_t vocab_size) {
  const VocabShard shard = vocab_shard(vocab_size, mesh.vocab_part(), mesh.shape().vocab);
  return make_engine(mesh, shard, make_cuda_backend(devices, shard));
}

}  // namespace klmesh
