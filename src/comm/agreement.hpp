// All ranks throw, or none does: the check before every collective piece of work.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <string_view>

#include "klmesh/communicator.hpp"
#include "klmesh/error.hpp"

namespace klmesh {

/// A 64-bit hash of what a rank is about to do: shapes, types, options. The same on every machine; not
/// cryptographic.
class Fingerprint {
 public:
  template <std::integral T>
  Fingerprint& add(T value) noexcept {
    return word(static_cast<std::uint64_t>(value));
  }
  Fingerprint& add(double value) noexcept { return word(std::bit_cast<std::uint64_t>(value)); }
  Fingerprint& add(std::string_view text) noexcept {
    for (const char c : text) byte(static_cast<unsigned char>(c));
    return word(text.size());  // so that "ab", "c" is not "a", "bc"
  }

  /// The hash of what was added so far, in that order.
  std::uint64_t value() const noexcept {
    std::uint64_t mixed = (state_ ^ (state_ >> 33)) * 0xff51afd7ed558ccdull;
    mixed = (mixed ^ (mixed >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return mixed ^ (mixed >> 33);
  }

 private:
  Fingerprint& word(std::uint64_t value) noexcept {
    for (int shift = 0; shift < 64; shift += 8) byte(static_cast<unsigned char>(value >> shift));
    return *this;
  }
  void byte(unsigned char value) noexcept { state_ = (state_ ^ value) * 0x100000001b3ull; }

  std::uint64_t state_ = 0xcbf29ce484222325ull;  // FNV-1a, finished with the mix of MurmurHash3
};

/// Runs `work` and hands on what it threw, for agree(); null if it threw nothing.
/// @throws CommunicationError as `work` does: with a lost peer there is nothing to agree on, only another wait
template <typename Work>
std::exception_ptr failure_of(Work&& work) {
  try {
    work();
  } catch (const CommunicationError&) {
    throw;
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

/// Returns on every rank of `group`, or throws the same error on every rank. Collective over `group`.
///
/// @param operation     what the ranks are about to do, "gradient"; part of what must agree
/// @param fingerprint   see Fingerprint; must be equal on all ranks
/// @param local_failure what this rank found wrong, or null
/// @param explain       called on every rank, if nobody failed and the operations are the same, but fingerprints
///                      differ: may throw what differs, the same on every rank (see throw_difference() in terms.hpp)
/// @param lost          called before the error, if the exchange itself fails
/// Cost: one all-reduce of 16 bytes; only if something is wrong, also an all-gather of 1 KiB a rank.
/// @throws the error of the lowest failing rank, as the same klmesh type (klmesh::Error if it is none), its message
///         followed by " (rank R)", unless all ranks failed alike, or it names its rank already
/// @throws InvalidData if nobody failed, but operations or fingerprints differ
/// @throws CommunicationError as the group does; the local failure instead, on a rank that has one
void agree(Communicator& group, std::string_view operation, std::uint64_t fingerprint,
           std::exception_ptr local_failure = nullptr, const std::function<void()>& explain = nullptr,
           const std::function<void()>& lost = nullptr);

}  // namespace klmesh
