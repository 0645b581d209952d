// Tokens go to C and back without loss, whatever the distance of the entries.
#include <gtest/gtest.h>

#include <cstring>

#include "capi/tokens.hpp"
#include "klmesh/error.hpp"

namespace klmesh::capi {
namespace {

/// Every byte of both tokens is different from its neighbours, so a field that is lost or exchanged shows.
std::vector<TokenStats> marked_tokens() {
  std::vector<TokenStats> tokens(2);
  double next = 1;
  for (TokenStats& token : tokens) {
    auto* values = reinterpret_cast<unsigned char*>(&token);
    for (std::size_t i = 0; i < 24; ++i, ++next) std::memcpy(values + 8 * i, &next, 8);
    token.flags = static_cast<std::uint32_t>(next++);
    token.invalid_column = static_cast<std::int32_t>(next++);
  }
  return tokens;
}

TEST(Tokens, round_trip_at_any_stride) {
  const auto tokens = marked_tokens();
  for (const std::size_t stride : {sizeof(klmesh_token), sizeof(klmesh_token) + 24}) {
    std::vector<std::byte> memory(2 * stride, std::byte{0xff});
    auto* c = reinterpret_cast<klmesh_token*>(memory.data());
    write_tokens(tokens, c, stride);
    std::vector<TokenStats> back;
    read_tokens(c, stride, 2, back);
    ASSERT_EQ(back.size(), 2u);
    EXPECT_EQ(std::memcmp(back.data(), tokens.data(), 2 * sizeof(TokenStats)), 0);
  }
}

TEST(Tokens, fields_keep_their_names) {
  TokenStats token;
  token.kl_forward = 2;
  token.jensen_shannon = 3;
  token.normalizer.lse_policy = 4;
  token.normalizer.kl_reverse = 5;
  klmesh_token c;
  write_tokens({token}, &c, sizeof c);
  EXPECT_EQ(c.kl_forward, 2);
  EXPECT_EQ(c.jensen_shannon, 3);
  EXPECT_EQ(c.lse_policy, 4);
  EXPECT_EQ(c.normalizer_kl_reverse, 5);
}

TEST(Tokens, impossible_arrays_are_refused) {
  klmesh_token c{};
  EXPECT_THROW(require_tokens(&c, 8, 1), InvalidArgument);
  EXPECT_THROW(require_tokens(&c, sizeof c, -1), InvalidArgument);
  EXPECT_THROW(require_tokens(nullptr, sizeof c, 1), InvalidArgument);
  EXPECT_NO_THROW(require_tokens(nullptr, sizeof c, 0));
}

}  // namespace
}  // namespace klmesh::capi
