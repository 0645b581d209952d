#include "eval/sequence_ids.hpp"

#include <algorithm>
#include <vector>

namespace klmesh::eval {
namespace {

void keep_distinct(std::vector<std::int64_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

std::int64_t make_dense(std::span<std::int64_t> ids, Communicator& batch) {
  std::vector<std::int64_t> distinct(ids.begin(), ids.end());
  keep_distinct(distinct);

  // Ranks send equal amounts: the longest list, and how much of it counts.
  std::vector<std::uint64_t> longest{distinct.size()};
  batch.all_reduce({}, longest);
  std::vector<std::int64_t> mine(longest[0] + 1);
  std::copy(distinct.begin(), distinct.end(), mine.begin());
  mine.back() = static_cast<std::int64_t>(distinct.size());
  std::vector<std::int64_t> gathered(mine.size() * static_cast<std::size_t>(batch.size()));
  batch.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(gathered)));

  std::vector<std::int64_t> all;
  for (std::size_t begin = 0; begin < gathered.size(); begin += mine.size()) {
    const auto count = gathered[begin + mine.size() - 1];
    const auto first = gathered.begin() + static_cast<std::ptrdiff_t>(begin);
    all.insert(all.end(), first, first + static_cast<std::ptrdiff_t>(count));
  }
  keep_distinct(all);
  for (std::int64_t& id : ids) id = std::lower_bound(all.begin(), all.end(), id) - all.begin();
  return static_cast<std::int64_t>(all.size());
}

}  // namespace klmesh::eval
