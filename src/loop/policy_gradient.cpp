#include "loop/policy_gradient.hpp"

#include <string_view>
#include <vector>

#include "loop/exact_gradient.hpp"

namespace klmesh::loop {

PolicyGradient::PolicyGradient(TensorOps& ops, const PolicyLayout& layout)
    : ops_(&ops), layout_(layout), words_(ops, "gradient", layout.size() + kBounds) {}

FixedPointTensor PolicyGradient::tensor(PolicyTensor tensor) noexcept {
  return {words_.span().data() + layout_.begin(tensor), layout_.end(tensor) - layout_.begin(tensor),
          &bounds()[static_cast<std::size_t>(tensor)]};
}

std::span<const std::int64_t> PolicyGradient::words(PolicyTensor tensor) const noexcept {
  return words().subspan(static_cast<std::size_t>(layout_.begin(tensor)),
                         static_cast<std::size_t>(layout_.end(tensor) - layout_.begin(tensor)));
}

void PolicyGradient::reduce() {
  ops_->all_reduce(TensorOps::Group::batch, words_.span(), {});
  ops_->agree_on_validity(bounds());
}

void PolicyGradient::check() const {
  std::vector<std::int64_t> bounds(kBounds);
  ops_->download(CopyReason::step_report, std::as_bytes(words_.span().last(kBounds)),
                 std::as_writable_bytes(std::span(bounds)));
  for (int t = 0; t < kBounds; ++t) {
    if (is_valid_bound(bounds[static_cast<std::size_t>(t)])) continue;
    throw_invalid_gradient(t < kPolicyTensors ? name(static_cast<PolicyTensor>(t)) : "hidden activations");
  }
}

}  // namespace klmesh::loop
