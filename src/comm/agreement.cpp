#include "comm/agreement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "klmesh/error.hpp"

namespace klmesh {
namespace {

enum class Kind : std::uint32_t {
  none,
  error,
  invalid_argument,
  invalid_data,
  input_not_found,
  backend_unavailable,
  io,
  hdf5,
  communication,
  mpi,
  deadline,
};

/// What a rank tells the others when something is wrong.
struct Record {
  Kind kind = Kind::none;
  std::uint32_t length = 0;
  std::uint64_t fingerprint = 0;
  std::array<char, 1008> text{};  ///< the message of the failure, or else the operation

  std::string_view message() const noexcept {
    return {text.data(), std::min<std::size_t>(length, text.size())};
  }
  void set_message(std::string_view message) noexcept {
    length = static_cast<std::uint32_t>(std::min(message.size(), text.size()));
    std::copy_n(message.data(), length, text.data());
  }
};
static_assert(sizeof(Record) == 1024 && std::is_trivially_copyable_v<Record>);

Kind kind_of(const std::exception& error) {
  const auto is = [&]<typename T>(std::type_identity<T>) {
    return dynamic_cast<const T*>(&error) != nullptr;
  };
  if (is(std::type_identity<InvalidArgument>{})) return Kind::invalid_argument;
  if (is(std::type_identity<InvalidData>{})) return Kind::invalid_data;
  if (is(std::type_identity<InputNotFound>{})) return Kind::input_not_found;
  if (is(std::type_identity<BackendUnavailable>{})) return Kind::backend_unavailable;
  if (is(std::type_identity<Hdf5Error>{})) return Kind::hdf5;  // derived before base
  if (is(std::type_identity<IoError>{})) return Kind::io;
  if (is(std::type_identity<MpiError>{})) return Kind::mpi;
  if (is(std::type_identity<DeadlineExceeded>{})) return Kind::deadline;
  if (is(std::type_identity<CommunicationError>{})) return Kind::communication;
  return Kind::error;
}

[[noreturn]] void throw_as(Kind kind, const std::string& message) {
  switch (kind) {
    case Kind::invalid_argument:
      throw InvalidArgument(message);
    case Kind::invalid_data:
      throw InvalidData(message);
    case Kind::input_not_found:
      throw InputNotFound(message);
    case Kind::backend_unavailable:
      throw BackendUnavailable(message);
    case Kind::hdf5:
      throw Hdf5Error(message);
    case Kind::io:
      throw IoError(message);
    case Kind::mpi:
      throw MpiError(message);
    case Kind::deadline:
      throw DeadlineExceeded(message);
    case Kind::communication:
      throw CommunicationError(message);
    case Kind::none:
    case Kind::error:
      break;
  }
  throw Error(message);
}

Record make_record(std::string_view operation, std::uint64_t fingerprint, const std::exception_ptr& failure) {
  Record record;
  record.fingerprint = fingerprint;
  record.set_message(operation);
  if (!failure) return record;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    record.kind = kind_of(error);
    record.set_message(error.what());
  } catch (...) {
    record.kind = Kind::error;
    record.set_message("an exception of unknown type");
  }
  return record;
}

bool is_failure(const Record& record) { return record.kind != Kind::none; }

/// Messages of communicators begin with their rank; those of files that all ranks read may end with it.
bool names_its_rank(std::string_view message) { return message.starts_with("rank ") || message.find("(rank ") != message.npos; }

[[noreturn]] void throw_failure(std::span<const Record> records) {
  const auto failed = std::ranges::find_if(records, is_failure);
  const bool alike = std::ranges::all_of(records, [&](const Record& r) {
    return r.kind == failed->kind && r.message() == failed->message();
  });
  const std::string place =
      alike || names_its_rank(failed->message()) ? "" : fmt::format(" (rank {})", failed - records.begin());
  throw_as(failed->kind, fmt::format("{}{}", failed->message(), place));
}

/// Throws what the records say, the same on every rank that has the same records.
[[noreturn]] void throw_verdict(std::span<const Record> records, const std::function<void()>& explain) {
  if (std::ranges::any_of(records, is_failure)) throw_failure(records);
  const Record& first = records.front();
  const auto doing_else =
      std::ranges::find_if(records, [&](const Record& r) { return r.message() != first.message(); });
  if (doing_else != records.end())
    throw InvalidData(fmt::format("ranks disagree about the operation: {} on rank 0, {} on rank {}",
                                  first.message(), doing_else->message(), doing_else - records.begin()));
  if (explain) explain();
  const auto other =
      std::ranges::find_if(records, [&](const Record& r) { return r.fingerprint != first.fingerprint; });
  if (other == records.end()) throw InvalidData("ranks disagree, but not about what they said");
  throw InvalidData(fmt::format("ranks disagree about {}: fingerprint {:016x} on rank 0, {:016x} on rank {}",
                                first.message(), first.fingerprint, other->fingerprint, other - records.begin()));
}

/// What each rank said; nothing if all said the same.
std::vector<Record> disagreement(Communicator& group, std::string_view operation, std::uint64_t fingerprint,
                                 const std::exception_ptr& local_failure) {
  // The maximum of ~x is ~ the minimum of x, so one maximum of both tells whether all x are equal. A failure
  // claims both ends of the range, which no agreement can.
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  const std::uint64_t own = Fingerprint().add(operation).add(fingerprint).value();
  std::array<std::uint64_t, 2> ends = {local_failure ? kAll : own, local_failure ? kAll : ~own};
  group.all_reduce({}, ends);
  if (ends[0] == ~ends[1]) return {};

  const Record mine = make_record(operation, fingerprint, local_failure);
  std::vector<Record> records(static_cast<std::size_t>(group.size()));
  group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(records)));
  return records;
}

}  // namespace

void agree(Communicator& group, std::string_view operation, std::uint64_t fingerprint, std::exception_ptr local_failure,
           const std::function<void()>& explain, const std::function<void()>& lost) {
  std::vector<Record> records;
  try {
    records = disagreement(group, operation, fingerprint, local_failure);
  } catch (const CommunicationError&) {
    if (lost) lost();
    if (local_failure) std::rethrow_exception(local_failure);  // it came first, and nobody else can tell it
    throw;
  }
  if (!records.empty()) throw_verdict(records, explain);
}

}  // namespace klmesh
