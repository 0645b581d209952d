#include "engine/cuda/step_sums.hpp"

#include "klmesh/error.hpp"

namespace klmesh {
namespace {

// The parts of a block of words, one after the other; all are multiples of 8 bytes.
struct Offsets {
  std::size_t maxima, invalid, end;

  explicit Offsets(const SumLayout& layout)
      : maxima(layout.sum_words() * sizeof(std::int64_t)),
        invalid(maxima + layout.max_words() * sizeof(std::uint64_t)),
        end(invalid + sizeof(cuda::InvalidRecord)) {}
};

cuda::DeviceSums view(const SumLayout& layout, const DeviceMemory& memory) {
  const Offsets offsets(layout);
  return {layout, memory.at<std::int64_t>(0, layout.sum_words()),
          memory.at<std::uint64_t>(offsets.maxima, layout.max_words()),
          memory.at<cuda::InvalidRecord>(offsets.invalid, 1).data()};
}

}  // namespace

CudaStepSums::CudaStepSums(std::int64_t sequences, QuantitySet quantities)
    : layout_{sequences, quantities == QuantitySet::all ? kQuantities : kCoreQuantities} {
  const std::size_t bytes = Offsets(layout_).end;
  words_.reserve(bytes);
  scratch_.reserve(bytes);
  host_.reserve(bytes);
}

CudaStepSums& CudaStepSums::of(DeviceStepSums& sums) {
  auto* const mine = dynamic_cast<CudaStepSums*>(&sums.storage());
  if (mine == nullptr) throw InvalidArgument("the sums belong to another back end");
  return *mine;
}

void CudaStepSums::clear(StreamRef stream) { cuda::clear(view(layout_, words_), stream); }

void CudaStepSums::accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows,
                              StreamRef stream) {
  cuda::accumulate(tokens, inputs, rows.begin, rows.end, view(layout_, words_), stream);
}

ReducedWords CudaStepSums::reduce(DeviceMesh& devices, StreamRef stream) {
  const Offsets offsets(layout_);
  // In place, so that what may come before the next carry is counted from here.
  cuda::carry(view(layout_, words_), stream);
  cuda::check(cudaMemcpyAsync(scratch_.data(), words_.data(), offsets.end, cudaMemcpyDeviceToDevice,
                              cuda::native(stream)),
              "cudaMemcpyAsync");
  const cuda::DeviceSums total = view(layout_, scratch_);
  devices.world().all_reduce(total.sums, total.maxima, stream);
  cuda::check(cudaMemcpyAsync(host_.data(), scratch_.data(), offsets.end, cudaMemcpyDeviceToHost, cuda::native(stream)),
              "cudaMemcpyAsync");
  devices.wait(stream);

  const auto sums = host_.at<std::int64_t>(0, layout_.sum_words());
  const auto maxima = host_.at<std::uint64_t>(offsets.maxima, layout_.max_words());
  return {{sums.begin(), sums.end()}, {maxima.begin(), maxima.end()},
          host_.at<cuda::InvalidRecord>(offsets.invalid, 1).front().first};
}

}  // namespace klmesh
