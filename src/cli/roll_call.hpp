// Ranks that have failed tell each other so, and thereby find out who is missing.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

namespace klmesh::cli {

/// Messages of one number between every two ranks that take part. Nobody waits.
///
/// Point-to-point, since a collective that somebody does not join tells nothing. Left out in jobs of more than 1,024
/// ranks: the messages are ranks squared.
class RollCall {
 public:
  /// Sends `word` to all others, and begins to listen. Errors make a roll call in which nobody is heard.
  RollCall(MPI_Comm group, int rank, int ranks, int word) noexcept;

  /// Cancels what has not arrived.
  ~RollCall();
  RollCall(const RollCall&) = delete;
  RollCall& operator=(const RollCall&) = delete;

  void poll() noexcept;

  /// Whether a rank that was heard has a smaller (word, rank) than this one.
  bool somebody_goes_before() const noexcept;

  /// Ranks that were not heard; none if nothing is known of them.
  std::vector<int> missing() const;

 private:
  enum class Peer : std::uint8_t { self, silent, heard };

  int rank_;
  int word_;
  bool works_ = false;
  std::vector<int> words_;  // (ranks)
  std::vector<Peer> peers_;  // (ranks)
  std::vector<MPI_Request> receives_, sends_;
};

}  // namespace klmesh::cli
