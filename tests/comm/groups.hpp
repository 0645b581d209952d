// One group of ranks of every kind, made of MPI_COMM_WORLD.
#pragma once

#include <gtest/gtest.h>
#include <mpi.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "klmesh/error.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::testing_support {

inline int world_rank() {
  int rank = 0;
  EXPECT_EQ(MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_SUCCESS);
  return rank;
}

inline int world_size() {
  int size = 0;
  EXPECT_EQ(MPI_Comm_size(MPI_COMM_WORLD, &size), MPI_SUCCESS);
  return size;
}

inline void world_barrier() { EXPECT_EQ(MPI_Barrier(MPI_COMM_WORLD), MPI_SUCCESS); }

/// An MPI communicator of the host, as a trainer has it.
class HostGroup {
 public:
  HostGroup(int color, int key) {
    EXPECT_EQ(MPI_Comm_split(MPI_COMM_WORLD, color, key, &comm_), MPI_SUCCESS);
  }
  ~HostGroup() { EXPECT_EQ(MPI_Comm_free(&comm_), MPI_SUCCESS); }
  HostGroup(const HostGroup&) = delete;
  HostGroup& operator=(const HostGroup&) = delete;
  MPI_Comm get() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

/// borrow_mesh(vocab, batch) over the ranks of the world, vocabulary fastest.
inline Mesh borrow_groups(MeshShape shape, const CommunicatorOptions& options = {}) {
  const HostGroup vocab(world_rank() / shape.vocab, world_rank());
  const HostGroup batch(world_rank() % shape.vocab, world_rank());
  return borrow_mesh(vocab.get(), batch.get(), options);
}

/// Groups by color[rank], ordered by rank: refused on every rank.
inline void expect_no_grid(const std::vector<int>& vocab_color, const std::vector<int>& batch_color) {
  const auto rank = static_cast<std::size_t>(world_rank());
  const HostGroup vocab(vocab_color[rank], world_rank());
  const HostGroup batch(batch_color[rank], world_rank());
  EXPECT_THROW(borrow_mesh(vocab.get(), batch.get()), InvalidArgument);
}

/// A communicator, and what keeps it alive.
class Group {
 public:
  explicit Group(std::unique_ptr<Communicator> communicator) : communicator_(std::move(communicator)) {}
  explicit Group(Mesh mesh) : mesh_(std::move(mesh)) {}
  Communicator& get() { return communicator_ ? *communicator_ : mesh_->world(); }

 private:
  std::unique_ptr<Communicator> communicator_;
  std::optional<Mesh> mesh_;
};

inline constexpr const char* kGroupKinds[] = {"self",        "mpi",         "mesh_world",
                                              "product_1xN", "product_Nx1", "product_2xN"};

/// Collective over MPI_COMM_WORLD. Nothing if this kind does not exist for this number of ranks.
inline std::optional<Group> make_group(const std::string& kind, const CommunicatorOptions& options = {}) {
  const int ranks = world_size();
  if (kind == "self") return Group(make_self_communicator());
  if (kind == "mpi") return Group(borrow_communicator(MPI_COMM_WORLD, options));
  if (kind == "mesh_world") return Group(borrow_mesh(MPI_COMM_WORLD, {ranks, 1}, options));
  if (kind == "product_1xN") return Group(borrow_groups({1, ranks}, options));
  if (kind == "product_Nx1") return Group(borrow_groups({ranks, 1}, options));
  if (ranks % 2 != 0) return std::nullopt;
  return Group(borrow_groups({2, ranks / 2}, options));
}

}  // namespace klmesh::testing_support
