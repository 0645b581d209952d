#include "comm/mpi_communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "comm/checks.hpp"
#include "comm/mpi_check.hpp"
#include "comm/mpi_wait.hpp"

namespace klmesh::comm {
namespace {

// Large enough that the start of a collective is noise, small enough to stay in a cache.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
constexpr std::size_t kLeastGatherPieceBytes = std::size_t{64} << 10;

std::size_t gather_piece_bytes(int ranks) {
  return std::max(kLeastGatherPieceBytes, kPieceBytes / static_cast<std::size_t>(ranks));
}

// std::memcpy may not be given the null pointer of an empty span.
void copy_bytes(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

template <typename T>
std::span<T> piece_of(std::span<T> all, std::size_t begin, std::size_t count) {
  begin = std::min(begin, all.size());
  return all.subspan(begin, std::min(count, all.size() - begin));
}

void require_running_mpi() {
  int initialised = 0;
  int finalised = 0;
  check(MPI_Initialized(&initialised), "MPI_Initialized");
  check(MPI_Finalized(&finalised), "MPI_Finalized");
  if (!initialised || finalised)
    throw InvalidArgument("borrow_communicator: MPI is not initialised, or already finalised");
}

int world_rank() {
  int rank = 0;
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  return rank;
}

}  // namespace

/// From its construction on, the communicator is unusable, until succeeded(): an operation that is left by an exception
/// never gets there.
class MpiCommunicator::Operation {
 public:
  Operation(MpiCommunicator& communicator, const char* name)
      : communicator_(begun(communicator, name)), scope_(communicator.options_.log, name, communicator.sequence_) {}
  void succeeded() noexcept { communicator_.usable_ = true; }

 private:
  static MpiCommunicator& begun(MpiCommunicator& c, const char* name) {
    if (!c.usable_)
      throw CommunicationError(
          fmt::format("rank {} of MPI_COMM_WORLD: {}: an earlier operation of this group failed: "
                      "{} number {}",
                      world_rank(), name, c.operation_, c.sequence_));
    c.usable_ = false;
    c.operation_ = name;
    ++c.sequence_;
    return c;
  }

  MpiCommunicator& communicator_;
  OperationLog::Scope scope_;
};

std::unique_ptr<MpiCommunicator> MpiCommunicator::duplicate(MPI_Comm comm,
                                                            const CommunicatorOptions& options) {
  require_running_mpi();
  if (comm == MPI_COMM_NULL) throw InvalidArgument("borrow_communicator: the communicator is MPI_COMM_NULL");
  int inter = 0;
  check(MPI_Comm_test_inter(comm, &inter), "MPI_Comm_test_inter");
  if (inter) throw InvalidArgument("borrow_communicator: the communicator is an intercommunicator");

  // MPI may write the new handle after a deadline has unwound this frame, so its place is not on the stack.
  const OperationLog::Scope operation(options.log, "MPI_Comm_idup");
  auto handle = std::make_unique<MPI_Comm>(MPI_COMM_NULL);
  std::array<MPI_Request, 1> request{};
  check(MPI_Comm_idup(comm, handle.get(), request.data()), "MPI_Comm_idup");
  if (const auto waited = wait_until(request, options.deadline)) {
    static_cast<void>(handle.release());
    throw DeadlineExceeded(fmt::format(
        "rank {} of MPI_COMM_WORLD: the duplication of a communicator was not complete after {:.1f} s",
        world_rank(), waited->count()));
  }
  check(MPI_Comm_set_errhandler(*handle, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return std::make_unique<MpiCommunicator>(*handle, options);
}

MpiCommunicator::MpiCommunicator(MPI_Comm comm, const CommunicatorOptions& options)
    : comm_(comm), options_(options) {
  check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

MpiCommunicator::~MpiCommunicator() {
  if (!usable_) {
    // The memory of requests that may never end: leaked on purpose.
    static_cast<void>(new std::vector<std::byte>(std::move(stage_)));
    return;
  }
  int finalised = 0;
  if (MPI_Finalized(&finalised) != MPI_SUCCESS || finalised) return;
  static_cast<void>(MPI_Comm_free(&comm_));  // a destructor has nobody to tell
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::split(int color, int key) {
  // MPI_Comm_split blocks for ever if somebody is missing; the barrier has a deadline, and the log a watchdog.
  barrier();
  const OperationLog::Scope operation(options_.log, "MPI_Comm_split", sequence_);
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(comm_, color, key, &part), "MPI_Comm_split");
  check(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return std::make_unique<MpiCommunicator>(part, options_);
}

void MpiCommunicator::all_gather(std::span<const std::byte> send, std::span<std::byte> receive) {
  require_gather_sizes(send.size(), receive.size(), size_);
  Operation operation(*this, "all_gather");
  const std::size_t ranks = static_cast<std::size_t>(size_);
  const std::size_t piece_bytes = gather_piece_bytes(size_);
  for (std::size_t offset = 0; offset < send.size(); offset += piece_bytes) {
    const auto piece = piece_of(send, offset, piece_bytes);
    std::byte* const gathered = stage(ranks * piece.size());  // (ranks, piece.size())
    copy_bytes(gathered + static_cast<std::size_t>(rank_) * piece.size(), piece.data(), piece.size());
    std::array<MPI_Request, 1> request{};
    check(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, gathered, static_cast<int>(piece.size()),
                         MPI_BYTE, comm_, request.data()),
          "MPI_Iallgather");
    wait(request);
    for (std::size_t r = 0; r < ranks; ++r)
      copy_bytes(receive.data() + r * send.size() + offset, gathered + r * piece.size(), piece.size());
  }
  operation.succeeded();
}

void MpiCommunicator::all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) {
  require_exchange_sizes(send.size(), receive.size(), size_);
  Operation operation(*this, "all_to_all");
  const std::size_t ranks = static_cast<std::size_t>(size_);
  const std::size_t block_bytes = send.size() / ranks;
  const std::size_t piece_bytes = gather_piece_bytes(size_);
  for (std::size_t offset = 0; offset < block_bytes; offset += piece_bytes) {
    const std::size_t bytes = std::min(piece_bytes, block_bytes - offset);
    std::byte* const leaving = stage(2 * ranks * bytes);  // (ranks, bytes)
    std::byte* const arriving = leaving + ranks * bytes;  // (ranks, bytes)
    for (std::size_t r = 0; r < ranks; ++r)
      copy_bytes(leaving + r * bytes, send.data() + r * block_bytes + offset, bytes);
    std::array<MPI_Request, 1> request{};
    check(MPI_Ialltoall(leaving, static_cast<int>(bytes), MPI_BYTE, arriving, static_cast<int>(bytes),
                        MPI_BYTE, comm_, request.data()),
          "MPI_Ialltoall");
    wait(request);
    for (std::size_t r = 0; r < ranks; ++r)
      copy_bytes(receive.data() + r * block_bytes + offset, arriving + r * bytes, bytes);
  }
  operation.succeeded();
}

void MpiCommunicator::all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) {
  constexpr std::size_t kPiece = kPieceBytes / sizeof(std::int64_t);
  Operation operation(*this, "all_reduce");
  for (std::size_t offset = 0; offset < std::max(sums.size(), maxima.size()); offset += kPiece) {
    const auto sum = piece_of(sums, offset, kPiece);
    const auto maximum = piece_of(maxima, offset, kPiece);
    std::byte* const staged_sum = stage(sum.size_bytes() + maximum.size_bytes());
    std::byte* const staged_maximum = staged_sum + sum.size_bytes();
    copy_bytes(staged_sum, sum.data(), sum.size_bytes());
    copy_bytes(staged_maximum, maximum.data(), maximum.size_bytes());
    std::array<MPI_Request, 2> requests{MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    // As unsigned numbers: their sums wrap by definition, and the bits are those of the signed ones.
    if (!sum.empty())
      check(MPI_Iallreduce(MPI_IN_PLACE, staged_sum, static_cast<int>(sum.size()), MPI_UINT64_T, MPI_SUM,
                           comm_, &requests[0]),
            "MPI_Iallreduce");
    if (!maximum.empty())
      check(MPI_Iallreduce(MPI_IN_PLACE, staged_maximum, static_cast<int>(maximum.size()), MPI_UINT64_T,
                           MPI_MAX, comm_, &requests[1]),
            "MPI_Iallreduce");
    wait(requests);
    copy_bytes(sum.data(), staged_sum, sum.size_bytes());
    copy_bytes(maximum.data(), staged_maximum, maximum.size_bytes());
  }
  operation.succeeded();
}

void MpiCommunicator::broadcast(std::span<std::byte> data, int root) {
  require_root(root, size_);
  Operation operation(*this, "broadcast");
  for (std::size_t offset = 0; offset < data.size(); offset += kPieceBytes) {
    const auto piece = piece_of(data, offset, kPieceBytes);
    std::byte* const staged = stage(piece.size());
    if (rank_ == root) copy_bytes(staged, piece.data(), piece.size());
    std::array<MPI_Request, 1> request{};
    check(MPI_Ibcast(staged, static_cast<int>(piece.size()), MPI_BYTE, root, comm_, request.data()),
          "MPI_Ibcast");
    wait(request);
    if (rank_ != root) copy_bytes(piece.data(), staged, piece.size());
  }
  operation.succeeded();
}

void MpiCommunicator::barrier() {
  Operation operation(*this, "barrier");
  std::array<MPI_Request, 1> request{};
  check(MPI_Ibarrier(comm_, request.data()), "MPI_Ibarrier");
  wait(request);
  operation.succeeded();
}

void MpiCommunicator::wait(std::span<MPI_Request> requests) {
  if (const auto waited = wait_until(requests, options_.deadline))
    throw DeadlineExceeded(
        fmt::format("rank {} of MPI_COMM_WORLD (rank {} of {} in its group): {} number {} was not "
                    "complete after {:.1f} s: a peer is lost, stopped or elsewhere",
                    world_rank(), rank_, size_, operation_, sequence_, waited->count()));
}

std::byte* MpiCommunicator::stage(std::size_t bytes) {
  if (stage_.size() < bytes) stage_.resize(bytes);
  return stage_.data();
}

}  // namespace klmesh::comm
