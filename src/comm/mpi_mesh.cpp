// Meshes out of what the host has: one communicator to split, or a vocabulary and a batch group to combine.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/library_version.hpp"
#include "comm/mpi_check.hpp"
#include "comm/mpi_communicator.hpp"
#include "comm/product.hpp"
#include "comm/terms.hpp"
#include "klmesh/mpi.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {
namespace {

using comm::MpiCommunicator;

/// Duplicates, then refuses bad options on all ranks: a rank that left before would keep the others waiting.
std::unique_ptr<MpiCommunicator> borrow(MPI_Comm comm, const CommunicatorOptions& options) {
  const bool valid = options.deadline.count() > 0;  // false for NaN too
  auto borrowed = MpiCommunicator::duplicate(comm, valid ? options : CommunicatorOptions{});
  std::exception_ptr failure;
  if (!valid)
    failure = std::make_exception_ptr(InvalidArgument(
        fmt::format("the deadline of a communicator is {} s, not positive", options.deadline.count())));
  agree(*borrowed, "borrow_communicator", 0, failure);
  return borrowed;
}

void require_shape(MeshShape shape, int ranks) {
  if (shape.batch < 1 || shape.vocab < 1 || shape.vocab > kVocabSlices)
    throw InvalidArgument(fmt::format("mesh {}: parts must be positive, and at most {} of the vocabulary",
                                      to_string(shape), kVocabSlices));
  if (std::int64_t{shape.batch} * shape.vocab != ranks)
    throw InvalidArgument(fmt::format("mesh {} does not have {} ranks", to_string(shape), ranks));
}

/// One value of every rank of the group.
std::vector<std::uint64_t> gather(Communicator& group, std::uint64_t value) {
  std::vector<std::uint64_t> values(static_cast<std::size_t>(group.size()));
  group.all_gather(std::as_bytes(std::span(&value, 1)), std::as_writable_bytes(std::span(values)));
  return values;
}

bool same_everywhere(Communicator& group, std::uint64_t value) {
  const auto values = gather(group, value);
  return std::ranges::count(values, value) == std::ssize(values);
}

/// True if this rank sees nothing that speaks against a grid. Collective over both groups.
///
/// A row shares its batch part and number of batch parts, a column its vocabulary part and number of them.
/// That is not enough: columns could connect two pairs of rows crosswise. So all columns must also meet the
/// same rows.
bool looks_like_grid(Communicator& vocab, Communicator& batch, int world_rank) {
  bool good = vocab.size() <= kVocabSlices;
  good &= same_everywhere(vocab, Fingerprint().add(batch.rank()).add(batch.size()).value());
  good &= same_everywhere(batch, Fingerprint().add(vocab.rank()).add(vocab.size()).value());
  const std::uint64_t row = gather(vocab, static_cast<std::uint64_t>(world_rank)).front();
  Fingerprint rows;
  for (const std::uint64_t other : gather(batch, row)) rows.add(other);
  good &= same_everywhere(vocab, rows.value());
  return good;
}

/// What this rank's row and column say of their versions. Collective over both groups.
std::exception_ptr version_difference(Communicator& vocab, Communicator& batch) {
  const auto along = [](Communicator& group) {
    return failure_of([&] { agree_on(group, {library_version_term()}); });
  };
  const std::exception_ptr in_row = along(vocab), in_column = along(batch);
  return in_row ? in_row : in_column;
}

/// Carries a failure along rows and columns, so that the ranks of a group that is no grid all throw.
void agree_both_ways(Communicator& vocab, Communicator& batch, std::exception_ptr failure) {
  // Twice: once along a row and a column reaches all of a grid, but this may be none.
  for (int round = 0; round < 2; ++round) {
    for (Communicator* group : {&vocab, &batch}) {
      try {
        agree(*group, "borrow_mesh", 0, failure);
      } catch (const InvalidArgument&) {
        failure = std::current_exception();
      } catch (const InvalidData&) {
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::unique_ptr<Communicator> borrow_communicator(MPI_Comm comm, const CommunicatorOptions& options) {
  return borrow(comm, options);
}

Mesh borrow_mesh(MPI_Comm world, MeshShape shape, const CommunicatorOptions& options) {
  auto all = borrow(world, options);
  std::exception_ptr failure;
  try {
    require_shape(shape, all->size());
  } catch (const InvalidArgument&) {
    failure = std::current_exception();
  }
  agree_on(*all, {library_version_term(), {"mesh", to_string(shape)}}, failure);
  const int batch_part = all->rank() / shape.vocab;
  const int vocab_part = all->rank() % shape.vocab;
  auto vocab = all->split(batch_part, vocab_part);
  auto batch = all->split(vocab_part, batch_part);
  return {std::move(all), std::move(vocab), std::move(batch)};
}

Mesh borrow_mesh(MPI_Comm vocab, MPI_Comm batch, const CommunicatorOptions& options) {
  auto row = borrow(vocab, options);
  auto column = borrow(batch, options);
  int world_rank = 0;
  comm::check(MPI_Comm_rank(MPI_COMM_WORLD, &world_rank), "MPI_Comm_rank");
  std::exception_ptr failure = version_difference(*row, *column);
  const bool grid = looks_like_grid(*row, *column, world_rank);
  if (!failure && !grid)
    failure = std::make_exception_ptr(
        InvalidArgument(fmt::format("rank {} of MPI_COMM_WORLD: the vocabulary group ({} ranks, at most {}) "
                                    "and the batch group ({} ranks) are "
                                    "not a row and a column of one grid",
                                    world_rank, row->size(), kVocabSlices, column->size())));
  agree_both_ways(*row, *column, failure);
  auto all = std::make_unique<comm::ProductCommunicator>(*row, *column);
  return {std::move(all), std::move(row), std::move(column)};
}

}  // namespace klmesh
