// by_rows on the device: what the rank that finished a row tells the others, packed and unpacked by kernels.
#pragma once

#include <cstdint>
#include <span>

#include "engine/exchange_plan.hpp"
#include "engine/shared_normalizer.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::cuda {

/// packed[i] of finished row i. @param packed (plan.block); rows beyond the finished ones are left alone
void pack_normalizers(std::span<const TokenStats> tokens, const ExchangePlan& plan, std::span<SharedNormalizer> packed,
                      StreamRef stream);
/// Tokens of all rows but the finished ones. @param all (parts * block) in the order of rows
void unpack_normalizers(std::span<const SharedNormalizer> all, const RowInputs& inputs, const ExchangePlan& plan,
                        std::span<TokenStats> tokens, StreamRef stream);

/// The same for normalizer.kl_policy_mixture.
void pack_mixtures(std::span<const TokenStats> tokens, const ExchangePlan& plan, std::span<double> packed,
                   StreamRef stream);
void unpack_mixtures(std::span<const double> all, const RowInputs& inputs, const ExchangePlan& plan,
                     std::span<TokenStats> tokens, StreamRef stream);

}  // namespace klmesh::cuda
