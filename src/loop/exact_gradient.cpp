#include "loop/exact_gradient.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "klmesh/error.hpp"
#include "loop/host/fixed_point_sums.hpp"

namespace klmesh::loop {

ExactGradient::ExactGradient(std::vector<TensorSize> tensors) : tensors_(std::move(tensors)) {
  std::int64_t total = 0;
  for (const TensorSize& tensor : tensors_) {
    if (tensor.size < 0) throw InvalidArgument(fmt::format("tensor {} has a negative size", tensor.name));
    offsets_.push_back(total);
    total += tensor.size;
  }
  words_.assign(static_cast<std::size_t>(total) + tensors_.size(), 0);
}

void ExactGradient::clear() noexcept { std::fill(words_.begin(), words_.end(), 0); }

void ExactGradient::add(int tensor, std::int64_t offset, std::span<const float> values) {
  loop::add(view(tensor), offset, values);
}

void ExactGradient::add(int tensor, std::int64_t offset, double value) { loop::add(view(tensor), offset, value); }

void ExactGradient::invalidate(int tensor) noexcept { bound(tensor) = kBoundSaturated; }

bool ExactGradient::valid(int tensor) const noexcept { return is_valid_bound(bound(tensor)); }

FixedPointTensor ExactGradient::view(int tensor) noexcept {
  return {words_.data() + offsets_[tensor], tensors_[tensor].size, &bound(tensor)};
}

void ExactGradient::all_reduce(Communicator& group) {
  group.all_reduce(words_, {});
  for (int t = 0; t < tensors(); ++t) bound(t) = saturated_bound(bound(t));
}

void throw_invalid_gradient(std::string_view tensor) {
  throw InvalidData(fmt::format("gradient of {}: NaN, a value of magnitude {} or more, or a sum that may exceed {}", tensor,
                                kFixedPointValueLimit, kFixedPointSumLimit));
}

void ExactGradient::check() const {
  for (int t = 0; t < tensors(); ++t) {
    if (!valid(t)) throw_invalid_gradient(tensors_[t].name);
  }
}

std::span<const std::int64_t> ExactGradient::words(int tensor) const {
  return std::span(words_).subspan(offsets_[tensor], tensors_[tensor].size);
}

void ExactGradient::read(int tensor, std::span<float> values) const {
  if (static_cast<std::int64_t>(values.size()) != tensors_[tensor].size) {
    throw InvalidArgument(fmt::format("read: {} has {} elements, not {}", tensors_[tensor].name,
                                      tensors_[tensor].size, values.size()));
  }
  loop::read(words(tensor), values);
}

double ExactGradient::read(int tensor, std::int64_t offset) const {
  return static_cast<double>(words(tensor)[offset]) * 0x1p-50;
}

}  // namespace klmesh::loop
