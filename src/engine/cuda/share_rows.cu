#include "engine/cuda/share_rows.hpp"

#include "core/cuda/cuda_check.hpp"

namespace klmesh::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(std::int64_t rows) { return static_cast<unsigned>((rows + kThreads - 1) / kThreads); }

struct Normalizers {
  using Value = SharedNormalizer;
  __device__ static Value give(const TokenStats& token) { return shared_normalizer(token); }
  __device__ static void take(const Value& value, bool counts, TokenStats& token) {
    token = counts ? token_of(value) : TokenStats{};
  }
};

struct Mixtures {
  using Value = double;
  __device__ static Value give(const TokenStats& token) { return token.normalizer.kl_policy_mixture; }
  __device__ static void take(Value value, bool counts, TokenStats& token) {
    if (counts) token.normalizer.kl_policy_mixture = value;
  }
};

// A thread a finished row.
template <typename What>
__global__ void pack_kernel(const TokenStats* tokens, RowRange finished, typename What::Value* packed) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < finished.end - finished.begin) packed[i] = What::give(tokens[finished.begin + i]);
}

// A thread a row. @param mask (rows) or null
template <typename What>
__global__ void unpack_kernel(const typename What::Value* all, const std::uint8_t* mask, RowRange finished,
                              std::int64_t rows, TokenStats* tokens) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= rows || (row >= finished.begin && row < finished.end)) return;
  What::take(all[row], mask == nullptr || mask[row] != 0, tokens[row]);
}

template <typename What>
void pack(std::span<const TokenStats> tokens, const ExchangePlan& plan, std::span<typename What::Value> packed,
          StreamRef stream) {
  if (plan.finished.size() == 0) return;
  pack_kernel<What><<<blocks_for(plan.finished.size()), kThreads, 0, native(stream)>>>(tokens.data(), plan.finished,
                                                                                       packed.data());
  check_launch("pack_kernel");
}

template <typename What>
void unpack(std::span<const typename What::Value> all, const RowInputs& inputs, const ExchangePlan& plan,
            std::span<TokenStats> tokens, StreamRef stream) {
  if (plan.rows == 0) return;
  const std::uint8_t* const mask = inputs.mask.empty() ? nullptr : inputs.mask.data();
  unpack_kernel<What><<<blocks_for(plan.rows), kThreads, 0, native(stream)>>>(all.data(), mask, plan.finished,
                                                                              plan.rows, tokens.data());
  check_launch("unpack_kernel");
}

}  // namespace

void pack_normalizers(std::span<const TokenStats> tokens, const ExchangePlan& plan, std::span<SharedNormalizer> packed,
                      StreamRef stream) {
  pack<Normalizers>(tokens, plan, packed, stream);
}

void unpack_normalizers(std::span<const SharedNormalizer> all, const RowInputs& inputs, const ExchangePlan& plan,
                        std::span<TokenStats> tokens, StreamRef stream) {
  unpack<Normalizers>(all, inputs, plan, tokens, stream);
}

void pack_mixtures(std::span<const TokenStats> tokens, const ExchangePlan& plan, std::span<double> packed,
                   StreamRef stream) {
  pack<Mixtures>(tokens, plan, packed, stream);
}

void unpack_mixtures(std::span<const double> all, const RowInputs& inputs, const ExchangePlan& plan,
                     std::span<TokenStats> tokens, StreamRef stream) {
  unpack<Mixtures>(all, inputs, plan, tokens, stream);
}

}  // namespace klmesh::cuda
