#include "loop/gather.hpp"

#include <bit>
#include <vector>

namespace klmesh::loop {

void gather_owned(std::span<double> values, Communicator& group) {
  std::vector<std::int64_t> bits;
  bits.reserve(values.size());
  for (const double v : values) bits.push_back(std::bit_cast<std::int64_t>(v));
  gather_owned(bits, group);
  for (std::size_t i = 0; i < bits.size(); ++i) values[i] = std::bit_cast<double>(bits[i]);
}

void gather_owned(std::span<std::int64_t> values, Communicator& group) { group.all_reduce(values, {}); }

}  // namespace klmesh::loop
