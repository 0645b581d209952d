// The mesh: three communicators that fit together.
#include "klmesh/mesh.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh {

Mesh Mesh::self() { return {make_self_communicator(), make_self_communicator(), make_self_communicator()}; }

Mesh::Mesh(std::unique_ptr<Communicator> world, std::unique_ptr<Communicator> vocab,
           std::unique_ptr<Communicator> batch)
    : world_(std::move(world)), vocab_(std::move(vocab)), batch_(std::move(batch)) {
  if (!world_ || !vocab_ || !batch_) throw InvalidArgument("mesh: a communicator is null");
  const std::int64_t ranks = std::int64_t{batch_->size()} * vocab_->size();
  const std::int64_t rank = std::int64_t{batch_->rank()} * vocab_->size() + vocab_->rank();
  if (world_->size() != ranks)
    throw InvalidArgument(
        fmt::format("mesh: {} batch parts x {} vocabulary parts are not the world's {} ranks", batch_->size(),
                    vocab_->size(), world_->size()));
  if (world_->rank() != rank)
    throw InvalidArgument(
        fmt::format("mesh: batch part {} and vocabulary part {} belong to rank {}, but this is rank {}",
                    batch_->rank(), vocab_->rank(), rank, world_->rank()));
}

}  // namespace klmesh
