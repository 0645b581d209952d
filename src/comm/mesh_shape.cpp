// Shapes of a mesh: text, and the default for a machine.
#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <numeric>
#include <optional>

#include "klmesh/error.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {
namespace {

std::optional<int> positive_decimal(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

}  // namespace

MeshShape parse_mesh_shape(std::string_view text) {
  const auto cross = text.find('x');
  const auto batch = positive_decimal(text.substr(0, cross));
  const auto vocab =
      cross == std::string_view::npos ? std::nullopt : positive_decimal(text.substr(cross + 1));
  if (!batch || !vocab)
    throw InvalidArgument(fmt::format(
        "mesh \"{}\": expected BxV, batch parts x vocabulary parts, two positive numbers such as 2x4", text));
  if (*vocab > kVocabSlices)
    throw InvalidArgument(fmt::format("mesh \"{}\": at most {} vocabulary parts", text, kVocabSlices));
  if (*batch > std::numeric_limits<int>::max() / *vocab)
    throw InvalidArgument(fmt::format("mesh \"{}\": more ranks than there can be", text));
  return {*batch, *vocab};
}

std::string to_string(MeshShape shape) { return fmt::format("{}x{}", shape.batch, shape.vocab); }

MeshShape default_mesh_shape(int ranks, int ranks_per_node) {
  if (ranks < 1 || ranks_per_node < 1)
    throw InvalidArgument(fmt::format("default mesh: {} ranks, {} on a node", ranks, ranks_per_node));
  const int divisible = std::gcd(ranks, ranks_per_node);
  int vocab = 1;
  while (vocab < kVocabSlices && divisible % (2 * vocab) == 0) vocab *= 2;
  return {ranks / vocab, vocab};
}

}  // namespace klmesh
