// A directory that all ranks of the world share, made and removed by rank 0.
#pragma once

#include <mpi.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "loop/text_directory.hpp"

namespace klmesh::loop {

/// Collective over MPI_COMM_WORLD, its end included.
class SharedDirectory {
 public:
  SharedDirectory() {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    std::array<char, 4096> name{};
    if (rank == 0) {
      own_.emplace();
      std::strncpy(name.data(), own_->path().c_str(), name.size() - 1);
    }
    MPI_Bcast(name.data(), static_cast<int>(name.size()), MPI_CHAR, 0, MPI_COMM_WORLD);
    path_ = name.data();
  }
  SharedDirectory(const SharedDirectory&) = delete;
  SharedDirectory& operator=(const SharedDirectory&) = delete;
  ~SharedDirectory() { MPI_Barrier(MPI_COMM_WORLD); }

  const std::string& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return std::filesystem::path(path_) / name; }

 private:
  std::optional<TextDirectory> own_;
  std::string path_;
};

}  // namespace klmesh::loop
