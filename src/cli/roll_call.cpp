#include "cli/roll_call.hpp"

#include <algorithm>

namespace klmesh::cli {
namespace {

constexpr int kTag = 1;
constexpr int kMostRanks = 1024;

}  // namespace

RollCall::RollCall(MPI_Comm group, int rank, int ranks, int word) noexcept : rank_(rank), word_(word) {
  if (ranks > kMostRanks) return;
  const auto count = static_cast<std::size_t>(ranks);
  words_.resize(count);
  peers_.resize(count, Peer::silent);
  receives_.resize(count, MPI_REQUEST_NULL);
  sends_.resize(count, MPI_REQUEST_NULL);
  works_ = true;
  for (int other = 0; other < ranks && works_; ++other) {
    const auto i = static_cast<std::size_t>(other);
    if (other == rank_) {
      peers_[i] = Peer::self;
      continue;
    }
    works_ = MPI_Irecv(&words_[i], 1, MPI_INT, other, kTag, group, &receives_[i]) == MPI_SUCCESS &&
             MPI_Isend(&word_, 1, MPI_INT, other, kTag, group, &sends_[i]) == MPI_SUCCESS;
  }
}

RollCall::~RollCall() {
  for (MPI_Request& request : receives_) {
    if (request == MPI_REQUEST_NULL) continue;
    // A failure leaves the request to MPI_Finalize, as it would be without this.
    if (MPI_Cancel(&request) == MPI_SUCCESS) static_cast<void>(MPI_Wait(&request, MPI_STATUS_IGNORE));
  }
  for (MPI_Request& request : sends_) {
    if (request != MPI_REQUEST_NULL) static_cast<void>(MPI_Request_free(&request));
  }
}

void RollCall::poll() noexcept {
  for (std::size_t i = 0; i < peers_.size() && works_; ++i) {
    if (peers_[i] != Peer::silent) continue;
    int arrived = 0;
    works_ = MPI_Test(&receives_[i], &arrived, MPI_STATUS_IGNORE) == MPI_SUCCESS;
    if (works_ && arrived != 0) peers_[i] = Peer::heard;
  }
}

bool RollCall::somebody_goes_before() const noexcept {
  for (std::size_t i = 0; i < peers_.size() && works_; ++i) {
    if (peers_[i] != Peer::heard) continue;
    if (words_[i] < word_ || (words_[i] == word_ && static_cast<int>(i) < rank_)) return true;
  }
  return false;
}

std::vector<int> RollCall::missing() const {
  std::vector<int> ranks;
  for (std::size_t i = 0; i < peers_.size() && works_; ++i) {
    if (peers_[i] == Peer::silent) ranks.push_back(static_cast<int>(i));
  }
  return ranks;
}

}  // namespace klmesh::cli
