#include "io/sha256.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <array>
#include <source_location>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

void check(int result, std::string_view call, std::source_location where = std::source_location::current()) {
  if (result == 1) return;
  const std::string_view file = where.file_name();
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  throw Error(fmt::format("{} failed: {} ({}:{})", call, reason.data(), file.substr(file.find_last_of('/') + 1),
                          where.line()));
}

}  // namespace

std::string sha256_hex(std::span<const std::byte> data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  check(EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr), "EVP_Digest");
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string sha256_hex(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

}  // namespace klmesh::io
