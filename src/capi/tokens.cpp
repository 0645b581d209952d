#include "capi/tokens.hpp"

#include "capi/versioned.hpp"

namespace klmesh::capi {
namespace {

// The one list of what corresponds to what; `copy` decides the direction.
template <typename Token, typename Stats, typename Copy>
void for_each_field(Token& token, Stats& stats, Copy copy) {
  copy(token.kl_reverse, stats.kl_reverse);
  copy(token.kl_forward, stats.kl_forward);
  copy(token.entropy_policy, stats.entropy_policy);
  copy(token.entropy_reference, stats.entropy_reference);
  copy(token.cross_entropy_policy_reference, stats.cross_entropy_policy_reference);
  copy(token.cross_entropy_reference_policy, stats.cross_entropy_reference_policy);
  copy(token.logp_policy, stats.logp_policy);
  copy(token.logp_reference, stats.logp_reference);
  copy(token.k1, stats.k1);
  copy(token.k2, stats.k2);
  copy(token.k3, stats.k3);
  copy(token.chi_square, stats.chi_square);
  copy(token.chi_square_reference_policy, stats.chi_square_reference_policy);
  copy(token.hellinger, stats.hellinger);
  copy(token.total_variation, stats.total_variation);
  copy(token.same_top, stats.same_top);
  copy(token.jensen_shannon, stats.jensen_shannon);
  copy(token.renyi, stats.renyi);
  copy(token.lse_reference, stats.lse_reference);
  copy(token.lse_policy, stats.normalizer.lse_policy);
  copy(token.lse_difference, stats.normalizer.lse_difference);
  copy(token.normalizer_kl_reverse, stats.normalizer.kl_reverse);
  copy(token.normalizer_entropy_policy, stats.normalizer.entropy_policy);
  copy(token.normalizer_kl_mixture, stats.normalizer.kl_policy_mixture);
  copy(token.flags, stats.flags);
  copy(token.invalid_column, stats.invalid_column);
}
// A field more in either struct needs a line above.
static_assert(sizeof(klmesh_token) == 24 * sizeof(double) + 8);
static_assert(sizeof(TokenStats) == sizeof(klmesh_token));

constexpr bool same(int c, std::uint32_t flag) { return static_cast<std::uint32_t>(c) == flag; }
static_assert(same(KLMESH_POLICY_HAS_MASS, kPolicyHasMass) && same(KLMESH_REFERENCE_HAS_MASS, kReferenceHasMass));
static_assert(same(KLMESH_KL_REVERSE_INFINITE, kKlReverseInfinite));
static_assert(same(KLMESH_KL_FORWARD_INFINITE, kKlForwardInfinite));
static_assert(same(KLMESH_INVALID_POLICY, kInvalidPolicy) && same(KLMESH_INVALID_REFERENCE, kInvalidReference));
static_assert(same(KLMESH_HAS_TARGET, kHasTarget) && same(KLMESH_TARGET_OUT_OF_RANGE, kTargetOutOfRange));

}  // namespace

void require_tokens(const klmesh_token* tokens, std::size_t token_size, std::int64_t count) {
  require_size<klmesh_token>(token_size, "an entry of tokens (token_size)");
  if (count < 0) throw InvalidArgument("tokens has " + std::to_string(count) + " entries");
  if (count > 0) require(tokens, "tokens");
}

void read_tokens(const klmesh_token* tokens, std::size_t token_size, std::int64_t count,
                 std::vector<TokenStats>& into) {
  require_tokens(tokens, token_size, count);
  into.resize(static_cast<std::size_t>(count));
  const auto* bytes = reinterpret_cast<const std::byte*>(tokens);
  for (TokenStats& stats : into) {
    const auto token = read_sized<klmesh_token>(bytes, token_size, "an entry of tokens");
    for_each_field(token, stats, [](const auto& c, auto& engine) { engine = c; });
    bytes += token_size;
  }
}

void write_tokens(const std::vector<TokenStats>& from, klmesh_token* tokens, std::size_t token_size) {
  auto* bytes = reinterpret_cast<std::byte*>(tokens);
  for (const TokenStats& stats : from) {
    klmesh_token token{};
    for_each_field(token, stats, [](auto& c, const auto& engine) { c = engine; });
    write_sized(token, bytes, token_size);
    bytes += token_size;
  }
}

}  // namespace klmesh::capi
